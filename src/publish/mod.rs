//! Shows what happens while it happens.

pub mod metrics;
pub mod terminal;
pub mod vitals;
