//! Shows the whole thing without a token or a network: a misbehaving server, a real bot, six faults.

mod api;
mod bot;
mod control;
pub mod fault;
mod server;
mod transfer;
pub mod video;
pub mod world;

pub use bot::{BotArgs, bot_main};
pub use control::{ServerArgs, server_main};
pub use server::serve;
