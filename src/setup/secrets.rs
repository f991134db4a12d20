//! Finds tokens: in the configuration, in files of their own, in systemd credentials. I/O.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::problem::Problem;
use super::tree::{Node, Origin};
use crate::vocab::Secret;

/// A token file is one short line; what is longer is another file.
const TOKEN_FILE_MAX: u64 = 4096;
/// Nobody but owner and group may read a secret.
const OTHERS: u32 = 0o007;

/// Fills `token` from `token_file` or the systemd credential, checks its form, and finds out whether both are one bot.
pub(super) fn resolve(config: &mut Config, tree: &mut Node, credentials: Option<&Path>, problems: &mut Vec<Problem>) {
    let api = config.bot_api.token_file.as_ref().map(|file| file.path.clone());
    find(&mut config.bot_api.token, api, tree, "bot_api", credentials.map(|dir| dir.join("bot.token")), problems);
    let alerts = config.telegram.token_file.as_ref().map(|file| file.path.clone());
    find(&mut config.telegram.token, alerts, tree, "telegram", credentials.map(|d| d.join("alerts.token")), problems);

    if config.telegram.token.is_none() {
        config.telegram.token = config.bot_api.token.clone();
    }
    let id = |token: &Option<Secret>| token.as_ref().and_then(Secret::bot_id).map(str::to_owned);
    config.telegram.shared = config.telegram.token.is_some()
        && (config.telegram.token == config.bot_api.token || id(&config.telegram.token) == id(&config.bot_api.token));
    // The tree is kept to tell origins; nobody needs the secret from there.
    for section in ["bot_api", "telegram"] {
        if let Some(origin) = tree.get(&[section, "token"]).map(|node| node.origin.clone()) {
            tree.put(&[section.into(), "token".into()], Node::scalar(origin, "[hidden]"));
        }
    }
    // A bot that is logged in at a local server must be spoken to through that server.
    if config.telegram.shared && tree.get(&["telegram", "api_url"]).is_none() {
        config.telegram.api_url = config.bot_api.url.clone();
    }
}

fn find(
    token: &mut Option<Secret>,
    file: Option<PathBuf>,
    tree: &mut Node,
    section: &str,
    credential: Option<PathBuf>,
    problems: &mut Vec<Problem>,
) {
    let said = |key| tree.get(&[section, key]).map(|node| node.origin.clone());
    let (by_token, by_file) = (said("token"), said("token_file"));
    let from_env = |origin: &Option<Origin>| matches!(origin, Some(Origin::Env { .. }));
    match (&by_token, &by_file, file) {
        // The environment is the nearer word when only one of the two comes from it.
        (Some(_), Some(_), _) if from_env(&by_token) && !from_env(&by_file) => {}
        (Some(origin), Some(_), Some(_)) if from_env(&by_token) || !from_env(&by_file) => {
            let message = format!("both `token` and `token_file` are set for [{section}]");
            problems.push(Problem::at(origin, message).remedy("keep `token_file` and delete `token`"));
            return;
        }
        (_, Some(origin), Some(path)) => match read(&path) {
            Ok(secret) => *token = Some(secret),
            Err(problem) => {
                problems.push(Problem { origin: Some(origin.clone()), ..problem });
                return;
            }
        },
        (None, None, _) => {
            if let Some(path) = credential.filter(|path| path.exists()) {
                match read(&path) {
                    Ok(secret) => *token = Some(secret),
                    Err(problem) => problems.push(problem),
                }
                let node = Node::scalar(Origin::Credential { path }, "[hidden]");
                tree.put(&[section.into(), "token".into()], node);
            }
        }
        _ => {}
    }
    let usable = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
    if let Some(secret) = token.as_ref().filter(|s| s.expose().is_empty() || !s.expose().chars().all(usable)) {
        let what = if secret.expose().is_empty() { "is empty" } else { "holds characters that no token has" };
        let mut problem = Problem::general(format!("the token of [{section}] {what}"))
            .remedy("copy the token that BotFather showed: digits, a colon, letters");
        problem.origin = said_by(tree, section);
        problems.push(problem);
        *token = None;
    }
}

fn said_by(tree: &Node, section: &str) -> Option<Origin> {
    let node = tree.get(&[section, "token_file"]).or_else(|| tree.get(&[section, "token"]))?;
    Some(node.origin.clone())
}

/// Reads one secret from a file that strangers cannot read.
pub(super) fn read(path: &Path) -> Result<Secret, Problem> {
    let fail = |error: io::Error| {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => format!("write the token into it: umask 077; cat > {}", path.display()),
            io::ErrorKind::PermissionDenied => format!("let this user read it: chown \"$USER\" {}", path.display()),
            _ => "name a readable file".into(),
        };
        Problem { denied, ..Problem::general(format!("failed to read {}: {error}", path.display())).remedy(remedy) }
    };
    let file = fs::File::open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    if !meta.is_file() {
        return Err(Problem::general(format!("{} is not a regular file", path.display())));
    }
    let mode = meta.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(Problem::general(format!(
            "every user of this machine may use {} (mode {:04o})",
            path.display(),
            mode & 0o7777
        ))
        .remedy(format!("chmod o= {}", path.display())));
    }
    let mut text = String::new();
    file.take(TOKEN_FILE_MAX).read_to_string(&mut text).map_err(fail)?;
    if text.trim().is_empty() {
        return Err(Problem::general(format!("{} is empty", path.display())).remedy("write the token into it"));
    }
    Ok(Secret::new(&text))
}
