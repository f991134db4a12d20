//! Who may do what, from outside: a real server on the loopback, real connections, and every attack we can think of.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "identity/attacks.rs"]
mod attacks;
#[path = "identity/commands.rs"]
mod commands;
#[path = "identity/guard.rs"]
mod guard;
#[path = "identity/people.rs"]
mod people;
#[path = "identity/rig.rs"]
mod rig;
#[path = "identity/sockets.rs"]
mod sockets;
