//! gloaming-syntax
