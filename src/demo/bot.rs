//! A download bot as people write them: polls, saves videos, logs to standard output. Knows nothing of logmedic.

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Local;
use teloxide::net::{Download, default_reqwest_settings};
use teloxide::prelude::*;
use teloxide::types::{AllowedUpdate, FileId, Update, UpdateKind};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::vocab::Rng;

/// Downloads under way at once.
const AT_ONCE: usize = 4;
/// How long a poll may wait for updates, and how long its request may take.
const POLL: (u32, Duration) = (20, Duration::from_secs(30));
/// The rest after a failed poll.
const POLL_REST: Duration = Duration::from_secs(1);
/// The longest part of a caption that names a model.
const MAX_MODEL: usize = 32;

/// `logmedic demo-bot`: the downloading bot of the show.
#[derive(Debug, Clone, clap::Args)]
pub struct BotArgs {
    /// Address of the Bot API server
    #[arg(long)]
    api_url: url::Url,
    /// Where videos are saved
    #[arg(long)]
    models: PathBuf,
    /// The bot's token
    #[arg(long, env = "TELEGRAM_TOKEN", hide_env_values = true)]
    token: String,
    /// The longest that one download may take, in milliseconds
    #[arg(long, default_value_t = 3_000)]
    timeout: u64,
}

/// What the handlers share.
struct Downloader {
    bot: Bot,
    models: PathBuf,
    /// Models seen since the start; their directories are not made again.
    known: Mutex<HashSet<String>>,
    slots: Semaphore,
}

/// A video in a message.
struct Video {
    file_id: FileId,
    name: String,
    size: u64,
    model: String,
}

/// Runs the bot until SIGINT or SIGTERM.
///
/// # Errors
///
/// When it cannot start: no HTTP client, no signal handler.
pub async fn bot_main(args: BotArgs) -> anyhow::Result<()> {
    let poller = client(&args, POLL.1)?;
    let bot = client(&args, Duration::from_millis(args.timeout))?;
    let downloader = Arc::new(Downloader {
        bot,
        models: args.models.clone(),
        known: Mutex::default(),
        slots: Semaphore::new(AT_ONCE),
    });
    let mut terminate = signal(SignalKind::terminate())?;
    log("INFO", &format!("Saving videos to {}", args.models.display()));
    tokio::select! {
        () = poll(&poller, &downloader) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    log("INFO", "Stopped");
    Ok(())
}

fn client(args: &BotArgs, timeout: Duration) -> reqwest::Result<Bot> {
    let client = default_reqwest_settings().timeout(timeout).build()?;
    Ok(Bot::with_client(&args.token, client).set_api_url(args.api_url.clone()))
}

async fn poll(bot: &Bot, downloader: &Arc<Downloader>) {
    let mut offset = 0;
    loop {
        let request = bot.get_updates().offset(offset).timeout(POLL.0).allowed_updates([AllowedUpdate::Message]);
        match request.await {
            Ok(updates) => {
                for update in updates {
                    offset = i32::try_from(update.id.0 + 1).unwrap_or(0);
                    handle(update, downloader);
                }
            }
            Err(error) => {
                log("ERROR", &format!("Failed to get updates: {}", chain(&error)));
                tokio::time::sleep(POLL_REST).await;
            }
        }
    }
}

/// Starts a download where the update is a video.
fn handle(update: Update, downloader: &Arc<Downloader>) {
    let UpdateKind::Message(message) = update.kind else { return };
    let Some(video) = video_of(&message) else { return };
    log("INFO", &format!("Received video {} file_id={} ({} bytes)", video.name, video.file_id, video.size));
    let downloader = Arc::clone(downloader);
    tokio::spawn(async move {
        // The semaphore is never closed.
        let Ok(_slot) = downloader.slots.acquire().await else { return };
        downloader.save(&video).await;
    });
}

fn video_of(message: &Message) -> Option<Video> {
    let (file, name) = match (message.video(), message.document()) {
        (Some(video), _) => (&video.file, &video.file_name),
        (None, Some(document)) => (&document.file, &document.file_name),
        (None, None) => return None,
    };
    let name = name.clone().unwrap_or_else(|| "video.mp4".into());
    let size = u64::from(file.size);
    Some(Video { file_id: file.id.clone(), name, size, model: model_of(message.caption().unwrap_or_default()) })
}

/// The first `#word` of a caption, or `misc`.
fn model_of(caption: &str) -> String {
    let word = caption.split_whitespace().find_map(|word| word.strip_prefix('#')).unwrap_or_default();
    let plain = word.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let model: String = plain.take(MAX_MODEL).collect();
    if model.is_empty() { "misc".into() } else { model.to_ascii_lowercase() }
}

impl Downloader {
    async fn save(&self, video: &Video) {
        let folder = self.models.join(&video.model);
        let first = self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(video.model.clone());
        if first && let Err(error) = tokio::fs::create_dir_all(&folder).await {
            log("ERROR", &format!("Failed to create {}: {error}", folder.display()));
        }
        let path = folder.join(file_name());
        let shown = path.display();
        log("INFO", &format!("Downloading {} file_id={} ({} bytes) -> {shown}", video.name, video.file_id, video.size));
        let server_path = match self.bot.get_file(video.file_id.clone()).await {
            Ok(file) => file.path.clone(),
            Err(error) => {
                return log(
                    "ERROR",
                    &format!("Failed to download {shown}: getFile {}: {}", video.file_id, chain(&error)),
                );
            }
        };
        match self.fetch(&server_path, &path).await {
            Ok(got) if got == video.size => log("INFO", &format!("Saved {shown} ({got} bytes)")),
            Ok(got) => {
                log("ERROR", &format!("Corrupt file {shown}: expected {} bytes, got {got} bytes", video.size));
            }
            Err(text) => log("ERROR", &text),
        }
    }

    /// Downloads to `path` and says how much; what is left of a failed download is removed.
    async fn fetch(&self, server_path: &str, path: &Path) -> Result<u64, String> {
        let failed_to_save = |error: &dyn Error| format!("Failed to save {}: {}", path.display(), chain(error));
        let mut file = tokio::fs::File::create(path).await.map_err(|e| failed_to_save(&e))?;
        let result = self.bot.download_file(server_path, &mut file).await;
        let flushed = file.flush().await;
        let text = match (result, flushed) {
            (Ok(()), Ok(())) => return Ok(tokio::fs::metadata(path).await.map_or(0, |m| m.len())),
            (Ok(()), Err(error)) => failed_to_save(&error),
            (Err(teloxide::DownloadError::Io(error)), _) => failed_to_save(&*error),
            (Err(error), _) => format!("Failed to download {}: {}", path.display(), chain(&error)),
        };
        drop(file);
        if let Err(error) = tokio::fs::remove_file(path).await {
            log("WARNING", &format!("Failed to remove {}: {error}", path.display()));
        }
        Err(text)
    }
}

/// `20261122_010203_ab12cd.mp4`.
fn file_name() -> String {
    let now = Local::now();
    let mut rng = Rng::new(now.timestamp_nanos_opt().unwrap_or(0).cast_unsigned());
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random: String = (0..6).map(|_| letters[(rng.next_u64() % 36) as usize] as char).collect();
    format!("{}_{random}.mp4", now.format("%Y%m%d_%H%M%S"))
}

/// An error with its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// One line as Python's `logging` writes it, the most common shape among such bots.
fn log(level: &str, text: &str) {
    let line = format!("{} - downloader - {level} - {text}\n", Local::now().format("%Y-%m-%d %H:%M:%S,%3f"));
    // A closed standard output is nobody's business here.
    let _ = io::stdout().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_names_a_model_and_never_a_path() {
        assert_eq!(model_of("look #Ana now"), "ana");
        assert_eq!(model_of("#../../etc"), "etc");
        assert_eq!(model_of("#.."), "misc");
        assert_eq!(model_of(""), "misc");
    }
}
