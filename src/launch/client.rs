//! Is the agent's side of the launcher: starts it, asks it, waits for its answers, takes over what an earlier one runs. I/O.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::runs::{Runs, Standing};
use super::wire::{Ended, MAX_MESSAGE, Request, Told, word_for};
use crate::supervise::tree;
use crate::vocab::Id;

/// What a command inherits. No token, no password, no `LD_PRELOAD`.
pub const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// How often a run that an earlier agent began is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long the command may have the processor for itself to begin; a process is started in a tenth of it.
const HEAD_START_MS: u8 = 3;

/// Rounds in which what a dead launcher left is killed: it may fork while it is looked for.
const KILL_ROUNDS: usize = 5;

/// Why a command has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no launcher and none can be started.
    #[error("failed to start the process that runs commands: {0}; check the limits on processes and memory")]
    Start(io::Error),
    /// It cannot be handed over.
    #[error(
        "failed to hand the command over: it has {0} bytes with its arguments, more than {MAX_MESSAGE}; put them into a file"
    )]
    TooLong(usize),
    /// It cannot be handed to any program.
    #[error("failed to hand the command over: an argument or a variable has a NUL character; take it out")]
    Nul,
    /// The socket failed.
    #[error("failed to hand the command over: {0}")]
    Send(io::Error),
    /// Who looked after it died in the middle of it.
    #[error("it was cut off in the middle: nobody knows how far it came")]
    Lost,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What was noted when it was begun.
    pub note: String,
    /// An earlier agent began it.
    pub adopted: bool,
}

/// Who waits for which task; `None` once the launcher is gone.
type Waiting = Mutex<Option<HashMap<Id, oneshot::Sender<Told>>>>;

/// A launcher that runs. Its sockets are of a kind between stream and datagram (`SOCK_SEQPACKET`): they keep messages apart, and tell
/// when the other side is gone.
struct Link {
    /// Takes commands; has a byte whenever one is on its way. The runtime does not watch it: each message that is taken from it would
    /// wake a thread, which takes the processor from the command.
    work: OwnedFd,
    /// Takes the tasks that are to end; tells how each ended.
    control: UnixDatagram,
    /// Held from a command to the word that it may begin: no other stands between them.
    turn: tokio::sync::Mutex<()>,
    waiting: Waiting,
}

/// Runs commands; clones share the one process.
#[derive(Clone)]
pub struct Launcher(Arc<Inner>);

struct Inner {
    program: PathBuf,
    runs: Runs,
    link: Mutex<Option<(Arc<Link>, AbortHandle)>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Who reads holds the socket, whose end tells the launcher that it is not needed any more.
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reader)) = link.take() {
            reader.abort();
        }
    }
}

/// Ends the run when nobody waits for it any more.
struct Awaited {
    link: Arc<Link>,
    task: Option<Id>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let Some(task) = self.task else { return };
        if let Some(waiting) = self.link.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            waiting.remove(&task);
        }
        let ask = serde_json::to_vec(&task).unwrap_or_default();
        if send_now(&self.link.control, &ask) == Err(Errno::EAGAIN) {
            end_processes(task);
        }
    }
}

/// The same for a run of an earlier agent, whose launcher does not hear us.
struct Adopted(Option<Id>);

impl Drop for Adopted {
    fn drop(&mut self) {
        self.0.into_iter().for_each(end_processes);
    }
}

tokio::task_local! {
    /// Set while what is begun is not written down yet.
    static UNANNOUNCED: ();
}

/// Does what may be begun, but may change nothing, before it is written down what for: what is polled in `work` waits in
/// [`announced`], and goes on when it is polled again outside.
pub fn unannounced<R>(work: impl FnOnce() -> R) -> R {
    UNANNOUNCED.sync_scope((), work)
}

/// Waits until it is written down what this is for. Call it before anything is changed. Nobody is woken: who polled it goes on
/// with it.
pub async fn announced() {
    let mut waits = UNANNOUNCED.try_with(|()| ()).is_ok();
    poll_fn(|_| if std::mem::take(&mut waits) { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Sends without waiting.
fn send_now(socket: &impl AsRawFd, bytes: &[u8]) -> Result<(), Errno> {
    send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).map(|_| ())
}

impl Link {
    /// Hands a command over, and says that it may begin as soon as that is so. Dropped between the two, it does not begin.
    async fn hand_over(&self, task: Id, command: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        self.ask(command).await?;
        announced().await;
        self.ask(word_for(task).as_bytes()).await
    }

    /// Sends a message, and waits while the launcher has enough to do.
    async fn ask(&self, bytes: &[u8]) -> io::Result<()> {
        match send_now(&self.work, bytes) {
            Err(Errno::EAGAIN) => {
                let watched = UnixDatagram::from_std(self.work.try_clone()?.into())?;
                watched.async_io(Interest::WRITABLE, || Ok(send_now(&watched, bytes)?)).await
            }
            other => Ok(other?),
        }
    }

    /// Waits, without giving the thread to other tasks, until what was asked for last is on its way. The process that becomes it may
    /// have been woken on our processor, where it would wait for all that we have to write down.
    fn let_begin(&self) {
        // Time, or the launcher's end, instead of a byte: the answer tells it. A byte that comes later ends the next wait too early,
        // which costs that command what this wait is for, and nothing else.
        let _ = poll(&mut [PollFd::new(self.work.as_fd(), PollFlags::POLLIN)], PollTimeout::from(HEAD_START_MS));
        while recv(self.work.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT).is_ok_and(|got| got > 0) {}
    }

    /// Hands answers over until the launcher ends.
    async fn read(self: Arc<Self>, mut child: Child) {
        let mut message = vec![0; MAX_MESSAGE];
        loop {
            let got = match self.control.recv(&mut message).await {
                Ok(got) if got > 0 => got,
                Ok(_) | Err(_) => break,
            };
            let Ok(told) = serde_json::from_slice::<Told>(&message[..got]) else { break };
            let task = match &told {
                Told::Ended { task, .. } | Told::Known(task) => *task,
            };
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waits) = waiting.as_mut().and_then(|waiting| waiting.remove(&task)) {
                // Who waited may have given up at this very moment.
                let _ = waits.send(told);
            }
        }
        // Nobody waits for it any more; the next command starts another one.
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let how = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!("the process that runs commands ended ({how}); another one is started with the next command");
    }
}

impl Launcher {
    /// A launcher that keeps its runs in `runs`. `program` has [`super::launcher::main`] behind its `__launch`. The process is
    /// started by [`Launcher::prepare`], or with the first command.
    #[must_use]
    pub fn new(program: PathBuf, runs: Runs) -> Self {
        Self(Arc::new(Inner { program, runs, link: Mutex::default() }))
    }

    /// Starts the process, so that the first command does not wait for it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the directory of the runs cannot be made, or no process be started.
    pub fn prepare(&self) -> Result<(), Error> {
        self.link().map(|_| ())
    }

    /// Whether the task was begun before, by this agent or an earlier one.
    #[must_use]
    pub fn knows(&self, task: Id) -> bool {
        self.0.runs.look(task).is_some()
    }

    /// Runs the command, unless its task was begun before: then what comes, or came, of that is the answer. Dropped before
    /// its end, the command is ended with its whole process group.
    ///
    /// # Errors
    /// When it cannot be begun, or nobody knows what came of it.
    pub async fn run(&self, request: Request) -> Result<Ran, Error> {
        let (task, note) = (request.task, request.note.clone());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ask = request.to_message(since.as_millis()).ok_or(Error::Nul)?;
        if ask.len() > MAX_MESSAGE {
            return Err(Error::TooLong(ask.len()));
        }
        let (mut awaited, answer) = self.send(task, &ask).await?;
        let told = answer.await;
        awaited.task = None;
        match told {
            Ok(Told::Ended { ended, unrecorded, .. }) => {
                if let Some(why) = unrecorded {
                    let dir = self.0.runs.dir().display();
                    tracing::warn!("failed to write down in {dir} that a command ran: {why}; make room there");
                }
                Ok(Ran { ended, note, adopted: false })
            }
            Ok(Told::Known(_)) => self.adopt(task).await?.ok_or(Error::Lost),
            // The launcher died.
            Err(_) => match self.0.runs.look(task).map(|known| known.standing) {
                Some(Standing::Ended(ended)) => Ok(Ran { ended, note, adopted: false }),
                _ => {
                    end_processes(task);
                    Err(Error::Lost)
                }
            },
        }
    }

    /// Waits for what an earlier agent began for this task; `None`: it was never begun. Dropped before its end, what runs is
    /// ended.
    ///
    /// # Errors
    /// When nobody knows what came of it.
    pub async fn adopt(&self, task: Id) -> Result<Option<Ran>, Error> {
        let Some(mut known) = self.0.runs.look(task) else { return Ok(None) };
        let mut adopted = Adopted(Some(task));
        loop {
            match known.standing {
                Standing::Running => {}
                Standing::Ended(ended) => {
                    adopted.0 = None;
                    return Ok(Some(Ran { ended, note: known.note, adopted: true }));
                }
                Standing::Lost => return Err(Error::Lost),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            known = self.0.runs.look(task).ok_or(Error::Lost)?;
        }
    }

    /// Hands it to a launcher; one that is gone is replaced.
    async fn send(&self, task: Id, ask: &[u8]) -> Result<(Awaited, oneshot::Receiver<Told>), Error> {
        let mut last = io::ErrorKind::BrokenPipe.into();
        for _ in 0..2 {
            let link = self.link()?;
            let (sender, answer) = oneshot::channel();
            match link.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(waiting) => drop(waiting.insert(task, sender)),
                None => continue,
            }
            let mut awaited = Awaited { link: Arc::clone(&link), task: Some(task) };
            match link.hand_over(task, ask).await {
                Ok(()) => {
                    link.let_begin();
                    return Ok((awaited, answer));
                }
                Err(error) => last = error,
            }
            // Nothing was handed over: there is nothing to end.
            awaited.task = None;
            if last.raw_os_error() == Some(libc::EMSGSIZE) {
                return Err(Error::TooLong(ask.len()));
            }
            drop(link.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        Err(Error::Send(last))
    }

    /// The launcher that runs, or a new one.
    fn link(&self) -> Result<Arc<Link>, Error> {
        let mut slot = self.0.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((link, _)) = slot.as_ref()
            && link.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        {
            return Ok(Arc::clone(link));
        }
        let (link, child) = self.start().map_err(Error::Start)?;
        let reader = tokio::spawn(Arc::clone(&link).read(child)).abort_handle();
        *slot = Some((Arc::clone(&link), reader));
        Ok(link)
    }

    fn start(&self) -> io::Result<(Arc<Link>, Child)> {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = self.0.runs.dir();
        // Without it the launcher runs commands all the same, and says that it cannot write.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let (control, its_control) = pair()?;
        let (work, its_work) = pair()?;
        let control = UnixDatagram::from_std(control.into())?;
        let mut command = Command::new(&self.0.program);
        command.arg0("logmedic").arg("__launch").arg(dir).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        // It may outlive whoever reads what we say.
        command.stdin(Stdio::from(its_control)).stdout(Stdio::from(its_work)).stderr(Stdio::null());
        let child = command.spawn()?;
        Ok((
            Arc::new(Link {
                work,
                control,
                turn: tokio::sync::Mutex::new(()),
                waiting: Mutex::new(Some(HashMap::new())),
            }),
            child,
        ))
    }
}

/// Our end of a socket, and the launcher's.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let ours = std::os::unix::net::UnixDatagram::from(ours);
    ours.set_nonblocking(true)?;
    Ok((ours.into(), theirs))
}

/// Ends what still runs for this task, when its launcher cannot do it. By the variable that each of its processes has.
fn end_processes(task: Id) {
    let mark = format!("{}={task}", super::TASK).into_bytes();
    for _ in 0..KILL_ROUNDS {
        let left = tree::find(None, &|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark));
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL); // gone already is fine
        }
    }
}
