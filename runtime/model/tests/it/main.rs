//! The clients over real sockets: against a scripted server of ours, and against servers written by others.
