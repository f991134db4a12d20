//! Holds the commands, a file each.

pub mod classify;
pub mod explain;
pub mod rules;
