//! What people see of it from outside: lists that are followed, how channels stand, quiet hours, silences, downloads that fail
//! without a word why, authorities of one's own, and a listener that is not held up.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "outside/accept.rs"]
mod accept;
#[allow(dead_code)]
#[path = "channels/rig.rs"]
mod channels;
#[path = "outside/night.rs"]
mod night;
#[allow(dead_code)]
#[path = "agent/rig.rs"]
mod rig;
#[path = "outside/silence.rs"]
mod silence;
#[path = "outside/tls.rs"]
mod tls;
