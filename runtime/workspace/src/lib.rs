//! gloaming-workspace
