//! Turns command line, environment and files into a running agent. I/O.

pub mod agent;
pub mod channels;
mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dispatch;
mod dotenv;
mod forget;
pub mod init;
pub mod load;
mod overlay;
pub mod policy;
pub mod presence;
pub mod probes;
pub mod problem;
pub mod reference;
pub mod reload;
pub mod rulebook;
mod schema;
mod secrets;
pub mod settings;
pub mod tree;
pub mod units;
mod validate;
