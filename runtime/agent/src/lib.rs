//! gloaming-agent
