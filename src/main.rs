//! The `logmedic` command.

fn main() {}
