//! Puts what was found in a bot's folder into a commented configuration. Pure.

use std::fmt::Write as _;

use super::look::{Found, MediaDir};

/// The configuration. Every line that is active holds what was found; what could be useful stands as a comment.
#[must_use]
pub fn text(found: &Found) -> String {
    let mut out = String::from(
        "# Configuration of logmedic. Every key: `logmedic config schema --markdown`; check it: `logmedic check`.\n\
         # Relative paths belong to the directory of this file. A `.env` beside it is read.\n\n\
         language = \"en\"                      # or \"es\"\n",
    );
    sources(&mut out, found);
    roots(&mut out, found);
    out.push_str(
        "\n[retry]                             # failed downloads: 3 attempts after 1 s, 2 s, 4 s\n\
         attempts = 3\nbase = \"1s\"\nfactor = 2\ncap = \"5m\"\n\
         \n[mode]                              # off | observe | approve | auto, by class or by rule id\n\
         default = \"auto\"                    # start with \"observe\" to see what would be done\n\
         # corrupt = \"approve\"\n",
    );
    bot_api(&mut out, found);
    telegram(&mut out, found);
    bot(&mut out, found);
    out
}

fn sources(out: &mut String, found: &Found) {
    let libraries =
        if found.libraries.is_empty() { String::new() } else { format!("   # found: {}", found.libraries.join(", ")) };
    out.push_str("\n# Where the bot's log comes from.\n");
    match (&found.log, &found.unit) {
        (Some(log), _) => {
            let _ = writeln!(out, "[[source]]\nname = \"bot\"\npath = {}", quoted(&log.path));
        }
        (None, Some(unit)) => {
            let _ = writeln!(out, "[[source]]\nname = \"bot\"\njournal = {}", quoted(&unit.name));
        }
        (None, None) => out.push_str(
            "# No log was found: start the bot with `logmedic run -- COMMAND` and its output is the source, or:\n\
             # [[source]]\n# name = \"bot\"\n# path = \"logs/bot.log\"\n",
        ),
    }
    let _ = writeln!(
        out,
        "# packs = [\"python-telegram-bot\", \"generic\"]   # default: every shipped rule pack{libraries}"
    );
}

fn roots(out: &mut String, found: &Found) {
    out.push_str("\n# The only places in which logmedic may ever change a file.\n");
    if found.media.is_empty() {
        out.push_str(
            "# [[root]]\n# name = \"models\"\n# path = \"models\"\n# owner = \"bot\"\n# group = \"bot\"\n\
             # dir_mode = \"2775\"\n# file_mode = \"0664\"\n",
        );
    }
    for dir in &found.media {
        root(out, dir);
    }
}

fn root(out: &mut String, dir: &MediaDir) {
    /// What most bots' files have; taken where none was found.
    const FILE_MODE: u32 = 0o664;
    /// A directory of another mode could not be used by its owner.
    const OWNERS: u32 = 0o700;
    let _ = writeln!(out, "[[root]]\nname = {}\npath = {}", quoted(&dir.name), quoted(&dir.path));
    let _ = writeln!(out, "owner = {}                     # as found; access is restored to this", quoted(&dir.owner));
    let _ = writeln!(out, "group = {}", quoted(&dir.group));
    let _ = writeln!(out, "dir_mode = \"{:04o}\"", dir.dir_mode | OWNERS);
    // An owner who cannot read and write would be the fault itself.
    let _ = writeln!(out, "file_mode = \"{:04o}\"", dir.file_mode.unwrap_or(FILE_MODE) | 0o600);
}

fn bot_api(out: &mut String, found: &Found) {
    let has = |name: &str| found.variables.iter().any(|variable| variable == name);
    out.push_str("\n[bot_api]                           # where downloads are repeated by file_id\n");
    if has("TELEGRAM_API_URL") {
        out.push_str("# url: TELEGRAM_API_URL of .env\n");
    } else if found.local_server {
        out.push_str("url = \"http://127.0.0.1:8081\"       # the local server of the compose file\n");
    } else {
        out.push_str("# url = \"http://127.0.0.1:8081\"     # a local server has no 20 MB limit\n");
    }
    match (found.token_files.iter().any(|file| file == "bot.token"), token_variable(found)) {
        (true, _) => out.push_str("token_file = \"bot.token\"\n"),
        (false, Some(name)) => {
            let _ = writeln!(out, "# token: {name} of .env");
        }
        (false, None) => out.push_str("# token_file = \"bot.token\"          # the download bot's token; chmod 600\n"),
    }
}

fn telegram(out: &mut String, found: &Found) {
    out.push_str("\n[telegram]                          # where alerts go; best a bot of its own\n");
    if found.token_files.iter().any(|file| file == "alerts.token") {
        out.push_str("token_file = \"alerts.token\"\n");
    } else {
        out.push_str(
            "# token_file = \"alerts.token\"       # without it the download bot's token is used, to send only\n",
        );
    }
    match found.variables.iter().find(|name| name.starts_with("ADMIN_ID")) {
        Some(name) => {
            let _ = writeln!(out, "# admins: {name} of .env");
        }
        None => out.push_str("# admins = [123456]                 # your number: ask @userinfobot\n"),
    }
}

fn bot(out: &mut String, found: &Found) {
    out.push_str("\n[bot]                               # what is known of the bot\n");
    let command = found.command.clone().unwrap_or_else(|| vec!["python3".into(), "main.py".into()]);
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    match &found.unit {
        Some(unit) => {
            let _ = writeln!(out, "# {} starts the bot; logmedic only watches it.", comment(&unit.name));
        }
        None => {
            let _ = writeln!(out, "# With a command, `logmedic run` starts the bot and restarts it when it dies.");
        }
    }
    let _ = writeln!(out, "# command = [{}]", words.join(", "));
    out.push_str("# restart = \"on-failure\"\n");
    match found.unit.as_ref().and_then(|unit| unit.user.as_ref()) {
        Some(user) if !user.contains('%') => {
            let _ =
                writeln!(out, "user = {}                      # access to files is checked as this user", quoted(user));
        }
        _ => out.push_str("# user = \"bot\"                      # access to files is checked as this user\n"),
    }
}

fn token_variable(found: &Found) -> Option<&str> {
    found.variables.iter().map(String::as_str).find(|name| name.ends_with("TOKEN"))
}

/// What was found, a line each.
#[must_use]
pub fn summary(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(found.log.as_ref().map(|log| match log.files {
        0 => format!("log: none yet, will be {}", log.path),
        1 => format!("log: {}", log.path),
        n => format!("logs: {} ({n} files)", log.path),
    }));
    lines.extend(
        found.media.iter().map(|dir| {
            format!("media: {} ({}:{} {:04o}) becomes a root", dir.path, dir.owner, dir.group, dir.dir_mode)
        }),
    );
    lines.extend((!found.libraries.is_empty()).then(|| format!("uses: {}", found.libraries.join(", "))));
    lines.extend(found.unit.as_ref().map(|unit| format!("unit: {}", unit.name)));
    lines.extend(found.command.as_ref().map(|command| format!("program: {}", command.join(" "))));
    lines.extend((!found.variables.is_empty()).then(|| format!(".env: {}", found.variables.join(", "))));
    lines.extend(found.local_server.then(|| "compose: a local Bot API server".to_owned()));
    if lines.is_empty() {
        lines.push("nothing of a bot; the configuration holds examples only".into());
    }
    lines
}

/// What to do next, a line each.
#[must_use]
pub fn next_steps(found: &Found, file: &str) -> Vec<String> {
    let mut lines = vec![format!("logmedic check --config {file}")];
    match (&found.unit, &found.command) {
        (Some(_), _) => lines.push(format!("logmedic run --config {file}")),
        (None, Some(command)) => lines.push(format!("logmedic run --config {file} -- {}", command.join(" "))),
        (None, None) => lines.push(format!("logmedic run --config {file} -- COMMAND")),
    }
    lines
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Text that stays in its comment.
fn comment(text: &str) -> String {
    crate::vocab::clean_line(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_strings() {
        let dir = MediaDir {
            name: "models".into(),
            path: "/x/\"a\" # b".into(),
            owner: "o".into(),
            group: "g".into(),
            dir_mode: 0o055,
            file_mode: Some(0o044),
        };
        let found = Found { media: vec![dir], ..Found::default() };
        let read: toml::Table = text(&found).parse().unwrap();
        assert_eq!(read["root"][0]["path"].as_str(), Some("/x/\"a\" # b"));
        assert_eq!(
            (read["root"][0]["dir_mode"].as_str(), read["root"][0]["file_mode"].as_str()),
            (Some("0755"), Some("0644"))
        );
    }
}
