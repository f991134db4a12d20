//! Turns command line, environment and files into a running agent. I/O.

pub mod config;
mod dotenv;
pub mod load;
mod overlay;
pub mod problem;
mod schema;
mod secrets;
mod tree;
pub mod units;
mod validate;
