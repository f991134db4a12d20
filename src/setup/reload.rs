//! Reads the configuration again, and changes settings: all of it holds, or nothing changes. I/O.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::load::{self, Loaded, Surroundings};
use super::{policy, probes, rulebook, settings};
use crate::acquire::SourceSpec;
use crate::decide::Policy;
use crate::engine::intake::RuleBook;
use crate::ledger::Ledger;
use crate::ledger::probes::replace_settings;
use crate::probe::Probes;
use crate::serve::settings::{Changed, Changing, Refused, Setting, Settings};
use crate::vocab::rfc3339;

/// Where the answer to a reload is left for `logmedic reload`.
pub const RELOAD_FACT: &str = "reload";

/// Changes that wait for the one that is under way.
const CHANGES: usize = 8;

/// What a reload reaches.
pub struct Parts {
    /// Keeps changed settings and the answer.
    pub ledger: Ledger,
    /// The rules of every source.
    pub rules: watch::Sender<Arc<RuleBook>>,
    /// What the engine decides by.
    pub policies: mpsc::Sender<Policy>,
    /// The sources, which a reload does not change.
    pub specs: Vec<SourceSpec>,
    /// Where the process finds itself.
    pub around: Surroundings,
    /// What is looked at regularly.
    pub probes: Probes,
    /// Whether logmedic runs the bot.
    pub runs_bot: bool,
}

/// Reads the configuration again: all of it holds, or nothing changes.
pub struct Reload {
    parts: Parts,
    wanted: mpsc::Receiver<Wanted>,
    shown: watch::Sender<Arc<Loaded>>,
}

/// A change of settings that somebody wants.
pub struct Wanted {
    changes: Map<String, Value>,
    account: String,
    answer: oneshot::Sender<Result<Changed, Refused>>,
}

/// Shows and changes settings from outside of the loop that holds the configuration.
#[derive(Clone)]
pub struct Door {
    wanted: mpsc::Sender<Wanted>,
    shown: watch::Receiver<Arc<Loaded>>,
}

impl Reload {
    /// Begins with the configuration in effect.
    #[must_use]
    pub fn new(parts: Parts, loaded: &Loaded) -> (Self, Door) {
        let (sender, wanted) = mpsc::channel(CHANGES);
        let (shown, seen) = watch::channel(Arc::new(loaded.clone()));
        (Self { parts, wanted, shown }, Door { wanted: sender, shown: seen })
    }

    /// The next change of settings that somebody wants; `None`: nobody can any more.
    pub async fn wanted(&mut self) -> Option<Wanted> {
        self.wanted.recv().await
    }

    /// Reads the files again and leaves the answer for `logmedic reload`.
    pub async fn reload(&mut self, loaded: &mut Loaded) {
        let answer = match self.try_reload(loaded).await {
            Ok(restart) if restart.is_empty() => "reloaded".to_owned(),
            Ok(restart) => format!("reloaded; changes of {} take effect after a restart", restart.join(", ")),
            Err(text) => format!("failed to reload, the old configuration stays: {text}"),
        };
        tracing::info!("{answer}");
        let stamped = format!("{} {answer}", rfc3339(chrono::Utc::now()));
        if let Err(error) = self.parts.ledger.set_fact(RELOAD_FACT, stamped).await {
            tracing::warn!("{error}");
        }
    }

    async fn try_reload(&self, loaded: &mut Loaded) -> Result<Vec<&'static str>, String> {
        let file: Option<PathBuf> = loaded.file.clone();
        let changed = self.parts.ledger.read(crate::ledger::probes::settings).map_err(|error| error.to_string())?;
        let fresh = load::load_with(file.as_deref(), &self.parts.around, &changed)
            .map_err(|problems| problems.lines().join("; "))?;
        let book = rulebook::load(&fresh, &self.parts.specs).map_err(|failure| failure.to_string())?;
        self.carry_out(loaded, fresh, book).await
    }

    /// Puts a configuration that holds into effect. What is answered waits for a restart.
    async fn carry_out(&self, loaded: &mut Loaded, fresh: Loaded, book: RuleBook) -> Result<Vec<&'static str>, String> {
        let restart = policy::needs_restart(&loaded.config, &fresh.config);
        // The loop takes one policy at a time; it is never far behind.
        self.parts.policies.send(policy::policy(&fresh)).await.map_err(|_| "the engine has stopped".to_owned())?;
        self.parts.rules.send_replace(Arc::new(book));
        self.parts.probes.replace(probes::specs(&fresh, self.parts.runs_bot));
        self.shown.send_replace(Arc::new(fresh.clone()));
        *loaded = fresh;
        Ok(restart)
    }

    /// Checks, keeps and carries out a change of settings.
    pub async fn change(&mut self, loaded: &mut Loaded, wanted: Wanted) {
        let done = self.try_change(loaded, &wanted.changes, &wanted.account).await;
        match &done {
            Ok(changed) => {
                let keys: Vec<&str> = changed.settings.iter().map(|setting| setting.key.as_str()).collect();
                tracing::info!("{} changed {}", wanted.account, keys.join(", "));
            }
            Err(refused) => tracing::info!("a change of settings by {} is refused: {refused}", wanted.account),
        }
        // Who asked may have gone away; the change stands all the same.
        let _ = wanted.answer.send(done);
    }

    async fn try_change(
        &self,
        loaded: &mut Loaded,
        changes: &Map<String, Value>,
        account: &str,
    ) -> Result<Changed, Refused> {
        let (fresh, kept) = settings::change(&self.parts.ledger, loaded, &self.parts.around, changes, account)?;
        let failed = Refused::Failed;
        let book =
            rulebook::load(&fresh, &self.parts.specs).map_err(|failure| Refused::Invalid(failure.to_string()))?;
        // Kept first: what holds now must hold after a restart.
        let written = self.parts.ledger.write(move |tx| replace_settings(tx, &kept)).await;
        written.map_err(|error| failed(error.to_string()))?;
        let restart = self.carry_out(loaded, fresh, book).await.map_err(failed)?;
        let settings = settings::list(loaded);
        let settings = settings.into_iter().filter(|setting| changes.contains_key(&setting.key)).collect();
        Ok(Changed { settings, restart: restart.into_iter().map(str::to_owned).collect() })
    }
}

impl Settings for Door {
    fn list(&self) -> Vec<Setting> {
        settings::list(&self.shown.borrow())
    }

    fn change(&self, changes: Map<String, Value>, account: String) -> Changing<'_> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let stopped = || Refused::Failed("logmedic is stopping".to_owned());
            self.wanted.send(Wanted { changes, account, answer }).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        })
    }
}
