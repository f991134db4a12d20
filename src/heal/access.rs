//! Gives the bot its access back: owner, group and mode of the path and of what keeps it out above.

use serde_json::json;

use super::examine::facts_evidence;
use super::output::{Step, done, evidence, refused};
use super::{Healer, blocking};
use crate::decide::TaskOutput;
use crate::roots::{Error, Restored, user_name};

impl Healer {
    pub(super) async fn restore_access(&self, path: &str) -> Step<TaskOutput> {
        let (path, who) = (self.resolve(path)?, self.settings().bot.who());
        let shown = path.to_string();
        let name = self.settings().bot.name.clone();
        let target = path.clone();
        let (restored, after) = blocking(move || {
            let restored = target.restore_access(&who)?;
            Ok::<_, Error>((restored, target.access_as(&who)?))
        })
        .await??;
        let changes: Vec<_> = restored.iter().map(change).collect();
        let mut seen = facts_evidence(&after.subject, &after.facts);
        seen.extend(evidence(json!({ "changed": changes, "user": name })));
        if let Some(denied) = after.denied.first() {
            let detail = format!("{} still may not be used by {name}: it lacks {}", denied.path, denied.missing_word());
            return Err(refused(detail, None));
        }
        Ok(match restored.len() {
            0 => done(format!("{shown} is as it should be; nothing was changed"), seen),
            _ => done(format!("access of {name} to {shown} was restored"), seen),
        })
    }
}

fn change(restored: &Restored) -> serde_json::Value {
    let (before, after) = (&restored.before, &restored.after);
    json!({
        "path": restored.path.to_string(),
        "before": { "mode": format!("{:04o}", before.mode), "owner": user_name(before.uid), "gid": before.gid },
        "after": { "mode": format!("{:04o}", after.mode), "owner": user_name(after.uid), "gid": after.gid },
    })
}
