//! `logmedic init`.

use super::Done;
use crate::setup::cli::InitArgs;
use crate::setup::load::Surroundings;

/// x
pub fn init(_args: &InitArgs, _around: &Surroundings) -> Done {
    Ok(0)
}
