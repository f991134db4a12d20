//! Decides what is done about an incident: which steps, when, how often, and whether at all. Pure.

mod task;

pub use task::{Answer, Expect, Fetch, Finding, Question, Repair, Task, TaskOutput, Work};
