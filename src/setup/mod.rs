//! Turns command line, environment and files into a running agent. I/O.

pub mod commands;
