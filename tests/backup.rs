//! Backups of the real binary: made under load, cut off, damaged, forged, brought back (row C8).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "backup/agent.rs"]
mod agent;
#[path = "backup/damage.rs"]
mod damage;
#[path = "backup/house.rs"]
mod house;
#[path = "backup/restore.rs"]
mod restore;
#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;
