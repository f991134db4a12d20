//! The `logmedic` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    logmedic::setup::dispatch::main()
}
