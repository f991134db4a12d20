//! Tells who asks, follows what changes about them, and writes down what they did. I/O.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Uri, header};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::limit::Limiter;
use super::password::Passwords;
use super::ticket::Tickets;
use super::{Caller, Principal, cookie, random, token};
use crate::ledger::audit::{self, Outcome};
use crate::ledger::identity::{self as store, Session};
use crate::ledger::{Force, Ledger};
use crate::serve::problem::Problem;

/// How often changes by another process (`logmedic user …`) are looked for while somebody is connected. By this process
/// they are known at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The same while nobody is: each request looks for itself.
const LOOK_IDLE: Duration = Duration::from_secs(10);

/// How often what has ended is let go.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// The use of a session is noted once in so many seconds.
const TOUCH_EVERY_S: i64 = 60;

/// A session ends after so long, however much it is used.
const SESSION_MAX: TimeDelta = TimeDelta::days(90);

/// How a token is offered in a WebSocket's handshake.
const PROTOCOL_BEARER: &str = "bearer.";

/// What the identities need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that is listened on: the cookie is named for it.
    pub port: u16,
    /// A session that is not used for so long ends.
    pub session_ttl: Duration,
}

/// Who may do what. Clones share everything.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) ledger: Ledger,
    pub(super) settings: Settings,
    pub(super) key: token::Key,
    pub(super) passwords: Passwords,
    pub(super) cookie: String,
    limiter: Mutex<Limiter>,
    tickets: Mutex<Tickets>,
    /// Hash of the one-time setup secret, and until when it is good.
    pub(super) setup: Mutex<Option<(String, Duration)>>,
    changes: watch::Sender<u64>,
    started: Instant,
}

impl Identity {
    /// The identities that `ledger` keeps; the key of tokens is in `state`, the state directory.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn open(ledger: Ledger, state: &Path, settings: Settings) -> Result<Self, token::KeyError> {
        let cookie = cookie::name(settings.port);
        Ok(Self(Arc::new(Inner {
            ledger,
            settings,
            key: token::Key::open(state)?,
            passwords: Passwords::default(),
            cookie,
            limiter: Mutex::default(),
            tickets: Mutex::default(),
            setup: Mutex::default(),
            changes: watch::Sender::new(0),
            started: Instant::now(),
        })))
    }

    /// Follows the changes of other processes and lets go what has ended, until `stop`. `busy` tells whether somebody holds
    /// a live connection.
    pub async fn tend(self, busy: impl Fn() -> bool + Send + Sync, stop: CancellationToken) {
        let mut pruned: Option<Instant> = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(if busy() { LOOK_EVERY } else { LOOK_IDLE }) => {}
                () = stop.cancelled() => return,
            }
            self.look();
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                let now = Utc::now();
                let gone = self.0.ledger.write(move |tx| store::prune(tx, now).and_then(|()| audit::prune(tx)));
                if let Err(error) = gone.await {
                    tracing::warn!("{error}");
                }
            }
        }
    }

    /// Looks whether anything changed, and says so to those who follow [`Identity::changes`].
    pub(super) fn look(&self) {
        match self.0.ledger.read(store::version) {
            Ok(version) => {
                self.0.changes.send_if_modified(|held| std::mem::replace(held, version) != version);
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Changes when a session ended or a role changed. Whoever holds a live connection then asks
    /// [`Identity::recheck`], and also when the principal's `until` comes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// What a principal of earlier may do now.
    ///
    /// # Errors
    /// When the session has ended, or the token is void: the connection has to end.
    pub fn recheck(&self, principal: &Principal, now: DateTime<Utc>) -> Result<Principal, Problem> {
        let Some(id) = &principal.session else { return Ok(principal.clone()) };
        let session = self.0.ledger.read(|db| store::session(db, id))?.ok_or_else(ended)?;
        let until = match principal.generation {
            Some(generation) if generation != session.generation => return Err(void()),
            Some(_) => principal.until.map_or(session.expires_at, |until| until.min(session.expires_at)),
            None => session.expires_at,
        };
        if until <= now {
            return Err(ended());
        }
        Ok(Principal { role: session.role, until: Some(until), ..principal.clone() })
    }

    /// Who asks: by the Unix socket, a bearer token, a WebSocket's ticket or subprotocol, or the session's cookie.
    ///
    /// # Errors
    /// When nobody is logged in, or what is shown is not good (any more).
    pub fn identify(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        caller: Caller,
        now: DateTime<Utc>,
    ) -> Result<Principal, Problem> {
        if is_websocket(headers)
            && let Some(ticket) = uri.query().and_then(ticket_of)
        {
            return self.redeem(ticket, caller.address, now);
        }
        self.authenticate(headers, caller, now)
    }

    /// Who asks, by the headers alone.
    ///
    /// # Errors
    /// When nobody is logged in, or what is shown is not good (any more).
    pub fn authenticate(&self, headers: &HeaderMap, caller: Caller, now: DateTime<Utc>) -> Result<Principal, Problem> {
        if caller.local {
            return Ok(Principal::local());
        }
        // What is shown and wrong is refused: it does not fall back to the next.
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
            return match bearer {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.by_token(token, caller, now),
                _ => Err(Problem::unauthenticated("the Authorization header must be `Bearer TOKEN`")),
            };
        }
        if is_websocket(headers)
            && let Some(token) = protocol_token(headers)
        {
            return self.by_token(token, caller, now);
        }
        match cookie::read(headers, &self.0.cookie) {
            Some(secret) => self.by_cookie(secret, caller, now),
            None => Err(Problem::unauthenticated("log in first: POST /api/v1/auth/login")),
        }
    }

    fn by_token(&self, token: &str, caller: Caller, now: DateTime<Utc>) -> Result<Principal, Problem> {
        let claims = self.0.key.read_token(token.trim(), now.timestamp()).ok_or_else(void)?;
        let session = self.0.ledger.read(|db| store::session(db, &claims.sid))?.ok_or_else(ended)?;
        let same = session.account == claims.sub && session.generation == claims.generation;
        if !same || session.role != claims.role || session.expires_at <= now {
            return Err(void());
        }
        let until = DateTime::from_timestamp(claims.exp, 0).map_or(session.expires_at, |at| at.min(session.expires_at));
        Ok(Principal {
            account: session.account,
            role: session.role,
            session: Some(session.id),
            address: caller.address,
            until: Some(until),
            generation: Some(claims.generation),
        })
    }

    fn by_cookie(&self, secret: &str, caller: Caller, now: DateTime<Utc>) -> Result<Principal, Problem> {
        let hash = random::digest(secret);
        let mut session = self.0.ledger.read(|db| store::session_by_secret(db, &hash))?.ok_or_else(ended)?;
        if session.expires_at <= now {
            return Err(ended());
        }
        if (now - session.seen_at).num_seconds() >= TOUCH_EVERY_S {
            session.expires_at = self.expiry(session.created_at, now);
            self.touch(&session, now);
        }
        Ok(Principal {
            account: session.account,
            role: session.role,
            session: Some(session.id),
            address: caller.address,
            until: Some(session.expires_at),
            generation: None,
        })
    }

    /// When a session that is used now ends.
    pub(super) fn expiry(&self, created: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let ttl = TimeDelta::from_std(self.0.settings.session_ttl).unwrap_or(SESSION_MAX);
        (now + ttl).min(created + SESSION_MAX)
    }

    /// Notes the use, beside the request: it needs no answer.
    fn touch(&self, session: &Session, now: DateTime<Utc>) {
        let (ledger, id, expires_at) = (self.0.ledger.clone(), session.id.clone(), session.expires_at);
        let write = move || {
            if let Err(error) = ledger.write_here(Force::Later, |tx| store::touch(tx, &id, now, expires_at)) {
                tracing::warn!("{error}");
            }
        };
        // Outside of a runtime (a test) there is nobody to wait for it either.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }

    /// A ticket with which this principal may open one WebSocket within 30 seconds, from the same address.
    ///
    /// # Errors
    /// When too many tickets are out, or there is no randomness.
    pub fn ticket(&self, principal: &Principal) -> Result<String, Problem> {
        let secret = random::secret().map_err(|error| Problem::internal(&error))?;
        let kept = lock(&self.0.tickets).keep(random::digest(&secret), principal.clone(), self.0.started.elapsed());
        let seconds = super::ticket::LIFE.as_secs();
        kept.then_some(secret)
            .ok_or_else(|| Problem::slow_down("too_many_tickets", seconds, "too many tickets wait to be used"))
    }

    /// Takes a ticket.
    ///
    /// # Errors
    /// When it is unknown, used, too old, of another address, or its holder's session has ended.
    pub fn redeem(&self, ticket: &str, address: IpAddr, now: DateTime<Utc>) -> Result<Principal, Problem> {
        let holder = lock(&self.0.tickets).take(&random::digest(ticket), self.0.started.elapsed());
        let holder = holder.filter(|holder| holder.session.is_none() || holder.address == address);
        let bad = || Problem::unauthenticated("the ticket is unknown, used or too old; ask for another one");
        self.recheck(&holder.ok_or_else(bad)?, now)
    }

    /// Writes down what somebody did, beside what the guard writes down of every request: for what is done on a WebSocket.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn audit(&self, who: &Principal, action: &str, target: &str, outcome: Outcome) -> Result<(), Problem> {
        let (account, address) = (who.account.clone(), who.address.to_string());
        let (action, target) = (action.to_owned(), target.to_owned());
        self.note(account, address, action, target, outcome).await
    }

    pub(super) async fn note(
        &self,
        account: String,
        address: String,
        action: String,
        target: String,
        outcome: Outcome,
    ) -> Result<(), Problem> {
        let (ledger, now) = (self.0.ledger.clone(), Utc::now());
        let write = move || {
            ledger.write_here(Force::Later, |tx| audit::add(tx, now, &account, &address, (&action, &target, outcome)))
        };
        let done = tokio::task::spawn_blocking(write).await;
        Ok(done.map_err(|error| Problem::internal(&error))??)
    }

    /// The ledger.
    pub(in crate::serve) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Time since this began, for the limiter.
    pub(super) fn mono(&self) -> Duration {
        self.0.started.elapsed()
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.0.limiter)
    }
}

/// These tables hold nothing half-done: who died with the lock left them whole.
pub(in crate::serve) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> Problem {
    Problem { code: "session_ended", ..Problem::unauthenticated("the session has ended; log in again") }
}

fn void() -> Problem {
    let detail = "the token is not good, or not any more; get a new one: POST /api/v1/auth/refresh";
    Problem { code: "token_void", ..Problem::unauthenticated(detail) }
}

/// Whether a WebSocket is to be opened.
#[must_use]
pub(in crate::serve) fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket")))
}

fn protocol_token(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|text| text.split(',')).find_map(|word| word.trim().strip_prefix(PROTOCOL_BEARER))
}

fn ticket_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("ticket="))
}
