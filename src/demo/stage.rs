//! Runs the agent as a child process, `logmedic run`, and watches it from outside as a user would.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::records::Records;
use super::server::serve;
use super::workspace::{ALERT_TOKEN, BOT_TOKEN, Cast, Workspace};
use super::world::{Account, Stored, VideoMessage, World};

/// The alert bot's name on the local server.
pub const ALERT_BOT: &str = "logmedic_alerts_bot";
/// How often files are looked at; short beside everything that is waited for.
const TICK: Duration = Duration::from_millis(25);
/// How long the agent may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long a look at the few files of the show may take.
const LIBRARY_LIMIT: Duration = Duration::from_secs(30);
/// The end of the agent's output that is shown when it died.
const TAIL: usize = 2_000;

/// Everything on stage.
pub struct Stage {
    /// The folder.
    pub space: Workspace,
    /// The server's handle.
    pub world: World,
    /// The server's address, `http://127.0.0.1:PORT`.
    pub server: String,
    /// The agent's records as read so far.
    pub records: Records,
    agent: Child,
    serving: JoinHandle<io::Result<()>>,
    stop: CancellationToken,
}

impl Stage {
    /// Starts the server and the agent, which starts the bot.
    ///
    /// # Errors
    ///
    /// When there is no port, the configuration cannot be written or the program not be started.
    pub async fn open(space: Workspace, cast: &Cast) -> Result<Self, DemoError> {
        let accounts = vec![Account::new(BOT_TOKEN, "video_saver_bot"), Account::new(ALERT_TOKEN, ALERT_BOT)];
        let world = World::new(accounts, space.dir.join("server"), false);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DemoError::Server)?;
        let server = format!("http://{}", listener.local_addr().map_err(DemoError::Server)?);
        space.write_config(&server, cast)?;
        let agent = agent(&space, cast)?.spawn().map_err(|e| DemoError::file("start", &space.program, e))?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, world.clone(), stop.clone()));
        let records = Records::new(&space.records());
        Ok(Self { space, world, server, records, agent, serving, stop })
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    ///
    /// A sentence for the table: it did not come in time, or the agent died.
    pub async fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        loop {
            self.records.poll().map_err(|e| format!("failed to read the records: {e}"))?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Ok(Some(status)) = self.agent.try_wait() {
                return Err(format!("the agent ended ({status}); its last words:\n{}", self.last_words()));
            }
            if Instant::now() >= deadline {
                return Err(format!("{what} did not come within {} s", limit.as_secs()));
            }
            sleep(TICK).await;
        }
    }

    /// Sends the bot a video for a model.
    ///
    /// # Errors
    ///
    /// A sentence: the video could not be made.
    pub fn send_video(&self, model: &str, size: u64) -> Result<Stored, String> {
        let message = VideoMessage {
            token: BOT_TOKEN.into(),
            chat: 7,
            caption: format!("new one #{model}"),
            file_name: format!("{model}.mp4"),
            size,
            document: false,
        };
        self.world.send_video(&message).map_err(|e| format!("failed to make a video: {e}"))
    }

    /// Where the bot said that it saves a file.
    #[must_use]
    pub fn path_of(&self, file_id: &str) -> Option<std::path::PathBuf> {
        let log = std::fs::read(self.space.bot_log()).ok()?;
        let log = String::from_utf8_lossy(&log);
        let needle = format!("file_id={file_id} ");
        let line = log.lines().find(|line| line.contains("Downloading") && line.contains(&needle))?;
        line.split_once(" -> ").map(|(_, path)| path.trim().into())
    }

    /// Where the first account is made, as the agent says it at its start.
    #[must_use]
    pub fn dashboard(&self) -> Option<String> {
        let text = std::fs::read(self.space.dir.join("logs/agent.log")).ok()?;
        let text = String::from_utf8_lossy(&text);
        let link = text.split_whitespace().find(|word| word.starts_with("http://") && word.contains("/setup#"))?;
        Some(link.to_owned())
    }

    /// What the agent knows of the files that were saved: looked for, checked and listed, as a user would.
    pub async fn library(&self) -> String {
        let mut said = String::new();
        for words in [&["populate", "--wait"][..], &["verify", "--wait"], &["list"]] {
            let mut command = Command::new(&self.space.program);
            command.args(["--config".as_ref(), self.space.config().as_os_str()]).arg("library").args(words);
            command.env_remove("LOGMEDIC_CONFIG").stdin(Stdio::null()).kill_on_drop(true);
            match tokio::time::timeout(LIBRARY_LIMIT, command.output()).await {
                Ok(Ok(output)) => said.push_str(&String::from_utf8_lossy(&output.stdout)),
                // The faults are what the show is about; this is an encore.
                Ok(Err(error)) => said.push_str(&format!("failed to run logmedic library: {error}\n")),
                Err(_) => said.push_str("logmedic library did not answer in time\n"),
            }
        }
        said
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(self.space.dir.join("logs/agent.log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned()
    }

    /// Ends the agent as a service manager would, then the server, and gives the folder back.
    ///
    /// # Errors
    ///
    /// When the agent does not end in time (then it is killed).
    pub async fn close(mut self) -> Result<Workspace, DemoError> {
        if let Some(pid) = self.agent.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let ended = tokio::time::timeout(STOP_LIMIT, self.agent.wait()).await;
        self.stop.cancel();
        // What the server might still say helps nobody.
        let _ = self.serving.await;
        if ended.is_ok() {
            return Ok(self.space);
        }
        let killed = self.agent.kill().await;
        let error = killed.err().unwrap_or_else(|| io::ErrorKind::TimedOut.into());
        Err(DemoError::file("end the agent of", &self.space.dir, error))
    }
}

/// `logmedic run`, as a user would call it.
fn agent(space: &Workspace, cast: &Cast) -> Result<Command, DemoError> {
    let output = space.dir.join("logs/agent.log");
    let log = File::create(&output).map_err(|e| DemoError::file("make", &output, e))?;
    let errors = log.try_clone().map_err(|e| DemoError::file("make", &output, e))?;
    let mut command = Command::new(&space.program);
    command.arg("run").arg("--config").arg(space.config()).current_dir(&space.dir);
    if !cast.command.is_empty() {
        command.arg("--").args(&cast.command);
    }
    // What the user's own surroundings say is not for the show.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["TELEGRAM_", "LOGMEDIC_", "ADMIN_ID", "BOT_TOKEN"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    // Its own group: Ctrl+C reaches the show, which ends the agent in order.
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}
