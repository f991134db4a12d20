//! Describes how the server misbehaves and finds the fault that is due for a request. Pure.

use serde::{Deserialize, Serialize};

/// The most faults that may be armed at once: tests arm a handful.
pub const MAX_ARMED: usize = 256;

/// One fault, armed for a method or for file transfers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// A Bot API method (`getFile`; case does not matter), `file` for file transfers, or `*` for any method.
    pub on: String,
    /// Only requests whose `file_id`, file path or token contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// How many requests it hits; then it is gone.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    #[serde(flatten)]
    pub what: Misbehaviour,
}

const fn once() -> u32 {
    1
}

/// What a server can do wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Misbehaviour {
    /// File: sends so many bytes, then nothing for `ms`, then the rest.
    Stall {
        /// Bytes before the silence.
        after: u64,
        /// How long, in milliseconds.
        ms: u64,
    },
    /// File: sends only a part.
    Cut {
        /// Which part, `0.0..1.0`.
        keep: f64,
        /// `true`: the answer claims that this is all of it. `false`: it announces all and closes early.
        #[serde(default)]
        claims_whole: bool,
    },
    /// File: resets the connection after so many bytes.
    Reset {
        /// Bytes before the reset.
        after: u64,
    },
    /// 429 with `retry_after`, in seconds.
    RateLimited {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// 502 with nginx' page.
    BadGateway,
    /// 503 with nginx' page.
    Unavailable,
    /// 500 as the Bot API server writes it.
    Internal,
    /// 401 `Unauthorized`.
    Unauthorized,
    /// 404 `Not Found`.
    NotFound,
    /// 400 `wrong file_id or the file is temporarily unavailable`.
    WrongFileId,
    /// 400 `file is too big`.
    TooBig,
    /// Says nothing for so long, then answers as usual.
    Hang {
        /// Milliseconds.
        ms: u64,
    },
}

/// Finds the first fault that is due, and counts it down.
///
/// `name` is the method or `file`; `subjects` are the texts that `only` is looked for in.
pub fn take_due(armed: &mut Vec<Fault>, name: &str, subjects: &[&str]) -> Option<Misbehaviour> {
    let index = armed.iter().position(|fault| {
        let fits = fault.on.eq_ignore_ascii_case(name) || (fault.on == "*" && name != "file");
        fits && fault.only.as_ref().is_none_or(|only| subjects.iter().any(|s| s.contains(only.as_str())))
    })?;
    let what = armed[index].what.clone();
    armed[index].times = armed[index].times.saturating_sub(1);
    if armed[index].times == 0 {
        armed.remove(index);
    }
    Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_only_what_it_names_and_only_so_often() {
        let fault = Fault { on: "getFile".into(), only: Some("AAA".into()), times: 2, what: Misbehaviour::BadGateway };
        let mut armed = vec![fault];
        assert_eq!(take_due(&mut armed, "getme", &["AAA"]), None);
        assert_eq!(take_due(&mut armed, "getfile", &["BBB"]), None);
        assert_eq!(take_due(&mut armed, "getfile", &["xAAAx"]), Some(Misbehaviour::BadGateway));
        assert_eq!(take_due(&mut armed, "GETFILE", &["AAA"]), Some(Misbehaviour::BadGateway));
        assert_eq!(take_due(&mut armed, "getfile", &["AAA"]), None);
    }

    #[test]
    fn a_fault_reads_from_one_flat_json_object() {
        let fault: Fault = serde_json::from_str(r#"{"on":"file","what":"stall","after":1000,"ms":5000}"#).unwrap();
        assert_eq!(fault.times, 1);
        assert_eq!(fault.what, Misbehaviour::Stall { after: 1000, ms: 5000 });
    }
}
