//! Shows what happens while it happens.

pub mod terminal;
