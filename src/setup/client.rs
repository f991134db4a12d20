//! Talks to the running agent over the socket in its state directory: no password, no port. I/O.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::commands::Failure;
use crate::serve::listen::SOCKET;

/// How long the agent may take to answer; it answers at once or something is wrong.
const ANSWER: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes: a page of the largest things, many times over.
const MAX_ANSWER: usize = 16 << 20;

/// A way to the running agent.
pub struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A way to the agent that uses this state directory.
    ///
    /// # Errors
    /// When none runs there.
    pub fn of(state_dir: &Path) -> Result<Self, Failure> {
        let socket = state_dir.join(SOCKET);
        if !socket.exists() {
            return Err(Failure::Other {
                code: 75,
                message: format!(
                    "failed to reach logmedic: none runs with {}; start `logmedic run`",
                    state_dir.display()
                ),
            });
        }
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("failed to start: {error}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { http, runtime })
    }

    /// Sends `body` to `path` (below `/api/v1/`).
    ///
    /// # Errors
    /// When the agent does not answer or says no.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(self.http.post(address(path)).json(body))
    }

    /// Asks for `path` (below `/api/v1/`).
    ///
    /// # Errors
    /// When the agent does not answer or says no.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(self.http.get(address(path)))
    }

    fn call(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let lost = |error: reqwest::Error| Failure::Other {
                code: 75,
                message: format!("failed to reach logmedic: {error}; is it running? (`logmedic status`)"),
            };
            let mut answer = request.send().await.map_err(lost)?;
            let status = answer.status();
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await.map_err(lost)? {
                if body.len() + part.len() > MAX_ANSWER {
                    return Err(Failure::failed(
                        "failed to read the answer: it is too long; ask for fewer with --limit",
                    ));
                }
                body.extend_from_slice(&part);
            }
            let value: Value = if body.is_empty() { Value::Null } else { parse(&body)? };
            if status.is_success() {
                return Ok(value);
            }
            let word = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let detail = word("detail");
            let code = if status.as_u16() == 403 || status.as_u16() == 401 { 77 } else { 1 };
            Err(Failure::Other { code, message: format!("logmedic says no ({}): {detail}", word("code")) })
        })
    }
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::failed(format!("failed to read the answer: {error}")))
}

/// The host is not looked up: the socket is the way.
fn address(path: &str) -> String {
    format!("http://localhost/api/v1/{path}")
}
