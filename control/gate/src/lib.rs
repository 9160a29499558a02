//! gloaming-gate
