//! Shows the whole thing without a token or a network: a misbehaving server, a real bot, six faults.

pub mod fault;
pub mod video;
