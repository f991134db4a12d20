//! The real binary, attacked from outside: killed, flooded, lied to, starved, misconfigured. What came of it is read
//! from its records, its exit code, its output and the disk.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "agent/counting.rs"]
mod counting;
#[path = "agent/rig.rs"]
mod rig;
