//! Operations with real commands, a real ledger and the real binary (rows C1–C4, C9).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "operations/binary.rs"]
mod binary;
#[path = "operations/commands.rs"]
mod commands;
#[path = "operations/house.rs"]
mod house;
#[path = "operations/limits.rs"]
mod limits;
#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;
