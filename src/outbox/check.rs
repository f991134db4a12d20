//! Asks Telegram, before it matters, whether alerts will arrive. I/O.

use teloxide::requests::Requester as _;
use teloxide::types::{ChatAction, ChatId};

use super::judge::Verdict;
use super::settings::TelegramSettings;
use super::telegram::Telegram;
use super::texts::Texts;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// All is well.
    pub ok: bool,
    /// The chat it is about; `None`: the token.
    pub chat: Option<i64>,
    /// What was found, in one sentence.
    pub says: String,
    /// What would help.
    pub remedy: Option<String>,
}

/// What a preflight found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The bot's user name, when the token is valid.
    pub bot: Option<String>,
    /// The token first, then every chat.
    pub checks: Vec<Check>,
}

impl CheckReport {
    /// Whether every alert would arrive.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// Asks whether the token is valid and every chat can be reached. Sends no message; a chat sees "typing…" at most.
pub async fn check(settings: &TelegramSettings) -> CheckReport {
    let texts = Texts::load(settings.language, settings.templates_dir.as_deref())
        .unwrap_or_else(|_| Texts::shipped(settings.language));
    let bad =
        |says: String, remedy: &str| Check { ok: false, chat: None, says, remedy: Some(texts.get(remedy).into()) };
    let telegram = match Telegram::new(settings) {
        Ok(telegram) => telegram,
        Err(error) => {
            let says =
                texts.fill("check.unreachable", &[("url", settings.api_url.as_str()), ("error", &error.to_string())]);
            return CheckReport { bot: None, checks: vec![bad(says, "check.unreachable_remedy")] };
        }
    };
    let name = match telegram.within(async { telegram.bot.get_me().await }).await {
        Ok(me) => me.user.username.unwrap_or_default(),
        Err(Verdict::Token(error)) => {
            let says = texts.fill("check.token_bad", &[("error", &error)]);
            return CheckReport { bot: None, checks: vec![bad(says, "check.token_bad_remedy")] };
        }
        Err(verdict) => {
            let words = [("url", settings.api_url.as_str()), ("error", &said(&verdict))];
            let says = texts.fill("check.unreachable", &words);
            return CheckReport { bot: None, checks: vec![bad(says, "check.unreachable_remedy")] };
        }
    };
    let says = texts.fill("check.token_ok", &[("name", &name)]);
    let mut checks = vec![Check { ok: true, chat: None, says, remedy: None }];
    if settings.admins.is_empty() {
        checks.push(bad(texts.get("check.no_admins").into(), "check.no_admins_remedy"));
    }
    for &chat in &settings.admins {
        checks.push(chat_check(&telegram, chat, &name, &texts).await);
    }
    CheckReport { bot: Some(name), checks }
}

/// `getChat` knows whether the chat exists; only an action shows that the bot is not blocked.
async fn chat_check(telegram: &Telegram, chat: i64, name: &str, texts: &Texts) -> Check {
    let id = ChatId(chat);
    let seen = telegram.within(async { telegram.bot.get_chat(id).await }).await.map(|_| ());
    let verdict = match seen {
        Err(verdict @ (Verdict::Dead(_) | Verdict::Moved(_) | Verdict::Token(_))) => Err(verdict),
        // A newer server's answer may not be readable: the action decides.
        _ => telegram.within(async { telegram.bot.send_chat_action(id, ChatAction::Typing).await }).await.map(|_| ()),
    };
    let number = chat.to_string();
    match verdict {
        Ok(()) | Err(Verdict::Arrived(_) | Verdict::Limited(_)) => {
            let says = texts.fill("check.chat_ok", &[("chat", &number)]);
            Check { ok: true, chat: Some(chat), says, remedy: None }
        }
        Err(verdict) => {
            let remedy = match &verdict {
                Verdict::Moved(target) => texts.fill("check.chat_moved_remedy", &[("target", &target.to_string())]),
                Verdict::Dead(_) if chat < 0 => texts.fill("check.chat_group_remedy", &[("name", name)]),
                Verdict::Dead(_) | Verdict::Refused(_) => texts.fill("check.chat_start_remedy", &[("name", name)]),
                _ => texts.get("check.unreachable_remedy").to_owned(),
            };
            let says = texts.fill("check.chat_bad", &[("chat", &number), ("error", &said(&verdict))]);
            Check { ok: false, chat: Some(chat), says, remedy: Some(remedy) }
        }
    }
}

/// A verdict in words.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::NotSent(error)
        | Verdict::Unknown(error)
        | Verdict::Refused(error)
        | Verdict::Dead(error)
        | Verdict::Token(error) => error.clone(),
        Verdict::Moved(target) => format!("→ {target}"),
        Verdict::Limited(_) => "429".to_owned(),
        Verdict::Arrived(_) | Verdict::Gone => String::new(),
    }
}
