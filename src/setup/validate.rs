//! Checks what types cannot say: names that are unique, references that lead somewhere, bounds, addresses. Pure.

use std::collections::BTreeSet;

use super::config::{Config, MODE_DEFAULT};
use super::problem::Problem;
use super::schema::nearest;
use super::tree::Node;
use crate::operate::schedule::Schedule;
use crate::outbox::Quiet;
use crate::vocab::Class;

/// Collects problems with the place that said the value.
struct Check<'a> {
    tree: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    /// Adds a problem with the value at `path`, unless `ok`.
    fn must(&mut self, ok: bool, path: &[&str], message: impl Into<String>, remedy: impl Into<String>) {
        if !ok {
            let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
            let node = self.tree.nearest(&path);
            self.problems.push(Problem::at(&node.origin, message).remedy(remedy));
        }
    }

    fn within(&mut self, ok: bool, section: &str, key: &str, range: &str) {
        self.must(ok, &[section, key], format!("`{key}` in [{section}] is out of range"), format!("write {range}"));
    }
}

/// Checks the whole configuration. References are only followed when everything was read (`whole`): what was left
/// out for another problem would be missed twice.
pub(super) fn check(config: &Config, tree: &Node, whole: bool, problems: &mut Vec<Problem>) {
    let mut check = Check { tree, problems };
    sources(config, &mut check);
    roots(config, &mut check);
    modes(config, &mut check);
    bounds(config, &mut check);
    addresses(config, &mut check);
    commands(config, &mut check, whole);
    operations(config, &mut check);
    library(config, &mut check);
    backup(config, &mut check);
    probes(config, &mut check);
    super::channels::check(config, tree, problems);
}

fn probes(config: &Config, check: &mut Check<'_>) {
    for (index, key, message, remedy) in super::probes::wrong(config) {
        let at = index.to_string();
        let path: Vec<&str> = ["probe", &at].into_iter().chain(key).collect();
        check.must(false, &path, message, remedy);
    }
}

fn sources(config: &Config, check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    for (index, source) in config.source.iter().enumerate() {
        let at = index.to_string();
        let name = ["source", &at, "name"];
        check.must(!source.name.trim().is_empty(), &name, "a source needs a name", "write name = \"bot\"");
        let fresh = names.insert(&source.name);
        check.must(fresh, &name, format!("two sources are called `{}`", source.name), "give each its own name");
        check.must(
            source.spec().is_some(),
            &["source", &at],
            format!("source `{}` must have exactly one of `path`, `journal` and `stdin`", source.name),
            "write path = \"logs/bot.log\", or journal = \"bot.service\", or stdin = true",
        );
        let unit = source.journal.as_deref().unwrap_or("x");
        let is_unit =
            !unit.is_empty() && !unit.starts_with('-') && !unit.contains(|c: char| c.is_whitespace() || c.is_control());
        check.must(
            is_unit,
            &["source", &at, "journal"],
            "this is not the name of a unit",
            "write journal = \"bot.service\"",
        );
    }
}

fn roots(config: &Config, check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for (index, root) in config.root.iter().enumerate() {
        let at = index.to_string();
        let name = ["root", &at, "name"];
        check.must(!root.name.trim().is_empty(), &name, "a root needs a name", "write name = \"models\"");
        let fresh = names.insert(&root.name);
        check.must(fresh, &name, format!("two roots are called `{}`", root.name), "give each its own name");
        let path = ["root", &at, "path"];
        let fresh = paths.insert(&root.path.path);
        check.must(fresh, &path, format!("two roots are {}", root.path.shown), "name each directory once");
        let deep = root.path.path.components().count() > 1;
        check.must(deep, &path, "the whole file system cannot be a root", "name the directory the bot saves to");
        let bits = |mode: Option<super::units::FileMode>, allowed: u32| mode.is_none_or(|m| m.0 & !allowed == 0);
        check.must(
            bits(root.file_mode, 0o777),
            &["root", &at, "file_mode"],
            "files cannot have set-id or sticky bits",
            "write a mode such as \"0664\"",
        );
        check.must(
            bits(root.dir_mode, 0o3777),
            &["root", &at, "dir_mode"],
            "directories cannot have the set-user-id bit",
            "write a mode such as \"2775\"",
        );
        let enters = root.dir_mode.is_none_or(|m| m.0 & 0o700 == 0o700);
        check.must(
            enters,
            &["root", &at, "dir_mode"],
            "the owner could not use directories of this mode",
            "write a mode such as \"2775\"",
        );
    }
}

fn modes(config: &Config, check: &mut Check<'_>) {
    let known: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).chain([MODE_DEFAULT]).collect();
    for key in config.mode.0.keys() {
        // A rule id has a dot; whether such a rule exists is for the rule check.
        let ok = known.contains(&key.as_str()) || key.contains('.');
        let remedy = match nearest(key, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write a rule id (pack.name) or one of: {}", known.join(", ")),
        };
        check.must(ok, &["mode", key], format!("`{key}` is neither a class nor a rule id"), remedy);
    }
}

fn bounds(config: &Config, check: &mut Check<'_>) {
    let retry = &config.retry;
    check.within((1..=20).contains(&retry.attempts), "retry", "attempts", "1 to 20");
    check.within((1.0..=10.0).contains(&retry.factor), "retry", "factor", "1 to 10");
    check.within((0.0..=1.0).contains(&retry.jitter), "retry", "jitter", "0 to 1");
    check.within(retry.cap >= retry.base, "retry", "cap", "at least `base`");
    check.within(config.breaker.threshold >= 1, "breaker", "threshold", "1 or more");
    check.within(config.disk.check_every.0.as_millis() >= 100, "disk", "check_every", "\"100ms\" or more");
    let jobs = &config.jobs;
    check.within(
        (100..=600_000).contains(&jobs.watch_every.0.as_millis()),
        "jobs",
        "watch_every",
        "\"100ms\" to \"10m\"",
    );
    for (key, period) in
        [("stall_small", jobs.stall_small), ("stall_medium", jobs.stall_medium), ("stall_large", jobs.stall_large)]
    {
        check.within(period.0.as_secs() >= 1, "jobs", key, "\"1s\" or more");
    }
    check.within(jobs.keep.0.as_secs() >= 3600, "jobs", "keep", "\"1h\" or more");
    check.within((1..=100_000).contains(&jobs.keep_max), "jobs", "keep_max", "1 to 100000");
    let down = &config.server_down;
    check.within(down.base.0.as_millis() >= 10, "server_down", "base", "\"10ms\" or more");
    check.within(down.cap >= down.base, "server_down", "cap", "at least `base`");
    check.within((1..=32).contains(&config.limits.repairs), "limits", "repairs", "1 to 32");
    check.within(config.limits.join_wait.0.as_secs() <= 60, "limits", "join_wait", "at most \"60s\"");
    check.within(config.records.max_size.0 >= 64 << 10, "records", "max_size", "\"64KiB\" or more");
    check.within(config.records.keep <= 1000, "records", "keep", "at most 1000");
    check.within(config.telegram.admins.len() <= 100, "telegram", "admins", "at most 100 chats");
    if let Some(Err(error)) = config.telegram.quiet.as_deref().map(Quiet::parse) {
        check.must(false, &["telegram", "quiet"], error, "write quiet = \"23:00-07:00\"");
    }
    let session = config.server.session_ttl.0.as_secs();
    check.within((300..=90 * 86_400).contains(&session), "server", "session_ttl", "\"5m\" to \"90d\"");
    let signals = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGTERM"];
    check.within(signals.contains(&config.fallback.signal.as_str()), "fallback", "signal", &signals.join(" or "));
}

fn addresses(config: &Config, check: &mut Check<'_>) {
    for (section, key, text) in
        [("bot_api", "url", &config.bot_api.url), ("telegram", "api_url", &config.telegram.api_url)]
    {
        let good = url::Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host().is_some()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        check.must(
            good,
            &[section, key],
            format!("`{key}` in [{section}] is not the address of a server"),
            "write such as \"http://127.0.0.1:8081\" or \"https://api.telegram.org\"",
        );
    }
    for (index, host) in config.server.hosts.iter().enumerate() {
        check.must(
            crate::serve::guard::is_host(host),
            &["server", "hosts", &index.to_string()],
            format!("`{}` is no name of a server", crate::vocab::clean_line(host)),
            "write it as it stands in the browser's address bar, without http:// and without a path: \"nas.example.org\"",
        );
    }
    for (index, host) in config.download.hosts.iter().enumerate() {
        let good = !host.is_empty() && !host.contains(['/', '@', ' ']) && host != "*" && host != "*.";
        check.must(
            good,
            &["download", "hosts", &index.to_string()],
            format!("`{host}` is not the name of a host"),
            "write only the name, such as \"cdn.example.org\" or \"*.example.org\"",
        );
    }
}

fn commands(config: &Config, check: &mut Check<'_>, whole: bool) {
    for (name, command) in &config.command {
        let path = ["command", name, "argv"];
        let some = command.argv.first().is_some_and(|program| !program.is_empty());
        check.must(
            some,
            &path,
            format!("command `{name}` names no program"),
            "write argv = [\"program\", \"argument\"]",
        );
        let holes = ["{path}", "{target}", "{url}", "{file_id}", "{job}"];
        let inside = |word: &String| holes.iter().find(|hole| word.contains(**hole) && word != *hole);
        let mixed =
            command.argv.iter().skip(1).find_map(inside).or_else(|| {
                holes.iter().find(|hole| command.argv.first().is_some_and(|program| program.contains(**hole)))
            });
        check.must(
            mixed.is_none(),
            &path,
            format!("command `{name}` mixes `{}` with other text", mixed.unwrap_or(&"")),
            "write it as an argument of its own: what stands in a log line is never part of another word",
        );
        check.must(
            !runs_a_hint(&command.argv, &holes),
            &path,
            format!("command `{name}` would run what stands in a log line as a program"),
            "pass it behind the script: [\"sh\", \"-c\", \"fetch \\\"$1\\\"\", \"sh\", \"{path}\"]",
        );
        let clean = !command.argv.iter().any(|word| word.contains('\0'));
        check.must(clean, &path, format!("command `{name}` holds a NUL"), "delete it");
    }
    let empty = config.bot.command.first().is_some_and(String::is_empty);
    check.must(!empty, &["bot", "command"], "the bot's command names no program", "write [\"python3\", \"main.py\"]");
    for name in config.bot.env.keys() {
        let good = !name.is_empty() && !name.contains(['=', '\0']);
        check.must(
            good,
            &["bot", "env", name],
            format!("`{name}` is not the name of a variable"),
            "write NAME = \"value\"",
        );
    }
    if let Some(name) = config.server_down.restart_command.as_ref().filter(|_| whole) {
        let known: Vec<&str> = config.command.keys().map(String::as_str).collect();
        let remedy = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add [command.{name}] with argv = [\"program\", \"argument\"]"),
        };
        let there = config.command.contains_key(name);
        check.must(there, &["server_down", "restart_command"], format!("no command is called `{name}`"), remedy);
    }
}

fn operations(config: &Config, check: &mut Check<'_>) {
    let limits = &config.operations;
    check.within((1..=32).contains(&limits.at_once), "operations", "at_once", "1 to 32");
    check.within(limits.for_repairs < limits.at_once.max(1), "operations", "for_repairs", "less than `at_once`");
    check.within((1..=32).contains(&limits.commands), "operations", "commands", "1 to 32");
    check.within((1..=100_000).contains(&limits.keep), "operations", "keep", "1 to 100000");
    let mut names = BTreeSet::new();
    for (index, operation) in config.operation.iter().enumerate() {
        let (at, shown) = (index.to_string(), &operation.name);
        let path = |key| ["operation", &at, key];
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let good = !shown.is_empty() && shown.len() <= 64 && shown.chars().all(plain);
        check.must(good, &path("name"), "this is not a name for an operation", "write letters, digits, - and _");
        let fresh = names.insert(shown);
        check.must(fresh, &path("name"), format!("two operations are called `{shown}`"), "give each its own name");
        let some = operation.argv.first().is_some_and(|program| !program.is_empty());
        let what = format!("operation `{shown}` names no program");
        check.must(some, &path("argv"), what, "write argv = [\"program\", \"argument\"]");
        let clean = !operation.argv.iter().any(|word| word.contains('\0'));
        check.must(clean, &path("argv"), format!("operation `{shown}` holds a NUL"), "delete it");
        let one = operation.every.is_none() || operation.at.is_none();
        let what = format!("operation `{shown}` has both `every` and `at`");
        check.must(one, &path("at"), what, "keep one of them");
        let often = operation.every.is_none_or(|every| every.0.as_secs() >= 1);
        check.must(often, &path("every"), "`every` is too short", "write \"1s\" or more");
        let daily = operation.at.as_deref().map(Schedule::daily);
        if let Some(Err(error)) = daily {
            check.must(false, &path("at"), error, "write at = \"03:30\"");
        }
        let time = operation.timeout.is_none_or(|timeout| timeout.0.as_millis() >= 100);
        check.must(time, &path("timeout"), "`timeout` is too short", "write \"100ms\" or more, or delete it");
    }
}

fn library(config: &Config, check: &mut Check<'_>) {
    let library = &config.library;
    check.within(library.every.0.as_secs() >= 60, "library", "every", "\"1m\" or more");
    let verify = library.verify.0.as_secs();
    check.within(verify == 0 || verify >= 3_600, "library", "verify", "\"0s\" (never), or \"1h\" or more");
    check.within((1..=600).contains(&library.timeout.0.as_secs()), "library", "timeout", "\"1s\" to \"10m\"");
    check.within(library.memory.0 >= 64 << 20, "library", "memory", "\"64MiB\" or more");
    let program = &library.ffmpeg;
    let absolute = !program.contains('/') || program.starts_with('/');
    let good = !program.is_empty() && absolute && !program.contains('\0');
    check.must(good, &["library", "ffmpeg"], "`ffmpeg` in [library] names no program", "write ffmpeg = \"ffmpeg\"");
}

fn backup(config: &Config, check: &mut Check<'_>) {
    let backup = &config.backup;
    check.within((1..=1_000).contains(&backup.keep), "backup", "keep", "1 to 1000");
    let one = backup.every.is_none() || backup.at.is_none();
    check.must(one, &["backup", "at"], "[backup] has both `every` and `at`", "keep one of them");
    let often = backup.every.is_none_or(|every| every.0.as_secs() >= 1);
    check.must(often, &["backup", "every"], "`every` is too short", "write \"1s\" or more; \"1d\" is what most want");
    if let Some(Err(error)) = backup.at.as_deref().map(Schedule::daily) {
        check.must(false, &["backup", "at"], error, "write at = \"04:30\"");
    }
}

/// Whether an interpreter would take a placeholder for its script: `sh -c {path}`.
fn runs_a_hint(argv: &[String], holes: &[&str]) -> bool {
    const INTERPRETERS: &[&str] =
        &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "python", "perl", "ruby", "node", "php", "env"];
    let program = argv.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let takes_script =
        |flag: &str| flag.starts_with('-') && flag.len() <= 6 && flag.ends_with(['c', 'e', 'r', 'S', 'l']);
    INTERPRETERS.contains(&program)
        && argv.windows(2).any(|pair| takes_script(&pair[0]) && holes.contains(&pair[1].as_str()))
}
