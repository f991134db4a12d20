//! The `logmedic` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "__exec") {
        return logmedic::supervise::trampoline(args);
    }
    ExitCode::SUCCESS
}
