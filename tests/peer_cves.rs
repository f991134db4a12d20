//! One test per known attack on a tool that acts on what a log says (H1).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "peer_cves/addresses.rs"]
mod addresses;
#[path = "peer_cves/arguments.rs"]
mod arguments;
#[path = "peer_cves/files.rs"]
mod files;
#[path = "heal/house.rs"]
mod house;
#[path = "peer_cves/races.rs"]
mod races;
