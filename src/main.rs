//! The `logmedic` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else: shepherd and launcher must stay as small as they start, and who confines itself has one thread.
    match args.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("__exec") => return logmedic::supervise::trampoline(args),
        Some("__launch") => return logmedic::launch::launcher::main(args),
        Some("__confined") => return logmedic::library::confine::main(args),
        _ => {}
    }
    logmedic::setup::dispatch::main()
}
