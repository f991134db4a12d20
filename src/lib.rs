//! logmedic watches a download bot's log, confirms what went wrong, repairs it and proves the repair.
//!
//! The rooms below are the road a line of log travels:
//!
//! ```text
//! acquire → assemble → classify → correlate → decide → engine → heal
//!                                                        │         │
//!                                                        └ ledger ─┴→ outbox
//! ```
//!
//! `growth` watches files being written; `vocab` is what three rooms or more speak; `roots` is the only door to the user's files; `media` tells
//! whether a file is whole, `library` knows them all and `backup` brings back what logmedic knew; `operate` runs what takes time; `probe` looks whether things are up; `serve` is the HTTP
//! interface; `supervise` is the bot's process, `launch` runs commands that outlive the agent; `setup` is command line, configuration and
//! wiring; `demo` is the self-contained show. See `docs/ARCHITECTURE.md`.

pub mod acquire;
pub mod assemble;
pub mod backup;
pub mod classify;
pub mod correlate;
pub mod decide;
pub mod demo;
pub mod engine;
pub mod growth;
pub mod heal;
pub mod launch;
pub mod ledger;
pub mod library;
pub mod media;
pub mod operate;
pub mod outbox;
pub mod probe;
pub mod publish;
pub mod roots;
pub mod serve;
pub mod setup;
pub mod supervise;
pub mod vocab;
