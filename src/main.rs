//! The `logmedic` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else: the bot's shepherd must stay as small as it starts.
    if args.next().is_some_and(|first| first == "__exec") {
        return logmedic::supervise::trampoline(args);
    }
    logmedic::setup::dispatch::main()
}
