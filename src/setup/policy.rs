//! Turns the configuration into what each room is told. I/O: looks users up.

use std::collections::BTreeMap;

use super::commands::Failure;
use super::config::{self, Config, FallbackAction};
use super::load::{Loaded, Surroundings};
use crate::correlate::{StallLimits, origin};
use crate::decide::{BreakerLimits, BudgetLimits, Fallback, Modes, Policy, Retry, ServerRestart};
use crate::heal;
use crate::launch;
use crate::operate;
use crate::operate::schedule::Schedule;
use crate::outbox::{Lang, Pace, Quiet, TelegramSettings};
use crate::supervise::tree::MARKER;
use crate::supervise::{BotSpec, RestartPolicy, RestartWhen, marker_for};
use crate::vocab::Mode;

/// What decisions depend on.
#[must_use]
pub fn policy(loaded: &Loaded) -> Policy {
    let config = &loaded.config;
    let retry = Retry {
        attempts: config.retry.attempts,
        base: config.retry.base.0,
        factor: config.retry.factor,
        cap: config.retry.cap.0,
        jitter: config.retry.jitter,
        reset_after: config.retry.reset_after.0,
    };
    let mut by = config.mode.0.clone();
    let default = by.remove(config::MODE_DEFAULT).unwrap_or(Mode::Auto);
    let restart = config.server_down.restart_command.clone();
    Policy {
        probe: Retry { base: config.server_down.base.0, cap: config.server_down.cap.0, factor: 2.0, ..retry.clone() },
        retry,
        modes: Modes { default, by },
        budget: BudgetLimits {
            per_job: config.budget.per_job,
            per_class: config.budget.per_class,
            agent: config.budget.agent,
        },
        breaker: BreakerLimits { threshold: config.breaker.threshold, within: config.breaker.within.0 },
        space_check: config.disk.check_every.0,
        server_restart: restart.map(|command| ServerRestart { command, after: config.server_down.restart_after.0 }),
        fallback: match config.fallback.action {
            FallbackAction::Alert => Fallback::Alert,
            FallbackAction::Signal => Fallback::Signal(signal_number(&config.fallback.signal)),
            FallbackAction::Restart => Fallback::Restart,
        },
        bot_api: origin(&config.bot_api.url).unwrap_or_else(|| config.bot_api.url.clone()),
        quarantine_unknown: config.corrupt.without_source == config::WithoutSource::Quarantine,
        redownload_command: config.command.contains_key("redownload"),
        download_limit: config.download.timeout.0,
        stall: StallLimits {
            small: config.jobs.stall_small.0,
            medium: config.jobs.stall_medium.0,
            large: config.jobs.stall_large.0,
        },
    }
}

/// The loader refuses other names.
fn signal_number(name: &str) -> i32 {
    name.parse::<nix::sys::signal::Signal>().map_or(libc::SIGUSR1, |signal| signal as i32)
}

/// What the healer may do and with what.
///
/// # Errors
/// When the bot's user does not exist.
pub fn heal_settings(loaded: &Loaded, around: &Surroundings, bot: Option<&BotSpec>) -> Result<heal::Settings, Failure> {
    let config = &loaded.config;
    let user = match &config.bot.user {
        Some(name) => heal::BotUser::named(name).ok_or_else(|| Failure::Other {
            code: 78,
            message: format!("failed to find the user '{name}' of [bot] user: make it with `useradd --system {name}`, or name another"),
        })?,
        None => heal::BotUser::current(),
    };
    let cwd = bot.and_then(|bot| bot.cwd.clone()).or_else(|| config.bot.cwd.as_ref().map(|cwd| cwd.path.clone()));
    let commands: BTreeMap<_, _> = config
        .command
        .iter()
        .map(|(name, command)| {
            (name.clone(), heal::CommandSpec { argv: command.argv.clone(), timeout: command.timeout.0 })
        })
        .collect();
    let settings = heal::Settings {
        bot: user,
        working_dir: Some(cwd.unwrap_or_else(|| loaded.base_dir(around).to_path_buf())),
        bot_api: heal::BotApi {
            url: config.bot_api.url.clone(),
            token: config.bot_api.token.clone(),
            files_dir: config.bot_api.files_dir.as_ref().map(|dir| dir.path.clone()),
        },
        servers: vec![config.telegram.api_url.clone()],
        allowed_hosts: config.download.hosts.clone(),
        allow_private: config.download.allow_private.clone(),
        min_free: config.disk.min_free.0,
        max_download: config.download.max_size.0,
        quarantine_keep: config.corrupt.purge.then_some(config.corrupt.quarantine_keep.0),
        timeouts: heal::Timeouts {
            stall: config.download.stall.0,
            get_file: config.bot_api.timeout.0,
            ..heal::Timeouts::default()
        },
        commands,
        marker: Some((launch::MARKER.to_owned(), marker_for(&loaded.state_dir))),
        launcher: None,
    };
    Ok(settings)
}

/// How operations are run.
#[must_use]
pub fn operations(loaded: &Loaded, around: &Surroundings, seed: u64) -> operate::Settings {
    let config = &loaded.config;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let commands = config.operation.iter().map(|operation| {
        let daily = operation.at.as_deref().and_then(|at| Schedule::daily(at).ok());
        operate::CommandSpec {
            name: operation.name.clone(),
            argv: operation.argv.clone(),
            schedule: operation.every.map(|every| Schedule::Every(every.0)).or(daily),
            priority: operation.priority,
            timeout: operation.timeout.map(|timeout| timeout.0),
            resume: operation.resume,
        }
    });
    operate::Settings {
        limits: operate::queue::Limits {
            at_once: count(config.operations.at_once),
            for_repairs: count(config.operations.for_repairs),
            kinds: BTreeMap::from([
                (operate::Kind::Repair, count(config.limits.repairs)),
                (operate::Kind::Custom, count(config.operations.commands)),
                // One at a time reads as fast as the disk allows.
                (operate::Kind::Library, 1),
                (operate::Kind::Thumbnails, 1),
                (operate::Kind::Integrity, 1),
            ]),
        },
        keep: config.operations.keep,
        keep_for: config.operations.keep_for.0,
        commands: commands.collect(),
        tasks: operate::Tasks::default(),
        marker: Some((MARKER.to_owned(), marker_for(&loaded.state_dir))),
        directory: around.cwd.join(loaded.base_dir(around)),
        production: loaded.config.server.production,
        seed,
    }
}

/// Where alerts go; `None` when no token or nobody to tell is configured.
#[must_use]
pub fn telegram(loaded: &Loaded) -> Option<TelegramSettings> {
    let telegram = &loaded.config.telegram;
    let token = telegram.token.clone()?;
    let api_url = url::Url::parse(&telegram.api_url).ok()?;
    if telegram.admins.is_empty() {
        return None;
    }
    Some(TelegramSettings {
        token,
        api_url,
        admins: telegram.admins.clone(),
        language: language(loaded),
        templates_dir: telegram.templates.as_ref().map(|dir| dir.path.clone()),
        quiet: telegram.quiet.as_deref().and_then(|text| Quiet::parse(text).ok()),
        // A group (a negative number) is told, but only a person presses.
        control: !telegram.shared && telegram.admins.iter().any(|admin| *admin > 0),
        min_severity: telegram.min_severity,
        pace: Pace::default(),
    })
}

/// How the bot is run, where a command is known.
#[must_use]
pub fn bot(loaded: &Loaded, command: Vec<std::ffi::OsString>, raw: bool) -> BotSpec {
    let config = &loaded.config.bot;
    let log = config.log.as_ref().map_or_else(|| loaded.state_dir.join("bot.log"), |log| log.path.clone());
    let defaults = RestartPolicy::default();
    let restart = RestartPolicy {
        when: match config.restart {
            config::RestartPolicy::No => RestartWhen::No,
            config::RestartPolicy::OnFailure => RestartWhen::OnFailure,
            config::RestartPolicy::Always => RestartWhen::Always,
        },
        max_restarts: config.max_restarts,
        window: config.restart_window.0,
        ..defaults
    };
    BotSpec {
        cwd: config.cwd.as_ref().map(|cwd| cwd.path.clone()),
        env: config.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        user: config.user.clone(),
        raw_terminal: raw,
        log_max: config.log_max_size.0,
        restart,
        stop_grace: config.stop_grace.0,
        ..BotSpec::new(command, log, &loaded.state_dir)
    }
}

/// The sections whose changes a reload cannot carry out.
#[must_use]
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut sections = Vec::new();
    let mut note = |name, differs: bool| {
        if differs {
            sections.push(name);
        }
    };
    note("[[source]]", old.source != new.source);
    note("[[root]]", old.root != new.root);
    note("[bot]", old.bot != new.bot);
    note("[bot_api]", old.bot_api != new.bot_api);
    note("[telegram]", old.telegram != new.telegram || old.language != new.language);
    note("[[channel]]", old.channel != new.channel || old.language != new.language);
    note("[command]", old.command != new.command);
    note("[disk] min_free", old.disk.min_free != new.disk.min_free);
    note("[corrupt]", old.corrupt != new.corrupt);
    note("[download]", old.download != new.download);
    note("[records]", old.records != new.records);
    note("[server]", old.server != new.server);
    note("[state]", old.state != new.state);
    note("[library]", old.library != new.library);
    note("[limits]", old.limits != new.limits);
    note("[operations]", old.operations != new.operations);
    note("[[operation]]", old.operation != new.operation);
    note("[backup]", old.backup != new.backup);
    sections
}

/// The language of what people are told.
#[must_use]
pub const fn language(loaded: &Loaded) -> Lang {
    lang(loaded.config.language)
}

/// A language of the configuration as the texts know it.
#[must_use]
pub const fn lang(language: config::Language) -> Lang {
    match language {
        config::Language::En => Lang::En,
        config::Language::Es => Lang::Es,
    }
}
