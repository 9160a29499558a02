//! gloaming-jobs
