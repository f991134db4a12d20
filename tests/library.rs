//! The library with the real binary, real files and the real ffmpeg (rows C5, C6).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "library/attacks.rs"]
mod attacks;
#[path = "library/house.rs"]
mod house;
#[path = "library/many.rs"]
mod many;
#[path = "library/populate.rs"]
mod populate;
#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;
#[path = "library/thumbnails.rs"]
mod thumbnails;
