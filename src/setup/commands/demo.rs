//! `logmedic demo`, and its hidden parts: the misbehaving server and the bot.

use super::{Done, Failure};
use crate::demo::{BotArgs, DemoArgs, ServerArgs};

/// The show.
///
/// # Errors
/// When it cannot begin.
pub fn demo(args: DemoArgs) -> Done {
    runtime()?.block_on(crate::demo::run(args)).map_err(|error| Failure::failed(error.to_string()))
}

/// The server alone.
///
/// # Errors
/// When it cannot listen.
pub fn server(args: ServerArgs) -> Done {
    done(runtime()?.block_on(crate::demo::server_main(args)))
}

/// The bot alone.
///
/// # Errors
/// When it cannot start.
pub fn bot(args: BotArgs) -> Done {
    done(runtime()?.block_on(crate::demo::bot_main(args)))
}

fn done(result: anyhow::Result<()>) -> Done {
    result.map(|()| 0).map_err(|error| Failure::failed(format!("{error:#}")))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("failed to start the runtime: {error}")))
}
