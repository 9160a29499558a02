//! gloaming-profile
