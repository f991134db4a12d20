//! The real binary, attacked from outside: killed, flooded, lied to, starved, misconfigured. What came of it is read
//! from its records, its exit code, its output and the disk.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "agent/counting.rs"]
mod counting;
#[path = "agent/hostile.rs"]
mod hostile;
#[path = "agent/input.rs"]
mod input;
#[path = "agent/launched.rs"]
mod launched;
#[path = "agent/outage.rs"]
mod outage;
#[path = "agent/parent.rs"]
mod parent;
#[path = "agent/repair.rs"]
mod repair;
#[path = "agent/rig.rs"]
mod rig;
