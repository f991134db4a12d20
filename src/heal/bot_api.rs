//! Fetches a file of Telegram again, by `file_id` or by the path an earlier `getFile` answered.
//!
//! Plain requests instead of `teloxide` here: it sleeps ten seconds inside on every 5xx, hides the status behind
//! its own error types, does not know the texts that matter ("temporarily unavailable", "file is too big"), and
//! cannot read a local server's files. The alerts' side uses it.

use std::path::{Component, Path};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::http::{Want, fetch, retry_after, small_body, unreachable};
use super::output::{Step, evidence, permanent, refused, transient_of};
use super::part::Draft;
use super::{Healer, Stop};
use crate::decide::{Expect, TaskOutput};
use crate::roots::{Error, RootPath, RootSpec, Roots};
use crate::vocab::Evidence;
use crate::vocab::Secret;

/// `file_id`s have about 100 characters; nothing says that they stay so.
const MAX_FILE_ID: usize = 512;
/// "Temporarily unavailable" hides 429 and every 5xx of the download behind it: asking at once makes it worse.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(10);
/// The cloud's host: it answers `getFile` at once, a local server only when the whole file is there.
const CLOUD: &str = "api.telegram.org";
/// The longest wait for it.
const CLOUD_WAIT: Duration = Duration::from_secs(60);

/// An answer of the Bot API.
#[derive(Deserialize, Default)]
struct Envelope {
    #[serde(default)]
    ok: bool,
    result: Option<FileInfo>,
    #[serde(default)]
    description: String,
    error_code: Option<u16>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u64>,
}

#[derive(Deserialize)]
struct FileInfo {
    file_path: Option<String>,
    file_size: Option<u64>,
    #[serde(default)]
    file_unique_id: String,
}

impl Healer {
    pub(super) async fn fetch_file_id(
        &self,
        id: &str,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<(Draft, Evidence)> {
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if id.is_empty() || id.len() > MAX_FILE_ID || !plain {
            return Err(permanent("what the log has as file_id is none"));
        }
        let info = self.get_file(id).await?;
        let Some(server_path) = info.file_path else {
            return Err(transient_of("getFile named no file yet", Evidence::new(), None, None));
        };
        let limit = self.settings().max_download;
        if let Some(size) = info.file_size.filter(|size| *size > limit) {
            return Err(permanent(format!("it has {size} bytes, more than the {limit} a download may have")));
        }
        let known = Expect { size: info.file_size.or(expect.size), ..expect.clone() };
        let source = format!("telegram:{}:{id}", info.file_unique_id);
        if server_path.starts_with('/') {
            return self.fetch_from_disk(&server_path, &source, path, &known, stop).await;
        }
        self.fetch_from_server(&server_path, &source, path, &known, stop).await.map_err(|output| match *output {
            // The link of a moment ago is gone: the server collected its files; the next getFile makes a new one.
            TaskOutput::Permanent { detail, evidence } if evidence.get("http_status") == Some(&json!(404)) => {
                transient_of(detail, evidence, None, None)
            }
            other => Box::new(other),
        })
    }

    pub(super) async fn fetch_file_path(
        &self,
        hint: &str,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<(Draft, Evidence)> {
        let server_path = self.server_path(hint)?;
        let source = format!("telegram-path:{server_path}");
        self.fetch_from_server(&server_path, &source, path, expect, stop).await
    }

    /// The path behind the token in what a log has: `videos/file_7.mp4`, `/file/bot…/videos/file_7.mp4` or a whole
    /// address.
    fn server_path(&self, hint: &str) -> Step<String> {
        let Some((_, behind)) = hint.split_once("/file/bot") else { return Ok(hint.to_owned()) };
        let Some((token, path)) = behind.split_once('/') else { return Err(permanent("no path behind the token")) };
        let bot = token.split(':').next().unwrap_or_default().split('%').next().unwrap_or_default();
        let ours = self.settings().bot_api.token.as_ref().and_then(|token| token.expose().split(':').next());
        if ours.is_some_and(|ours| ours != bot && bot.bytes().all(|b| b.is_ascii_digit())) {
            return Err(permanent(format!("the file belongs to another bot ({bot})")));
        }
        Ok(path.to_owned())
    }

    async fn get_file(&self, id: &str) -> Step<FileInfo> {
        let (client, url) = (self.client()?, self.api_url(&[], &["getFile"])?);
        let request = client.post(url.clone()).json(&json!({ "file_id": id })).send();
        let wait = if url.host_str() == Some(CLOUD) { CLOUD_WAIT } else { Duration::MAX };
        let limit = wait.min(self.settings().timeouts.get_file);
        let late = || {
            let detail = format!("getFile was not answered within {} s", limit.as_secs());
            transient_of(detail, Evidence::new(), None, None)
        };
        let sent = tokio::time::timeout(limit, request).await.map_err(|_| late())?;
        let response = sent.map_err(|error| unreachable(&url, error))?;
        let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
        let body = small_body(response, self.settings().timeouts.stall).await;
        match serde_json::from_slice::<Envelope>(&body) {
            Ok(Envelope { ok: true, result: Some(info), .. }) => Ok(info),
            Ok(envelope) => Err(told(&url, status, wait, &envelope)),
            Err(_) => Err(told(&url, if status < 400 { 502 } else { status }, wait, &Envelope::default())),
        }
    }

    /// `{server}/{before}/bot{token}/{behind}` with every part encoded.
    fn api_url(&self, before: &[&str], behind: &[&str]) -> Step<Url> {
        let api = &self.settings().bot_api;
        let token = api.token.as_ref().ok_or_else(|| {
            let remedy = "[bot_api]\ntoken_file = \"bot.token\"   # or TELEGRAM_TOKEN in the environment";
            refused("the download bot's token is not known", Some(remedy.into()))
        })?;
        let wrong = || refused("the address of the Bot API server is wrong: [bot_api] url", None);
        let mut url = Url::parse(&api.url).map_err(|_| wrong())?;
        url.path_segments_mut()
            .map_err(|()| wrong())?
            .pop_if_empty()
            .extend(before)
            .push(&format!("bot{}", token.expose()))
            .extend(behind);
        Ok(url)
    }

    fn client(&self) -> Step<&reqwest::Client> {
        self.inner.client.as_ref().ok_or_else(|| permanent("failed to set up TLS"))
    }

    async fn fetch_from_server(
        &self,
        server_path: &str,
        source: &str,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<(Draft, Evidence)> {
        let parts: Vec<&str> = server_path.split('/').filter(|part| !part.is_empty()).collect();
        // The address normalises dots: they would lead from the file to the bot's methods.
        if parts.is_empty() || server_path.len() > 1024 || parts.iter().any(|part| matches!(*part, "." | "..")) {
            return Err(permanent("the server's path for the file is not a plain path"));
        }
        let url = self.api_url(&["file"], &parts)?;
        let draft = self.draft(path, source).await?;
        let want = Want { client: self.client()?, url, size: expect.size };
        fetch(want, draft, self.settings(), stop).await
    }

    /// A local server (`--local`) names a path on its own disk and does not serve it over HTTP.
    async fn fetch_from_disk(
        &self,
        server_path: &str,
        source: &str,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<(Draft, Evidence)> {
        let why = match self.local_file(server_path) {
            Ok(file) => {
                let draft = self.draft(path, source).await?;
                return self.copy(&file, draft, stop).await;
            }
            Err(why) => why,
        };
        // Some put a web server before those files: below the token the path is the same.
        let behind = self.settings().bot_api.token.as_ref().and_then(|token| {
            let (_, behind) = server_path.split_once(token.expose())?;
            Some(behind.trim_start_matches('/').to_owned())
        });
        let Some(behind) = behind else { return Err(why) };
        self.fetch_from_server(&behind, source, path, expect, stop).await.map_err(|output| match *output {
            TaskOutput::Permanent { .. } => why,
            other => Box::new(other),
        })
    }

    /// The file on this machine, confined to the server's working directory: `files_dir`, or what stands before the
    /// token in the path (`DIR/TOKEN/videos/file_0.mp4`). Only a server that was given the token makes such paths.
    fn local_file(&self, server_path: &str) -> Step<RootPath> {
        let api = &self.settings().bot_api;
        let token = api.token.as_ref().map(Secret::expose).unwrap_or_default();
        let parts: Vec<Component<'_>> = Path::new(server_path).components().collect();
        let at = parts.iter().position(|part| part.as_os_str() == token);
        let (base, below) = match (&api.files_dir, at) {
            (Some(files), _) if Path::new(server_path).starts_with(files) => {
                (files.clone(), Path::new(server_path).strip_prefix(files).unwrap_or(Path::new("")).to_path_buf())
            }
            (Some(files), Some(at)) => (files.clone(), parts[at..].iter().collect()),
            (None, Some(at)) => (parts[..at].iter().collect(), parts[at..].iter().collect()),
            (_, None) => {
                let remedy = "[bot_api]\nfiles_dir = \"/var/lib/telegram-bot-api\"";
                return Err(refused(
                    "the local Bot API server named a file outside the directory logmedic knows of",
                    Some(remedy.into()),
                ));
            }
        };
        let spec =
            RootSpec { name: "bot-api".into(), path: base, owner: None, group: None, dir_mode: None, file_mode: None };
        let (roots, _) = Roots::open(&[spec]);
        let file = roots.within("bot-api", &below.to_string_lossy())?;
        match file.open_read() {
            Ok(_) => Ok(file),
            Err(Error::Denied { .. }) => Err(refused(
                "the local server's file may not be read by logmedic",
                Some("sudo usermod -aG telegram-bot-api logmedic   # then restart logmedic".into()),
            )),
            Err(Error::Missing(_)) => Err(refused(
                "the local server's file is not found on this machine",
                Some("[bot_api]\nfiles_dir = \"/where/its/directory/is/mounted/here\"".into()),
            )),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a refusal of the Bot API means, by its code and its own words (server 10.0).
fn told(url: &Url, status: u16, header: Option<Duration>, answer: &Envelope) -> Box<TaskOutput> {
    let code = answer.error_code.unwrap_or(status);
    let words = answer.description.chars().take(300).collect::<String>();
    let lower = words.to_lowercase();
    let server = super::address::origin(url);
    let seen = evidence(json!({ "http_status": code, "answer": words, "server": server }));
    let shown = if words.is_empty() { "without words" } else { words.as_str() };
    let said = format!("getFile: {code} {shown}");
    let never =
        |help: &str| Box::new(TaskOutput::Permanent { detail: format!("{said}; {help}"), evidence: seen.clone() });
    match code {
        429 => {
            let wait = answer.parameters.retry_after.map(Duration::from_secs).or(header);
            transient_of(said, seen, wait, None)
        }
        500.. => transient_of(said, seen, header, Some(server)),
        400 if lower.contains("temporarily unavailable") => transient_of(said, seen, Some(UNAVAILABLE_WAIT), None),
        400 if lower.contains("file is too big") => {
            never("the server gives files over 20 MB only when it runs with --local")
        }
        400 if lower.contains("file_id") || lower.contains("file id") => never("the file_id is not one of this bot's"),
        401 => never("the token is not valid: [bot_api] token_file"),
        404 => never("the token or the server's address is wrong: [bot_api]"),
        421 => never("this server does not serve this bot (--filter)"),
        _ => never("asking again would not help"),
    }
}
