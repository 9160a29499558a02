//! gloaming-policies
