//! Lets people in: passwords and codes are checked here and nowhere else. I/O.

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};

use super::identity::lock;
use super::limit::Attempt;
use super::password::{self, PasswordError};
use super::session::TOKEN_LIFE_S;
use super::token::Claims;
use super::{Caller, Identity, Principal, name_problem, random, totp};
use crate::ledger::audit::{self, Outcome};
use crate::ledger::identity::{self as store, Account, NewSession, Refusal};
use crate::ledger::rusqlite;
use crate::serve::problem::Problem;
use crate::vocab::{Role, Secret, clean_line, shorten};

/// How long the setup link is good; a new start makes a new one.
const SETUP_LIFE: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What is kept of a client's own name, in UTF-16 units.
const AGENT_MAX: usize = 200;

/// A session that has just begun.
pub(super) struct Opened {
    /// What goes into the cookie.
    pub(super) secret: String,
    /// Who it is.
    pub(super) principal: Principal,
    /// The account's generation.
    pub(super) generation: i64,
}

/// What must be right at once.
pub(super) struct Proof {
    pub(super) password: Secret,
    pub(super) code: Option<String>,
}

impl Identity {
    /// Begins a session.
    ///
    /// # Errors
    /// When account, password or code are not right, or it is tried too often.
    pub(super) async fn login(&self, name: &str, proof: Proof, caller: Caller, agent: &str) -> Result<Opened, Problem> {
        let (account, step) = match self.prove(name, proof, caller).await {
            Ok(proven) => proven,
            Err(Refused::Quietly(problem)) => return Err(problem),
            Err(Refused::Guess { problem, known }) => {
                // What a stranger typed as a name may be their password: only names that exist are written down.
                let who = if known { name } else { "?" }.to_owned();
                let address = caller.address.to_string();
                self.note(who, address, "POST auth/login".into(), String::new(), Outcome::Refused).await?;
                return Err(problem);
            }
        };
        self.begin(account, step, caller, agent).await
    }

    /// Checks password and second factor of an account; returns it with the code's time step. Counts as a guess.
    async fn prove(&self, name: &str, proof: Proof, caller: Caller) -> Result<(Account, Option<i64>), Refused> {
        let attempt = self.attempt(caller, name)?;
        let account = match name_problem(name) {
            None => {
                self.0.ledger.read(|db| store::account(db, name)).map_err(|error| Refused::Quietly(error.into()))?
            }
            Some(_) => None,
        };
        let hash = account.as_ref().map(|account| account.password.clone());
        let right = match self.0.passwords.check(proof.password, hash).await {
            Ok(right) => right,
            Err(error) => {
                self.limiter().take_back(attempt);
                return Err(Refused::Quietly(error.into()));
            }
        };
        let known = account.is_some();
        let Some(account) = account.filter(|_| right) else {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong_login", "the account or the password is wrong");
            return Err(Refused::Guess { problem, known });
        };
        let step = match (&account.totp, proof.code) {
            (None, _) => None,
            (Some(_), None) => {
                self.limiter().take_back(attempt);
                let detail = "send the six digits of your authenticator app as `code`, too";
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "second_factor_required", detail);
                return Err(Refused::Quietly(problem));
            }
            (Some(key), Some(code)) => {
                let step = totp::check(key, &code, account.totp_step, Utc::now().timestamp());
                Some(step.ok_or_else(|| Refused::Guess { problem: wrong_code(), known })?)
            }
        };
        self.limiter().succeed(attempt, self.mono());
        Ok((account, step))
    }

    /// Checks the password, and where there is one the second factor, of somebody who is logged in.
    ///
    /// # Errors
    /// As for a login.
    pub(super) async fn prove_again(&self, who: &Principal, proof: Proof) -> Result<(), Problem> {
        let name = who.own_account()?.to_owned();
        let caller = Caller { address: who.address, local: false };
        let (_, step) = self.prove(&name, proof, caller).await.map_err(Refused::problem)?;
        let Some(step) = step else { return Ok(()) };
        let taken = self.0.ledger.write(move |tx| store::take_step(tx, &name, step)).await?;
        if taken { Ok(()) } else { Err(wrong_code()) }
    }

    /// Counts a guess of this caller.
    ///
    /// # Errors
    /// When it has to wait.
    pub(super) fn attempt(&self, caller: Caller, name: &str) -> Result<Attempt, Refused> {
        let now = self.mono();
        self.limiter().begin(caller.address, name, now).map_err(|wait| {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = format!("too many failed attempts; try again in {seconds} s");
            Refused::Quietly(Problem::slow_down("too_many_attempts", seconds, detail))
        })
    }

    async fn begin(&self, account: Account, step: Option<i64>, caller: Caller, agent: &str) -> Result<Opened, Problem> {
        let fresh = self.fresh(&account.name, account.role, caller, agent)?;
        let (row, generation) = (fresh.row(), account.generation);
        let begun = self.0.ledger.write(move |tx| {
            // Between the check and now somebody may have changed or removed it, or used the same code.
            let unchanged = store::account(tx, &row.account)?.is_some_and(|now| now.generation == generation);
            let taken = match step {
                Some(step) if unchanged => store::take_step(tx, &row.account, step)?,
                _ => unchanged,
            };
            if taken {
                row.insert(tx, "POST auth/login")?;
            }
            Ok(taken)
        });
        if begun.await? { Ok(fresh.opened(generation)) } else { Err(wrong_code()) }
    }

    fn fresh(&self, account: &str, role: Role, caller: Caller, agent: &str) -> Result<Fresh, Problem> {
        let now = Utc::now();
        let fail = |error: random::NoRandomness| Problem::internal(&error);
        let (id, secret) = (random::id(now).map_err(fail)?, random::secret().map_err(fail)?);
        let principal = Principal {
            account: account.into(),
            role,
            session: Some(id),
            address: caller.address,
            until: Some(self.expiry(now, now)),
            generation: None,
        };
        Ok(Fresh { secret, principal, agent: shorten(&clean_line(agent), AGENT_MAX).into_owned(), now })
    }

    /// A secret with which the first admin can be made, when there is no account yet. It replaces the one before.
    ///
    /// # Errors
    /// When the ledger cannot be read or there is no randomness.
    pub fn setup_secret(&self) -> Result<Option<String>, Problem> {
        if self.0.ledger.read(store::count)? > 0 {
            return Ok(None);
        }
        let secret = random::secret().map_err(|error| Problem::internal(&error))?;
        *lock(&self.0.setup) = Some((random::digest(&secret), self.mono() + SETUP_LIFE));
        Ok(Some(secret))
    }

    /// Says of somebody who is not logged in that nobody can be: there is no account yet.
    pub(super) fn or_no_account(&self, problem: Problem) -> Problem {
        // Without a secret there was an account at the start; then the ledger need not be asked for every stranger.
        let may_be = problem.code == "unauthenticated" && lock(&self.0.setup).is_some();
        if may_be && self.0.ledger.read(store::count).is_ok_and(|count| count == 0) {
            let detail = "nobody has an account yet: open the link that logmedic printed when it started, or make one by \
`logmedic user add NAME --role admin`";
            return Problem { code: "no_account", detail: detail.into(), ..problem };
        }
        problem
    }

    /// Makes the first account with the setup secret, and begins its session.
    ///
    /// # Errors
    /// When the secret is not good, there is an account already, or name or password will not do.
    pub(super) async fn set_up(
        &self,
        secret: &str,
        name: &str,
        password: Secret,
        caller: Caller,
        agent: &str,
    ) -> Result<Opened, Problem> {
        let attempt = self.attempt(caller, "").map_err(Refused::problem)?;
        let hash = random::digest(secret);
        let now = self.mono();
        let good = lock(&self.0.setup).as_ref().is_some_and(|(held, until)| *held == hash && *until > now);
        if !good {
            let detail =
                "the setup link is unknown, used or too old; `logmedic user add NAME --role admin` does the same";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "setup_link_void", detail));
        }
        self.limiter().take_back(attempt);
        new_account_problem(name, &password)?;
        let password = self.0.passwords.hash(password).await?;
        let fresh = self.fresh(name, Role::Admin, caller, agent)?;
        let (row, at) = (fresh.row(), fresh.now);
        let made = self.0.ledger.write(move |tx| {
            if store::count(tx)? > 0 || store::add(tx, &row.account, Role::Admin, &password, at)?.is_err() {
                return Ok(None);
            }
            row.insert(tx, "POST auth/setup")?;
            Ok(store::account(tx, &row.account)?.map(|account| account.generation))
        });
        let made = made.await?;
        // Used, or somebody was faster by another way: it opens nothing any more.
        *lock(&self.0.setup) = None;
        let generation = made
            .ok_or_else(|| Problem::conflict("already_set_up", "there is an account already; an admin can add more"))?;
        Ok(fresh.opened(generation))
    }

    /// A token for a session: short, and void as soon as the account changes.
    pub(super) fn issue(
        &self,
        who: &Principal,
        generation: i64,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Problem> {
        let end = now + TimeDelta::seconds(TOKEN_LIFE_S);
        let end = who.until.map_or(end, |until| until.min(end));
        let claims = Claims {
            sub: who.account.clone(),
            role: who.role,
            sid: who.session.clone().unwrap_or_default(),
            generation,
            jti: random::id(now).map_err(|error| Problem::internal(&error))?,
            iat: now.timestamp(),
            exp: end.timestamp(),
        };
        let token = self.0.key.sign(&claims).ok_or_else(|| Problem::internal(&"failed to sign a token"))?;
        Ok((token, DateTime::from_timestamp(claims.exp, 0).unwrap_or(end)))
    }
}

/// What is wrong with a new account.
pub(super) fn new_account_problem(name: &str, password: &Secret) -> Result<(), Problem> {
    if let Some(problem) = name_problem(name) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_name", problem));
    }
    password_problem(name, password)
}

pub(super) fn password_problem(name: &str, password: &Secret) -> Result<(), Problem> {
    match password::problem(name, password.expose()) {
        Some(problem) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "weak_password", problem)),
        None => Ok(()),
    }
}

pub(super) fn wrong_code() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong_code",
        "the code is wrong, too old or was used already; take the next one",
    )
}

/// Why somebody was not let in.
pub(super) enum Refused {
    /// Nothing to write down.
    Quietly(Problem),
    /// A guess that was wrong.
    Guess {
        /// What is answered.
        problem: Problem,
        /// Whether there is such an account.
        known: bool,
    },
}

impl Refused {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Quietly(problem) | Self::Guess { problem, .. } => problem,
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                Self { retry_after_s: Some(2), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()) }
            }
            PasswordError::Failed => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Taken => "account_exists",
            Refusal::Full => "too_many_accounts",
            Refusal::Missing => return Self::missing("account_not_found", refusal.to_string()),
            Refusal::LastAdmin => "last_admin",
        };
        Self::conflict(code, refusal.to_string())
    }
}

/// A session about to begin.
struct Fresh {
    secret: String,
    principal: Principal,
    agent: String,
    now: DateTime<Utc>,
}

/// The same, as it is stored.
struct FreshRow {
    id: String,
    hash: String,
    account: String,
    expires_at: DateTime<Utc>,
    address: String,
    agent: String,
    now: DateTime<Utc>,
}

impl Fresh {
    fn row(&self) -> FreshRow {
        FreshRow {
            id: self.principal.session.clone().unwrap_or_default(),
            hash: random::digest(&self.secret),
            account: self.principal.account.clone(),
            expires_at: self.principal.until.unwrap_or(self.now),
            address: self.principal.address.to_string(),
            agent: self.agent.clone(),
            now: self.now,
        }
    }

    fn opened(self, generation: i64) -> Opened {
        Opened { secret: self.secret, principal: self.principal, generation }
    }
}

impl FreshRow {
    fn insert(&self, tx: &rusqlite::Transaction<'_>, action: &str) -> rusqlite::Result<()> {
        let new = NewSession {
            id: &self.id,
            secret: &self.hash,
            account: &self.account,
            role: None,
            expires_at: self.expires_at,
            address: &self.address,
            agent: &self.agent,
        };
        store::begin(tx, &new, self.now)?;
        audit::add(tx, self.now, &self.account, &self.address, (action, "", Outcome::Done))
    }
}
