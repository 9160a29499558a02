//! gloaming-verify
