//! gloaming-sandbox
