//! Checks `[[channel]]`, finds its secrets, and shapes it for the outbox. I/O for the secret files only.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::config::{Channel, ChannelKind, Config};
use super::load::Loaded;
use super::policy::lang;
use super::problem::Problem;
use super::schema::nearest;
use super::secrets;
use super::tree::Node;
use crate::outbox::{self, ChannelSettings, EmailSettings, PushSettings, Quiet, Rules, Way, WebhookSettings, full};
use crate::vocab::{Class, Secret, Severity, Story};

/// More channels than this are a mistake: each has a loop and a connection of its own.
const CHANNELS_MAX: usize = 50;

/// More readers than this want a mailing list.
const READERS_MAX: usize = 50;

/// Reminders closer than this would be noise.
const REPEAT_MIN_S: u64 = 60;

/// Messages a minute at most that can be asked for.
const RATE_MAX: u32 = 600;

/// A bundle of every public authority is half as large.
const CA_MAX: u64 = 512 << 10;

/// The name of the rules for browsers when nothing is configured.
const BROWSERS: &str = "browsers";

/// Collects problems with one channel.
struct At<'a> {
    tree: &'a Node,
    index: String,
    problems: &'a mut Vec<Problem>,
}

impl At<'_> {
    fn must(&mut self, ok: bool, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        if !ok {
            let path = ["channel".to_owned(), self.index.clone(), key.to_owned()];
            self.problems.push(Problem::at(&self.tree.nearest(&path).origin, message).remedy(remedy));
        }
    }
}

/// Checks what types cannot say.
pub(super) fn check(config: &Config, tree: &Node, problems: &mut Vec<Problem>) {
    let names: Vec<&str> = config.channel.iter().map(|channel| channel.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (index, channel) in config.channel.iter().enumerate() {
        let mut at = At { tree, index: index.to_string(), problems };
        let name = channel.name.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let good = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        at.must(good, "name", "a channel needs a name of letters, digits, `.`, `-` and `_`", "write name = \"ops\"");
        at.must(seen.insert(name), "name", format!("two channels are called `{name}`"), "give each its own name");
        at.must(index < CHANNELS_MAX, "name", format!("more than {CHANNELS_MAX} channels"), "delete some");
        rules(channel, &names, &mut at);
        match channel.kind {
            ChannelKind::Webhook => webhook(channel, &mut at),
            ChannelKind::Email => email(channel, &mut at),
            ChannelKind::Push => {
                let first = config.channel.iter().position(|one| one.kind == ChannelKind::Push) == Some(index);
                at.must(first, "kind", "two channels are for browsers", "keep one: it holds for all browsers");
                let contact = channel.from.as_deref().unwrap_or("mailto:x");
                let good = contact.starts_with("mailto:") || contact.starts_with("https://");
                at.must(good, "from", "push services want a contact", "write from = \"mailto:you@example.org\"");
            }
        }
        at.must(!circle(config, channel), "fallback", "the fallbacks lead back to where they began", "end the circle");
    }
}

fn rules(channel: &Channel, names: &[&str], at: &mut At<'_>) {
    let words: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).chain(Story::KINDS.iter().copied()).collect();
    for word in &channel.classes {
        let remedy = match nearest(word, &words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write some of: {}", words.join(", ")),
        };
        at.must(words.contains(&word.as_str()), "classes", format!("`{word}` is neither a class nor a kind"), remedy);
    }
    if let Some(Err(error)) = channel.quiet.as_deref().map(Quiet::parse) {
        at.must(false, "quiet", error, "write quiet = \"23:00-07:00\"");
    }
    let often = channel.repeat.is_some_and(|every| every.0.as_secs() < REPEAT_MIN_S);
    at.must(!often, "repeat", "reminders may come once a minute at most", "write repeat = \"1h\"");
    at.must((1..=RATE_MAX).contains(&channel.rate), "rate", "`rate` is out of range", format!("write 1 to {RATE_MAX}"));
    if let Some(other) = &channel.fallback {
        let remedy = match nearest(other, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a [[channel]] with name = \"{other}\""),
        };
        at.must(names.contains(&other.as_str()), "fallback", format!("no channel is called `{other}`"), remedy);
    }
}

/// Whether the fallbacks of a channel lead back to it.
fn circle(config: &Config, channel: &Channel) -> bool {
    let mut next = channel.fallback.as_ref();
    for _ in 0..config.channel.len() {
        let Some(name) = next else { return false };
        if *name == channel.name {
            return true;
        }
        next = config.channel.iter().find(|one| one.name == *name).and_then(|one| one.fallback.as_ref());
    }
    false
}

fn webhook(channel: &Channel, at: &mut At<'_>) {
    let some = channel.url.is_some() || channel.url_file.is_some();
    at.must(
        some,
        "kind",
        "a webhook needs an address",
        "write url = \"https://…\", or url_file with the address in it",
    );
    at.must(
        channel.smtp.is_none() && channel.to.is_empty(),
        "kind",
        "`smtp` and `to` are for mail",
        "write kind = \"email\"",
    );
    if let Some(url) = &channel.url {
        at.must(address(url), "url", "this is not the address of a webhook", "write url = \"https://host/path\"");
    }
}

fn address(url: &Secret) -> bool {
    url::Url::parse(url.expose()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

fn email(channel: &Channel, at: &mut At<'_>) {
    at.must(
        channel.url.is_none() && channel.url_file.is_none(),
        "kind",
        "mail has no `url`",
        "write smtp = \"smtps://USER@HOST\"",
    );
    let server = channel.smtp.as_deref().and_then(|text| url::Url::parse(text).ok());
    let good = server.as_ref().is_some_and(|url| {
        matches!(url.scheme(), "smtp" | "smtps") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    at.must(good, "smtp", "mail needs a server", "write smtp = \"smtps://USER@mail.example.org\"");
    let open = server.as_ref().is_some_and(|url| url.password().is_some());
    at.must(!open, "smtp", "the password does not belong into the address", "put it into a file named by secret_file");
    let mailbox = |text: &str| text.parse::<lettre::message::Mailbox>().is_ok();
    let from = channel.from.as_deref().is_some_and(mailbox);
    at.must(from, "from", "mail needs a sender", "write from = \"logmedic <alerts@example.org>\"");
    let readers = (1..=READERS_MAX).contains(&channel.to.len()) && channel.to.iter().all(|to| mailbox(to));
    at.must(readers, "to", format!("mail needs 1 to {READERS_MAX} readers"), "write to = [\"you@example.org\"]");
}

/// Fills `url` and `secret` from their files, and hides them in the tree.
pub(super) fn resolve(config: &mut Config, tree: &mut Node, problems: &mut Vec<Problem>) {
    for (index, channel) in config.channel.iter_mut().enumerate() {
        let at = index.to_string();
        let both = [
            ("url", "url_file", &mut channel.url, channel.url_file.as_ref()),
            ("secret", "secret_file", &mut channel.secret, channel.secret_file.as_ref()),
        ];
        if let Some(file) = &channel.ca_file {
            let origin = tree.get(&["channel", &at, "ca_file"]).map(|node| node.origin.clone());
            if let Err(error) = authority(&file.path) {
                let message = format!("failed to use {}: {error}", file.shown);
                let problem = Problem { origin, ..Problem::general(message) };
                problems.push(
                    problem.remedy("write the certificate of your authority into it, -----BEGIN CERTIFICATE-----…"),
                );
            }
        }
        for (key, file_key, value, file) in both {
            let said = |key| tree.get(&["channel", &at, key]).map(|node| node.origin.clone());
            if let Some(file) = file {
                let origin = said(file_key);
                if value.is_some() {
                    let message = format!("both `{key}` and `{file_key}` are set for channel `{}`", channel.name);
                    let problem = Problem { origin, ..Problem::general(message) };
                    problems.push(problem.remedy(format!("keep `{file_key}` and delete `{key}`")));
                    continue;
                }
                match secrets::read(&file.path) {
                    Ok(secret) if key == "url" && !address(&secret) => {
                        let message = format!("{} does not hold the address of a webhook", file.shown);
                        let problem = Problem { origin, ..Problem::general(message) };
                        problems.push(problem.remedy("write https://… into it"));
                    }
                    Ok(secret) => *value = Some(secret),
                    Err(problem) => problems.push(Problem { origin, ..problem }),
                }
            } else if let Some(origin) = said(key) {
                hide(tree, index, key, Node::scalar(origin, "[hidden]"));
            }
        }
    }
}

/// The certificates in a file: no secret, but a mistake in it must be told before a message is late.
fn authority(path: &Path) -> Result<String, String> {
    let mut pem = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(CA_MAX + 1).read_to_string(&mut pem).map_err(|error| error.to_string())?;
    if pem.len() as u64 > CA_MAX {
        return Err(format!("it is larger than {CA_MAX} bytes"));
    }
    outbox::check_ca(&pem)?;
    Ok(pem)
}

fn hide(tree: &mut Node, index: usize, key: &str, with: Node) {
    use super::tree::Value;
    let Value::Table(top) = &mut tree.value else { return };
    let Some(Node { value: Value::List(list), .. }) = top.get_mut("channel") else { return };
    if let Some(Node { value: Value::Table(channel), .. }) = list.get_mut(index) {
        channel.insert(key.to_owned(), with);
    }
}

/// The channels as the outbox delivers to them, and the rules for browsers.
#[must_use]
pub fn settings(loaded: &Loaded) -> (Vec<ChannelSettings>, ChannelSettings) {
    let config = &loaded.config;
    let all: Vec<ChannelSettings> = config.channel.iter().filter_map(|channel| one(config, channel)).collect();
    let push = all.iter().find(|one| matches!(one.way, Way::Push(_))).cloned().unwrap_or_else(|| ChannelSettings {
        name: BROWSERS.into(),
        rules: Rules {
            min_level: Severity::Warning,
            classes: Vec::new(),
            quiet: None,
            digest: None,
            fallback: None,
            repeat: None,
            rate: 20,
        },
        language: lang(config.language),
        templates_dir: None,
        ca: None,
        way: Way::Push(PushSettings::default()),
    });
    (all, push)
}

fn one(config: &Config, channel: &Channel) -> Option<ChannelSettings> {
    let way = way(channel)?;
    // Browsers are many: they can hand over, but nothing can be handed to them.
    let fallback = channel.fallback.as_ref().and_then(|name| {
        let other = config.channel.iter().find(|one| one.name == *name && one.kind != ChannelKind::Push)?;
        self::way(other).map(|way| full(&way, name))
    });
    let rules = Rules {
        min_level: channel.min_level,
        classes: channel.classes.clone(),
        quiet: channel.quiet.as_deref().and_then(|text| Quiet::parse(text).ok()),
        digest: channel.digest.map(|period| period.0).filter(|period| !period.is_zero()),
        fallback,
        repeat: channel.repeat.map(|period| period.0),
        rate: channel.rate,
    };
    Some(ChannelSettings {
        name: channel.name.clone(),
        rules,
        language: lang(channel.language.unwrap_or(config.language)),
        templates_dir: channel.templates.as_ref().map(|dir| dir.path.clone()),
        // It was read when the configuration was checked; gone since, the public authorities alone are trusted.
        ca: channel.ca_file.as_ref().and_then(|file| authority(&file.path).ok()),
        way,
    })
}

fn way(channel: &Channel) -> Option<Way> {
    Some(match channel.kind {
        ChannelKind::Webhook => Way::Webhook(WebhookSettings {
            url: channel.url.clone()?,
            secret: channel.secret.clone(),
            preset: channel.preset,
        }),
        ChannelKind::Email => Way::Email(EmailSettings {
            smtp: url::Url::parse(channel.smtp.as_deref()?).ok()?,
            password: channel.secret.clone(),
            from: channel.from.clone()?,
            to: channel.to.clone(),
        }),
        ChannelKind::Push => Way::Push(PushSettings { contact: channel.from.clone(), hosts: channel.hosts.clone() }),
    })
}
