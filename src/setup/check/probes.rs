//! Looks once at everything that `[[probe]]` names.

use super::{Finding, Loaded};
use crate::probe::{Lens, Process, Target};
use crate::setup::probes;

/// One line a probe: what is down now would be an incident soon.
pub(super) async fn all(loaded: &Loaded) -> Vec<Finding> {
    let mut looks = tokio::task::JoinSet::new();
    let mut findings = Vec::new();
    for spec in probes::specs(loaded, !loaded.config.bot.command.is_empty()) {
        if spec.target == Target::Process(Process::Bot) {
            findings.push(Finding::ok("probe", format!("{}: the bot is looked at while logmedic runs it", spec.name)));
            continue;
        }
        looks.spawn(async move {
            let look = Lens::default().look(&spec, None).await;
            (spec, look)
        });
    }
    while let Some(done) = looks.join_next().await {
        let Ok((spec, look)) = done else { continue };
        let detail = format!("{}: {} {}", spec.name, spec.target.shown(), look.detail);
        findings.push(match look.well {
            true => Finding::ok("probe", detail),
            false => Finding::warn("probe", detail, "mend it, or correct the [[probe]]: it would be an incident"),
        });
    }
    findings.sort_by(|a, b| a.detail.cmp(&b.detail));
    findings
}
