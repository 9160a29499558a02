//! gloaming-model
