//! Looks, repairs and proofs (A6b, A9–A14) against real files, a real server that misbehaves, and real media.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines)]

#[path = "heal/access.rs"]
mod access;
#[path = "heal/commands.rs"]
mod commands;
#[path = "heal/downloads.rs"]
mod downloads;
#[path = "heal/house.rs"]
mod house;
#[path = "heal/looks.rs"]
mod looks;
#[path = "heal/quarantine.rs"]
mod quarantine;
#[path = "heal/telegram.rs"]
mod telegram;
#[path = "heal/verify.rs"]
mod verify;
