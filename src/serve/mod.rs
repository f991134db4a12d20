//! Serves the HTTP interface, the WebSocket hub and the dashboard. I/O.
//!
//! Files are named for resources. Each has `router(app) -> OpenApiRouter<App>`; what a resource may be used for is said beside its
//! route by the extractor that it takes ([`auth`]): a page that hides a button is a courtesy, the check is here.

pub mod accept;
pub mod audit;
pub mod auth;
pub mod backups;
pub mod describe;
pub mod door;
pub mod guard;
pub mod hub;
pub mod incidents;
pub mod input;
pub mod integrity;
pub mod jobs;
pub mod library;
pub mod listen;
pub mod live;
pub mod logs;
pub mod notifications;
pub mod operations;
pub mod page;
pub mod pages;
pub mod probes;
pub mod problem;
pub mod render;
pub mod rules;
pub mod run;
pub mod settings;
pub mod setup;
pub mod story;
pub mod system;
pub mod ws;
