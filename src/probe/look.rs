//! Looks once at a target: bounded in time and size, no redirects. I/O.
//!
//! Targets come from the configuration only, never from a log line, so addresses on this machine are as good as any.

use std::error::Error as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use memchr::memmem;
use tokio::net::TcpStream;

use super::{Process, Spec, Target, process};
use crate::vocab::{Class, Secret, clean_line, redact, shorten};

/// So much of an answer is searched for `contains`.
const BODY_MAX: usize = 256 << 10;

/// An answer to `getMe` is a few hundred bytes.
const GET_ME_MAX: usize = 64 << 10;

/// Longest sentence about a look, in UTF-16 units.
const DETAIL_MAX: usize = 300;

/// What one look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// All is well.
    pub well: bool,
    /// One sentence, without secrets.
    pub detail: String,
    /// What is wrong, where it is something else than the target's own class.
    pub class: Option<Class>,
    /// How long it took.
    pub took: Duration,
}

/// What a target is looked at with; it remembers what makes the next look cheaper.
#[derive(Clone, Debug, Default)]
pub struct Lens {
    /// A look that blocks is still under way: a file system that hangs must not take a thread each time.
    hangs: Arc<AtomicBool>,
    /// The process that was found last; 0: none.
    found: Arc<AtomicU32>,
    client: Arc<OnceLock<reqwest::Client>>,
}

type Seen = Result<String, (Option<Class>, String)>;

impl Lens {
    /// Looks once. `bot` is the number of the bot's process, where logmedic runs it. Never panics.
    pub async fn look(&self, spec: &Spec, bot: Option<u32>) -> Look {
        let begun = Instant::now();
        let looked = AssertUnwindSafe(tokio::time::timeout(spec.timeout, self.see(spec, bot))).catch_unwind().await;
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => Err((None, format!("no answer within {} ms", spec.timeout.as_millis()))),
            Err(_) => Err((None, "failed to look: a mistake in logmedic; please report it".to_owned())),
        };
        let took = begun.elapsed();
        let (well, class, detail) = match seen {
            Ok(detail) => (true, None, detail),
            Err((class, detail)) => (false, class, detail),
        };
        let detail = redact(&detail);
        let detail = shorten(&clean_line(&detail), DETAIL_MAX).into_owned();
        Look { well, detail, class, took }
    }

    async fn see(&self, spec: &Spec, bot: Option<u32>) -> Seen {
        match &spec.target {
            Target::Http { url, status, contains } => http(self.client()?.get(url), *status, contains.as_deref()).await,
            Target::Tcp { address } => match TcpStream::connect(address.as_str()).await {
                Ok(_) => Ok("accepts connections".to_owned()),
                Err(error) => Err((None, format!("does not accept connections: {error}"))),
            },
            Target::Disk { path, min_free } => {
                let (path, min_free) = (path.clone(), *min_free);
                self.blocking(move || disk(&path, min_free)).await
            }
            Target::Process(which) => self.process(which.clone(), bot).await,
            Target::BotApi { url, token } => bot_api(self.client()?, url, token.as_ref()).await,
        }
    }

    /// No connection is kept, so that each look shows whether a new one is accepted.
    fn client(&self) -> Result<&reqwest::Client, (Option<Class>, String)> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("logmedic/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| (None, format!("failed to set up TLS: {error}")))?;
        Ok(self.client.get_or_init(|| client))
    }

    async fn process(&self, which: Process, bot: Option<u32>) -> Seen {
        let found = Arc::clone(&self.found);
        self.blocking(move || {
            let known = Some(found.load(Ordering::Relaxed)).filter(|pid| *pid > 0);
            let seen = process::find(&which, bot, known);
            found.store(*seen.as_ref().unwrap_or(&0), Ordering::Relaxed);
            seen.map(|pid| format!("runs as process {pid}"))
        })
        .await
    }

    async fn blocking(&self, work: impl FnOnce() -> Result<String, String> + Send + 'static) -> Seen {
        if self.hangs.swap(true, Ordering::AcqRel) {
            return Err((None, "an earlier look still hangs".to_owned()));
        }
        let hangs = Arc::clone(&self.hangs);
        let done = tokio::task::spawn_blocking(move || {
            let seen = std::panic::catch_unwind(AssertUnwindSafe(work));
            hangs.store(false, Ordering::Release);
            seen
        });
        match done.await {
            Ok(Ok(seen)) => seen.map_err(|detail| (None, detail)),
            _ => Err((None, "failed to look: a mistake in logmedic; please report it".to_owned())),
        }
    }
}

fn disk(path: &std::path::Path, min_free: u64) -> Result<String, String> {
    let stat =
        nix::sys::statvfs::statvfs(path).map_err(|error| format!("failed to ask {}: {error}", path.display()))?;
    let unit = stat.fragment_size();
    let free = stat.blocks_available().saturating_mul(unit);
    let total = stat.blocks().saturating_mul(unit);
    if free < min_free {
        return Err(format!("{free} bytes are free of {total}, {min_free} must be"));
    }
    if stat.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
        return Err("the file system is mounted read-only".to_owned());
    }
    Ok(format!("{free} bytes are free of {total}"))
}

async fn http(ask: reqwest::RequestBuilder, status: Option<u16>, contains: Option<&str>) -> Seen {
    let mut response = ask.send().await.map_err(|error| (None, why(error)))?;
    let found = response.status().as_u16();
    let good = status.map_or(found < 400, |wanted| wanted == found);
    if !good {
        let wanted = status.map(|status| format!(", expected {status}")).unwrap_or_default();
        return Err((None, format!("answers {found}{wanted}")));
    }
    if let Some(text) = contains {
        let body = body(&mut response, BODY_MAX).await.map_err(|detail| (None, detail))?;
        if memmem::find(&body, text.as_bytes()).is_none() {
            return Err((None, format!("answers {found}, but without the expected text")));
        }
    }
    Ok(format!("answers {found}"))
}

async fn bot_api(client: &reqwest::Client, url: &str, token: Option<&Secret>) -> Seen {
    let base = url.trim_end_matches('/');
    let Some(token) = token else {
        let response = client.get(base).send().await.map_err(|error| (None, why(error)))?;
        let found = response.status().as_u16();
        let seen = format!("answers {found}");
        return if found < 500 { Ok(seen) } else { Err((None, seen)) };
    };
    let address = format!("{base}/bot{}/getMe", token.expose());
    let mut response = client.get(address).send().await.map_err(|error| (None, why(error)))?;
    let status = response.status().as_u16();
    let body = body(&mut response, GET_ME_MAX).await.map_err(|detail| (None, detail))?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = answer["description"].as_str().unwrap_or_default();
    match (status, answer["ok"].as_bool()) {
        (200, Some(true)) => Ok(format!("answers as @{}", answer["result"]["username"].as_str().unwrap_or("?"))),
        (401 | 404, Some(false)) => Err((Some(Class::Auth), format!("refuses the token: {status} {said}"))),
        (_, None) => Err((None, format!("answers {status}, and nothing that a Bot API server says"))),
        _ => Err((None, format!("answers {status} {said}"))),
    }
}

async fn body(response: &mut reqwest::Response, max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while body.len() < max {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(max - body.len())]),
            Ok(None) => break,
            Err(error) => return Err(format!("breaks off: {}", why(error))),
        }
    }
    Ok(body)
}

/// The last cause says most; the address is left out, it may hold a token.
fn why(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    if error.is_connect() { format!("does not accept connections: {text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Severity;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn spec(target: Target) -> Spec {
        let second = Duration::from_secs(1);
        Spec {
            name: "x".into(),
            target,
            every: second,
            timeout: second,
            fail_after: 1,
            pass_after: 1,
            severity: Severity::Error,
        }
    }

    /// A server that gives every caller this answer.
    async fn server(answer: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 2048];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}")
    }

    async fn look(target: Target) -> Look {
        Lens::default().look(&spec(target), None).await
    }

    #[tokio::test]
    async fn e4_h1_redirects_are_not_followed_and_long_answers_are_cut() {
        let inner = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into()).await;
        let moved = format!("HTTP/1.1 302 Found\r\nlocation: {inner}\r\ncontent-length: 0\r\n\r\n");
        let url = server(moved).await;
        let http = |status, contains: Option<&str>| Target::Http {
            url: url.clone(),
            status,
            contains: contains.map(str::to_owned),
        };
        assert_eq!(look(http(None, None)).await.detail, "answers 302");
        assert_eq!(look(http(Some(200), None)).await.detail, "answers 302, expected 200");
        assert!(!look(http(None, Some("hi"))).await.well);
        let endless = server(format!("HTTP/1.1 200 OK\r\n\r\n{}needle", "x".repeat(BODY_MAX))).await;
        let needle = Target::Http { url: endless, status: None, contains: Some("needle".into()) };
        assert!(!look(needle).await.well, "what stands behind the limit is not searched");
    }

    #[tokio::test]
    async fn e4_h2_no_token_stands_in_what_a_look_says() {
        let token = Secret::new("123456:AAFakeFakeFakeFakeFakeFakeFakeFake123");
        let url = server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 58\r\n\r\n{\"ok\":false,\"error_code\":401,\"description\":\"Unauthorized\"}".into()).await;
        let refused = look(Target::BotApi { url, token: Some(token.clone()) }).await;
        assert_eq!((refused.well, refused.class), (false, Some(Class::Auth)), "{}", refused.detail);
        let nobody = look(Target::BotApi { url: "http://127.0.0.1:1".into(), token: Some(token) }).await;
        for said in [refused.detail, nobody.detail] {
            assert!(!said.contains("Fake"), "{said}");
        }
    }

    #[tokio::test]
    async fn e4_a_server_that_never_answers_is_given_up_in_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = look(Target::Http { url, status: None, contains: None }).await;
        assert!(!seen.well && seen.took < Duration::from_secs(3), "{seen:?}");
        assert!(look(Target::Tcp { address: listener.local_addr().unwrap().to_string() }).await.well);
        assert!(!look(Target::Tcp { address: "127.0.0.1:1".into() }).await.well);
    }

    #[tokio::test]
    async fn e4_a_disk_is_down_when_less_is_free_than_wanted() {
        let disk = |min_free| Target::Disk { path: "/tmp".into(), min_free };
        assert!(look(disk(1)).await.well);
        assert!(!look(disk(u64::MAX)).await.well);
        let gone = look(Target::Disk { path: "/no/such/place".into(), min_free: 0 }).await;
        assert!(!gone.well && gone.detail.contains("/no/such/place"), "{}", gone.detail);
    }
}
