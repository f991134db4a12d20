//! Carries out each command of the command line. One file a command.

pub mod quarantine;
pub mod verify;
