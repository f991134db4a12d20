//! The WebSocket hub as its clients see it: who gets in, what is told, what happens to who was away, slow, or wrong.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "ws/admission.rs"]
mod admission;
#[path = "ws/manners.rs"]
mod manners;
#[path = "ws/recovery.rs"]
mod recovery;
#[path = "ws/rig.rs"]
mod rig;
#[path = "ws/tail.rs"]
mod tail;
#[path = "ws/told.rs"]
mod told;
