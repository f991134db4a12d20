//! Decides what is done about an incident: which steps, when, how often, and whether at all. Pure.

mod backoff;
mod breaker;
mod budget;
mod plan;
mod policy;
mod task;

pub use backoff::delay;
pub use breaker::{Breaker, BreakerState};
pub use budget::{Budget, Start};
pub use plan::{Step, plan};
pub use policy::{BreakerLimits, BudgetLimits, Fallback, Modes, Policy, Retry, ServerRestart};
pub use task::{Answer, Expect, Fetch, Finding, Question, Repair, Task, TaskOutput, Work};
