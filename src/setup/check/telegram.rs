//! Checks tokens, admin chats and the Bot API server, by asking them. I/O. No token is ever shown.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value as Json;

use super::Finding;
use crate::setup::config::Config;
use crate::vocab::{Secret, clean_line, redact, shorten};

/// A server that takes longer will not do for alerts either.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers to `getMe` and `getChat` are a few kilobytes; what is longer is not from a Bot API server.
const ANSWER_MAX: usize = 256 * 1024;
/// Telegram's own words, bounded.
const WORDS_MAX: usize = 200;
/// The server that everybody has.
const CLOUD: &str = "https://api.telegram.org";

/// What came of a call.
enum Answer {
    /// `result`.
    Good(Json),
    /// `error_code` and `description`.
    Refused(i64, String),
    /// No Bot API answer: the server is down, or is another server.
    Unreachable(String),
}

/// Everything about Telegram.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let (api, alerts) = (&config.bot_api, &config.telegram);
    let mut findings = Vec::new();
    if let Some(token) = &api.token {
        findings.extend(download_bot(&api.url, token).await);
    } else {
        let remedy = "write token_file = \"bot.token\" under [bot_api], or set TELEGRAM_TOKEN";
        findings.push(Finding::warn("token", "no download bot: nothing can be fetched again by file_id", remedy));
    }
    let Some(token) = &alerts.token else {
        let remedy = "write token_file = \"alerts.token\" and admins = [YOUR_ID] under [telegram]";
        findings.push(Finding::warn("alerts", "no alert bot: nobody is told", remedy));
        return findings;
    };
    if alerts.shared {
        let detail = "alerts use the download bot's token: logmedic then only sends, without buttons and commands, because two programs cannot read one bot's messages";
        findings.push(Finding::warn(
            "alerts",
            detail,
            "make a bot of its own with BotFather and set [telegram] token_file",
        ));
    }
    // A shared token at the same server was asked already.
    if !alerts.shared || alerts.api_url != api.url {
        findings.push(alert_bot(&alerts.api_url, token).await);
    }
    if alerts.admins.is_empty() {
        let remedy = "write admins = [YOUR_ID] under [telegram] (ask @userinfobot for it), or set ADMIN_ID";
        findings.push(Finding::warn("admins", "nobody is named who gets alerts", remedy));
    }
    if !alerts.shared && !alerts.admins.is_empty() {
        findings.extend(buttons(&alerts.api_url, token, &alerts.admins).await);
    }
    findings.extend(join_all(alerts.admins.iter().map(|admin| chat(&alerts.api_url, token, *admin))).await);
    findings
}

/// Whether what is pressed will be heard. `getUpdates` itself is not tried: it would cut off the agent that runs.
async fn buttons(url: &str, token: &Secret, admins: &[i64]) -> Option<Finding> {
    if admins.iter().all(|admin| *admin < 0) {
        let detail = "only groups are in [telegram] admins: there are no buttons and no commands";
        return Some(Finding::warn(
            "buttons",
            detail,
            "add the number of each person who may press (ask @userinfobot for it)",
        ));
    }
    // Who does not answer is told of by the other checks.
    let Answer::Good(info) = call(url, token, "getWebhookInfo", &[]).await else { return None };
    if info.get("url").and_then(Json::as_str).is_some_and(|url| !url.is_empty()) {
        let detail =
            "another program takes the messages of the alert bot (a webhook is set): buttons and commands do nothing";
        let remedy = "give logmedic a bot of its own ([telegram] token_file), or end the webhook (deleteWebhook)";
        return Some(Finding::warn("buttons", detail, remedy));
    }
    Some(Finding::ok("buttons", "the alert bot is logmedic's own: buttons and commands of the admins are obeyed"))
}

async fn download_bot(url: &str, token: &Secret) -> Vec<Finding> {
    let local = url != CLOUD;
    let answer = call(url, token, "getMe", &[]).await;
    let mut findings = Vec::new();
    match (&answer, local) {
        (Answer::Unreachable(why), true) => {
            let detail = format!("the Bot API server at {} does not answer: {why}", redact(url));
            return vec![Finding::fail(
                "server",
                detail,
                "start it (telegram-bot-api --local), or correct [bot_api] url",
            )];
        }
        (_, true) => findings.push(Finding::ok("server", format!("the Bot API server at {} answers", redact(url)))),
        (_, false) => {}
    }
    findings.push(verdict("token", "the download bot", "[bot_api] token_file", &answer));
    if !local && matches!(answer, Answer::Good(_)) {
        let detail = "through api.telegram.org files up to 20 MB can be fetched";
        findings.push(Finding::warn(
            "server",
            detail,
            "for larger ones run telegram-bot-api --local and set [bot_api] url",
        ));
    }
    findings
}

async fn alert_bot(url: &str, token: &Secret) -> Finding {
    verdict("alerts", "the alert bot", "[telegram] token_file", &call(url, token, "getMe", &[]).await)
}

fn verdict(check: &'static str, who: &str, key: &str, answer: &Answer) -> Finding {
    match answer {
        Answer::Good(me) => {
            let name = me.get("username").and_then(Json::as_str).unwrap_or("(without a name)");
            Finding::ok(check, format!("{who} is @{}", words(name)))
        }
        Answer::Refused(401 | 404, why) => {
            let remedy = format!("copy the token from BotFather (/mybots, API Token) into {key}");
            Finding::fail(check, format!("the token of {who} is not valid: {why}"), remedy)
        }
        Answer::Refused(code, why) => {
            Finding::fail(check, format!("{who} is refused: {code} {why}"), "try again later; see the server's log")
        }
        Answer::Unreachable(why) => {
            let remedy = "check network, proxy and address";
            Finding::fail(check, format!("{who} could not be asked for: {why}"), remedy)
        }
    }
}

async fn chat(url: &str, token: &Secret, id: i64) -> Finding {
    match call(url, token, "getChat", &[("chat_id", id)]).await {
        Answer::Good(_) => Finding::ok("admins", format!("chat {id} can be reached")),
        Answer::Refused(code, why) => {
            let remedy = "that person must open the alert bot and press Start (a group must add it)";
            Finding::fail("admins", format!("chat {id} cannot be reached: {code} {why}"), remedy)
        }
        Answer::Unreachable(why) => {
            Finding::fail("admins", format!("chat {id} could not be asked for: {why}"), "check network and address")
        }
    }
}

async fn call(url: &str, token: &Secret, method: &str, query: &[(&str, i64)]) -> Answer {
    match tokio::time::timeout(PATIENCE, ask(url, token, method, query)).await {
        Ok(Ok(answer)) => answer,
        // Without the address: it holds the token.
        Ok(Err(error)) => Answer::Unreachable(words(&chain(&error.without_url()))),
        Err(_) => Answer::Unreachable(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// An error and its causes; `reqwest` hides the telling one at the bottom.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

async fn ask(url: &str, token: &Secret, method: &str, query: &[(&str, i64)]) -> Result<Answer, reqwest::Error> {
    let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    let loopback = url::Url::parse(url).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    });
    if loopback {
        // A proxy for the outside does not know what runs on this machine.
        client = client.no_proxy();
    }
    let request = client.build()?.get(format!("{url}/bot{}/{method}", token.expose())).query(query);
    let mut response = request.send().await?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Ok(Answer::Unreachable("its answer is far too long for a Bot API server".into()));
        }
        body.extend_from_slice(&chunk);
    }
    let Ok(Json::Object(mut answer)) = serde_json::from_slice(&body) else {
        return Ok(Answer::Unreachable(format!("HTTP {status}, which is no answer of a Bot API server")));
    };
    if answer.get("ok") == Some(&Json::Bool(true)) {
        return Ok(Answer::Good(answer.remove("result").unwrap_or_default()));
    }
    let code = answer.get("error_code").and_then(Json::as_i64).unwrap_or_else(|| i64::from(status.as_u16()));
    let why = answer.get("description").and_then(Json::as_str).unwrap_or("no reason given");
    Ok(Answer::Refused(code, words(why)))
}

/// A stranger's words: one line, short, without secrets.
fn words(text: &str) -> String {
    shorten(&clean_line(&redact(text)), WORDS_MAX).into_owned()
}
