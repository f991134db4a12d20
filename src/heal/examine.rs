//! Looks at one file as a whole: is it there, as large as it should be, sound, still growing?

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, SystemTime};

use serde_json::json;
use sha2::Digest as _;

use super::output::{Step, evidence};
use super::part::hex;
use super::{Healer, Stop, blocking};
use crate::decide::Expect;
use crate::media::{Depth, State, Verdict, check_with};
use crate::roots::{Error, Facts, RootPath, group_name, user_name};
use crate::vocab::Evidence;

/// A file that looks cut and changed within this time may still be written by the bot.
const FRESH: Duration = Duration::from_secs(3);
/// How long it is watched then. Bots write at least a block in this time, or they stall.
const WATCH: Duration = Duration::from_millis(700);

/// What a look at a file showed.
pub(super) struct Seen {
    pub(super) facts: Facts,
    pub(super) verdict: Verdict,
    /// Whether it is what was expected; [`State::Unknown`] where nothing tells.
    pub(super) state: State,
    /// What shows it.
    pub(super) detail: String,
    /// Whether it changed while it was looked at.
    pub(super) growing: bool,
}

impl Seen {
    pub(super) fn evidence(&self, path: &RootPath) -> Evidence {
        let mut seen = facts_evidence(path, &self.facts);
        seen.extend(evidence(json!({
            "verdict": self.state.as_str(), "kind": self.verdict.kind, "shows": self.detail,
            "structure": self.verdict.evidence,
        })));
        if self.growing {
            seen.insert("growing".into(), true.into());
        }
        seen
    }
}

/// Size, owner, group and mode of a path.
pub(super) fn facts_evidence(path: &RootPath, facts: &Facts) -> Evidence {
    evidence(json!({
        "path": path.to_string(), "size": facts.size, "mode": format!("{:04o}", facts.mode),
        "owner": user_name(facts.uid), "group": group_name(facts.gid), "links": facts.links,
    }))
}

impl Healer {
    /// Looks at the file; `None` when nothing is there.
    pub(super) async fn examine(&self, path: &RootPath, expect: &Expect, stop: &Stop) -> Step<Option<Seen>> {
        let look = |path: RootPath, expect: Expect, stop: Stop| blocking(move || examine(&path, &expect, &stop));
        let Some(mut seen) = look(path.clone(), expect.clone(), stop.clone()).await?? else { return Ok(None) };
        if seen.state != State::Sound && seen.facts.age(SystemTime::now()) < FRESH {
            tokio::time::sleep(WATCH).await;
            let Some(again) = look(path.clone(), expect.clone(), stop.clone()).await?? else { return Ok(None) };
            let grew = again.facts.size != seen.facts.size || again.facts.identity != seen.facts.identity;
            seen = again;
            seen.growing = grew && seen.state != State::Sound;
        }
        if seen.state == State::Unknown && self.was_placed(path, seen.facts.identity, seen.facts.size) {
            seen.state = State::Sound;
            seen.detail = "it is the file that was fetched, as long as the server said".into();
        }
        Ok(Some(seen))
    }
}

fn examine(path: &RootPath, expect: &Expect, stop: &Stop) -> Step<Option<Seen>> {
    let (mut file, facts) = match path.open_read() {
        Ok(open) => open,
        Err(Error::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (verdict, mut state, mut detail) = judge(&mut file, facts.size, &path.name(), expect, stop);
    // A check looked deeper than we do here, and nobody wrote to the file since.
    let modified = facts.modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let proven = expect.bad.as_ref().filter(|bad| bad.is(facts.identity, facts.size, modified));
    if let Some(bad) = proven.filter(|_| matches!(state, State::Sound | State::Unknown)) {
        (state, detail) = (State::Broken, bad.why.clone());
    }
    Ok(Some(Seen { facts, verdict, state, detail, growing: false }))
}

/// Structure, size and checksum together.
pub(super) fn judge(file: &mut File, size: u64, name: &str, expect: &Expect, stop: &Stop) -> (Verdict, State, String) {
    let verdict = check_with(file, size, name, Depth::Cheap, &mut || !stop.is_set());
    if matches!(verdict.state, State::Short | State::Broken) {
        let (state, detail) = (verdict.state, verdict.detail.clone());
        return (verdict, state, detail);
    }
    if let Some(wanted) = expect.size.filter(|wanted| *wanted != size) {
        let state = if size < wanted { State::Short } else { State::Broken };
        return (verdict, state, format!("it has {size} bytes and should have {wanted}"));
    }
    if let Some(wanted) = &expect.sha256 {
        return match sha256(file, stop) {
            Some(is) if is.eq_ignore_ascii_case(wanted) => (verdict, State::Sound, "its checksum is right".into()),
            Some(is) => (verdict, State::Broken, format!("its SHA-256 is {is} and should be {wanted}")),
            None => (verdict, State::Unknown, "its checksum could not be computed".into()),
        };
    }
    if verdict.state == State::Unknown && expect.size == Some(size) && size > 0 {
        return (verdict, State::Sound, format!("it has the {size} bytes it should have"));
    }
    let (state, detail) = (verdict.state, verdict.detail.clone());
    (verdict, state, detail)
}

fn sha256(file: &mut File, stop: &Stop) -> Option<String> {
    let mut hash = sha2::Sha256::new();
    let mut block = vec![0; 256 * 1024];
    file.seek(SeekFrom::Start(0)).ok()?;
    loop {
        if stop.is_set() {
            return None;
        }
        match file.read(&mut block) {
            Ok(0) => return Some(hex(&hash.finalize())),
            Ok(n) => hash.update(&block[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
