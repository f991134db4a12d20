//! Integrity of the library (row C7): what each level finds in real files, and what becomes of it.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "integrity/agent.rs"]
mod agent;
#[path = "integrity/large.rs"]
mod large;
#[path = "integrity/media.rs"]
mod media;
#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;
