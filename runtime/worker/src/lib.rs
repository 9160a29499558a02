//! gloaming-worker
