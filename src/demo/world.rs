//! Holds what the local Bot API server knows: its bots, their updates, files, messages and the faults armed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::fault::{Fault, MAX_ARMED, Misbehaviour, take_due};
use super::video::write_mp4;

/// The most updates that wait for one bot; the oldest goes, as Telegram drops updates after a day.
const MAX_UPDATES: usize = 10_000;
/// The most messages and edits remembered; the oldest goes.
const MAX_INBOX: usize = 10_000;

/// A bot that the server knows.
#[derive(Clone, Debug)]
pub struct Account {
    /// `NUMBER:SECRET`.
    pub token: String,
    /// The number in front of the colon.
    pub id: i64,
    /// Its name without `@`.
    pub username: String,
}

impl Account {
    /// A bot by its token and name; the number is read from the token (0 where there is none).
    #[must_use]
    pub fn new(token: &str, username: &str) -> Self {
        let id = token.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Self { token: token.into(), id, username: username.into() }
    }
}

/// A video that somebody sends to a bot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VideoMessage {
    /// The receiving bot's token.
    pub token: String,
    /// The chat it comes from.
    pub chat: i64,
    /// Its caption.
    #[serde(default)]
    pub caption: String,
    /// Its file name.
    pub file_name: String,
    /// Bytes.
    pub size: u64,
    /// Sent as a file rather than as a video.
    #[serde(default)]
    pub document: bool,
}

/// A file that the server has.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// The bot that saw it; no other bot can use its `file_id`.
    pub bot: i64,
    /// Names it in `getFile`.
    pub file_id: String,
    /// Where `/file/bot…/` has it.
    pub file_path: String,
    /// Where it is on this machine's disk: the original to compare with.
    pub local: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// A message or an edit that a bot sent.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// Counts all messages and edits from 1.
    pub number: u64,
    /// The bot's name.
    pub bot: String,
    /// `sendMessage` or `editMessageText`.
    pub method: &'static str,
    /// To which chat.
    pub chat: i64,
    /// Which message.
    pub message_id: i64,
    /// Its text.
    pub text: String,
    /// Everything that came with it.
    pub parameters: Value,
}

#[derive(Default)]
struct Mailbox {
    updates: VecDeque<(i64, Value)>,
    last_update: i64,
    polls: u64,
}

#[derive(Default)]
struct State {
    mailboxes: BTreeMap<i64, Mailbox>,
    files: BTreeMap<String, Stored>,
    inbox: VecDeque<Sent>,
    armed: Vec<Fault>,
    /// Bytes a second that a file is sent with; as fast as it goes without one.
    pace: Option<u64>,
    calls: BTreeMap<String, u64>,
    stalled: u64,
    sent: u64,
    last_message: i64,
    last_file: u64,
}

struct Shared {
    accounts: Vec<Account>,
    dir: PathBuf,
    local_mode: bool,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

/// The handle to everything; cheap to clone.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

impl World {
    /// A world with these bots; files are kept under `dir`.
    ///
    /// `local_mode` is the server's `--local`: `getFile` answers with an absolute path and nothing is served over HTTP.
    #[must_use]
    pub fn new(accounts: Vec<Account>, dir: PathBuf, local_mode: bool) -> Self {
        let (changed, open) = (watch::Sender::new(0), watch::Sender::new(true));
        Self { shared: Arc::new(Shared { accounts, dir, local_mode, state: Mutex::default(), changed, open }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let out = with(&mut self.state());
        self.shared.changed.send_modify(|n| *n += 1);
        out
    }

    /// Waits until `look` finds something, at most `limit`.
    pub async fn wait_for<T>(&self, limit: Duration, mut look: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(self) {
                    return Some(found);
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, found).await.ok().flatten()
    }

    /// The bot with this token.
    #[must_use]
    pub fn account(&self, token: &str) -> Option<Account> {
        self.shared.accounts.iter().find(|a| a.token == token).cloned()
    }

    /// Whether the server runs with `--local`.
    #[must_use]
    pub fn local_mode(&self) -> bool {
        self.shared.local_mode
    }

    /// Makes a video and sends it to a bot.
    ///
    /// # Errors
    ///
    /// What the disk says; `NotFound` when no bot has the token.
    pub fn send_video(&self, message: &VideoMessage) -> io::Result<Stored> {
        let bot = self.account(&message.token).ok_or(io::ErrorKind::NotFound)?;
        let number = self.change(|state| {
            state.last_file += 1;
            state.last_file
        });
        let folder = if message.document { "documents" } else { "videos" };
        let file_path = format!("{folder}/file_{number}.mp4");
        let local = self.shared.dir.join(&file_path);
        std::fs::create_dir_all(self.shared.dir.join(folder))?;
        let mut file = BufWriter::new(File::create(&local)?);
        write_mp4(&mut file, number, message.size)?;
        file.flush()?;
        let stored = Stored { bot: bot.id, file_id: file_id(bot.id, number), file_path, local, size: message.size };
        self.change(|state| state.files.insert(stored.file_id.clone(), stored.clone()));
        let media = json!({
            "file_id": stored.file_id, "file_unique_id": format!("AgAD{number:08}"), "file_name": message.file_name,
            "mime_type": "video/mp4", "file_size": message.size, "width": 96, "height": 96, "duration": 4,
        });
        let kind = if message.document { "document" } else { "video" };
        self.push_message(&bot, message.chat, json!({ kind: media, "caption": message.caption }));
        Ok(stored)
    }

    /// Sends a text to a bot; `false` when no bot has the token.
    #[must_use]
    pub fn send_text(&self, token: &str, chat: i64, text: &str) -> bool {
        let Some(bot) = self.account(token) else { return false };
        self.push_message(&bot, chat, json!({ "text": text }));
        true
    }

    fn push_message(&self, bot: &Account, chat: i64, body: Value) {
        let id = self.change(|state| state.next_message());
        let mut message = json!({
            "message_id": id, "date": Utc::now().timestamp(),
            "chat": { "id": chat, "type": "private", "first_name": "Ana" },
            "from": { "id": chat, "is_bot": false, "first_name": "Ana" },
        });
        if let (Some(message), Value::Object(body)) = (message.as_object_mut(), body) {
            message.extend(body);
        }
        self.push_update(bot.id, json!({ "message": message }));
    }

    /// Queues an update (`{"message": …}`, `{"callback_query": …}`) for a bot; `update_id` is added.
    pub fn push_update(&self, bot: i64, mut update: Value) {
        self.change(|state| {
            let mailbox = state.mailboxes.entry(bot).or_default();
            mailbox.last_update += 1;
            update["update_id"] = mailbox.last_update.into();
            mailbox.updates.push_back((mailbox.last_update, update));
            if mailbox.updates.len() > MAX_UPDATES {
                mailbox.updates.pop_front();
            }
        });
    }

    /// A new poll of a bot's updates; the number tells whether it is still the latest one.
    pub(super) fn begin_poll(&self, bot: i64) -> u64 {
        self.change(|state| {
            let mailbox = state.mailboxes.entry(bot).or_default();
            mailbox.polls += 1;
            mailbox.polls
        })
    }

    /// What is there from `offset` on (older updates are confirmed and go), or `Err` when a later poll took over.
    pub(super) fn updates(&self, bot: i64, poll: u64, offset: i64, limit: usize) -> Result<Vec<Value>, ()> {
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(bot).or_default();
        if mailbox.polls != poll {
            return Err(());
        }
        while mailbox.updates.front().is_some_and(|(id, _)| *id < offset) {
            mailbox.updates.pop_front();
        }
        Ok(mailbox.updates.iter().take(limit).map(|(_, update)| update.clone()).collect())
    }

    /// A file by its `file_id`.
    #[must_use]
    pub fn file(&self, file_id: &str) -> Option<Stored> {
        self.state().files.get(file_id).cloned()
    }

    /// A file by its server path.
    #[must_use]
    pub fn file_at(&self, file_path: &str) -> Option<Stored> {
        self.state().files.values().find(|f| f.file_path == file_path).cloned()
    }

    /// Arms a fault; `false` when too many are armed.
    #[must_use]
    pub fn arm(&self, fault: Fault) -> bool {
        self.change(|state| {
            let room = state.armed.len() < MAX_ARMED;
            if room {
                state.armed.push(fault);
            }
            room
        })
    }

    /// Takes every armed fault back.
    pub fn disarm(&self) {
        self.change(|state| state.armed.clear());
    }

    /// Counts a call and says how it must misbehave.
    pub(super) fn enter(&self, name: &str, subjects: &[&str]) -> Option<Misbehaviour> {
        self.change(|state| {
            *state.calls.entry(name.to_ascii_lowercase()).or_default() += 1;
            take_due(&mut state.armed, name, subjects)
        })
    }

    /// How often a method (or `file`) was called.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.state().calls.get(&name.to_ascii_lowercase()).copied().unwrap_or(0)
    }

    /// How many transfers have stalled so far.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.state().stalled
    }

    /// Sends files at so many bytes a second from now on; `None`: as fast as it goes.
    pub fn set_pace(&self, bytes_per_s: Option<u64>) {
        self.change(|state| state.pace = bytes_per_s);
    }

    pub(super) fn pace(&self) -> Option<u64> {
        self.state().pace
    }

    pub(super) fn note_stall(&self) {
        self.change(|state| state.stalled += 1);
    }

    /// Remembers a message, and gives its number in the chat.
    pub(super) fn record_message(&self, bot: &Account, chat: i64, text: &str, parameters: Value) -> i64 {
        self.change(|state| {
            let id = state.next_message();
            state.remember(bot, "sendMessage", (chat, id), text, parameters);
            id
        })
    }

    /// Remembers an edit; says what is wrong with it, in the server's words.
    pub(super) fn record_edit(
        &self,
        bot: &Account,
        at: (i64, i64),
        text: &str,
        parameters: Value,
    ) -> Result<(), &'static str> {
        self.change(|state| {
            let last = state.inbox.iter().rev().find(|s| (s.chat, s.message_id) == at && s.bot == bot.username);
            match last {
                None => Err("Bad Request: message to edit not found"),
                Some(last) if last.text == text && last.parameters["reply_markup"] == parameters["reply_markup"] => {
                    Err("Bad Request: message is not modified: specified new message content and reply markup are \
                         exactly the same as a current content and reply markup of the message")
                }
                Some(_) => {
                    state.remember(bot, "editMessageText", at, text, parameters);
                    Ok(())
                }
            }
        })
    }

    /// What a bot sent and edited so far, oldest first, from `after` on ([`Sent::number`]; 0 for all).
    #[must_use]
    pub fn inbox(&self, bot: &str, after: u64) -> Vec<Sent> {
        self.state().inbox.iter().filter(|s| s.bot == bot && s.number > after).cloned().collect()
    }

    /// The number of the last message or edit of any bot.
    #[must_use]
    pub fn last_sent(&self) -> u64 {
        self.state().sent
    }

    /// Stops listening and drops every connection, until [`World::come_back`].
    pub fn go_down(&self) {
        self.shared.open.send_replace(false);
    }

    /// Listens again, on the same port.
    pub fn come_back(&self) {
        self.shared.open.send_replace(true);
    }

    /// Whether the server should be there; for the listener.
    pub(super) fn open(&self) -> watch::Receiver<bool> {
        self.shared.open.subscribe()
    }

    /// Everything at a glance, for the control door.
    #[must_use]
    pub fn summary(&self) -> Value {
        let state = self.state();
        let files: Vec<&Stored> = state.files.values().collect();
        json!({ "calls": state.calls, "stalled": state.stalled, "armed": state.armed, "files": files })
    }
}

impl State {
    fn next_message(&mut self) -> i64 {
        self.last_message += 1;
        self.last_message
    }

    fn remember(&mut self, bot: &Account, method: &'static str, at: (i64, i64), text: &str, parameters: Value) {
        self.sent += 1;
        let (number, bot, text) = (self.sent, bot.username.clone(), text.to_owned());
        self.inbox.push_back(Sent { number, bot, method, chat: at.0, message_id: at.1, text, parameters });
        if self.inbox.len() > MAX_INBOX {
            self.inbox.pop_front();
        }
    }
}

/// A name of the length and alphabet that real ones have; another bot has another name for the same file.
fn file_id(bot: i64, number: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rng = crate::vocab::Rng::new(bot.cast_unsigned() ^ number.rotate_left(32));
    let tail: String = (0..60).map(|_| ALPHABET[(rng.next_u64() % 64) as usize] as char).collect();
    format!("BAACAgIAAxkBAAI{tail}")
}
