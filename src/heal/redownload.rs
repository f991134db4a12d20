//! Fetches a file again: into `NAME.part`, proven there, then put into place.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde_json::json;

use super::examine::{Seen, judge};
use super::output::{Step, done, evidence, failed, permanent, refused, transient, transient_of};
use super::part::Draft;
use super::{Healer, Stop, blocking};
use crate::decide::{Expect, Fetch, Task, TaskOutput};
use crate::media::State;
use crate::roots::{Error, FileKind, RootPath, shell_quote};
use crate::vocab::Evidence;

impl Healer {
    pub(super) async fn redownload(
        &self,
        task: &Task,
        from: &Fetch,
        path: &str,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<TaskOutput> {
        let path = self.resolve(path)?;
        if path.is_root() {
            return Err(refused(format!("{path} is a root, not a file"), None));
        }
        // What a command that was begun before a restart made of the file is judged when it is over.
        let begun = task.resumed && matches!(from, Fetch::Command { .. }) && self.inner.launcher.knows(task.id);
        let there = if begun { None } else { self.examine(&path, expect, stop).await? };
        if let Some(seen) = &there {
            if seen.state == State::Sound {
                return Ok(done(format!("{path} is there and whole already"), seen.evidence(&path)));
            }
            if seen.growing {
                return Err(transient(format!("{path} is still being written")));
            }
        }
        let (draft, mut seen) = match from {
            Fetch::FileId(id) => self.fetch_file_id(id, &path, expect, stop).await?,
            Fetch::FilePath(server_path) => self.fetch_file_path(server_path, &path, expect, stop).await?,
            Fetch::Url(url) => self.fetch_url(url, &path, expect, stop).await?,
            Fetch::Command { variables } => match self.fetch_by_command(task, &path, variables).await? {
                (Some(draft), seen) => (draft, seen),
                // The command put it there itself; the look says whether it is whole.
                (None, seen) => return self.saved_by_command(&path, expect, stop, seen).await,
            },
        };
        let draft = self.prove(draft, &path, expect, stop, &mut seen).await?;
        self.place(task, draft, &path, expect, there.as_ref(), stop, seen).await
    }

    async fn saved_by_command(
        &self,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
        mut ran: Evidence,
    ) -> Step<TaskOutput> {
        let Some(seen) = self.examine(path, expect, stop).await? else {
            let detail = format!("the command ended well but made neither {path} nor its .part");
            return Err(transient_of(detail, ran, None, None));
        };
        ran.extend(seen.evidence(path));
        if matches!(seen.state, State::Sound | State::Unknown) {
            return Ok(done(format!("the command saved {path}"), ran));
        }
        let detail = format!("the command ended well but {path} is {}: {}", seen.state.as_str(), seen.detail);
        Err(transient_of(detail, ran, None, None))
    }

    /// Judges the part. One that is not what it should be is removed: the next attempt begins anew.
    async fn prove(
        &self,
        mut draft: Draft,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
        seen: &mut Evidence,
    ) -> Step<Draft> {
        let (name, expect, stop) = (path.name(), expect.clone(), stop.clone());
        let (back, proof) = blocking(move || {
            let size = draft.part.held;
            let proof = judge(&mut draft.part.file, size, &name, &expect, &stop);
            (draft, proof)
        })
        .await?;
        draft = back;
        let (verdict, state, detail) = proof;
        seen.extend(evidence(json!({
            "bytes": draft.part.held, "verdict": state.as_str(), "kind": verdict.kind, "shows": detail,
        })));
        if matches!(state, State::Short | State::Broken) {
            let part = draft.part.path.clone();
            let _ = blocking(move || part.remove_file()).await?;
            let why = format!("what was fetched for {path} is {}: {detail}", state.as_str());
            return Err(transient_of(why, seen.clone(), None, None));
        }
        draft.proven().await?;
        Ok(draft)
    }

    /// Puts the proven part at its name. A broken file that stands there goes to quarantine, a whole one stays.
    #[allow(clippy::too_many_arguments, reason = "the last step needs what all steps before found")]
    async fn place(
        &self,
        task: &Task,
        draft: Draft,
        path: &RootPath,
        expect: &Expect,
        there: Option<&Seen>,
        stop: &Stop,
        mut seen: Evidence,
    ) -> Step<TaskOutput> {
        let (target, size) = (path.clone(), draft.part.held);
        let (draft, placed) = blocking(move || {
            let placed = draft.part.give_away().and_then(|note| draft.part.place_at(&target).map(|()| note));
            (draft, placed)
        })
        .await?;
        let placed = match placed {
            Err(Error::Exists(_)) => {
                if let Some(output) = self.make_way(task, &draft, path, expect, there, stop).await? {
                    return Ok(output);
                }
                seen.insert("quarantined".into(), task.id.to_string().into());
                let target = path.clone();
                blocking(move || draft.part.place_at(&target)).await?.map(|()| None)
            }
            placed => placed,
        };
        if let Some(note) = placed? {
            seen.insert("note".into(), note.into());
        }
        Ok(done(format!("{path} was fetched again: {size} bytes, verified before it was put into place"), seen))
    }

    /// Deals with a file that stands where the part belongs. `Some`: it is whole and stays.
    async fn make_way(
        &self,
        task: &Task,
        draft: &Draft,
        path: &RootPath,
        expect: &Expect,
        there: Option<&Seen>,
        stop: &Stop,
    ) -> Step<Option<TaskOutput>> {
        let Some(now) = self.examine(path, expect, stop).await? else { return Ok(None) };
        let part = draft.part.path.clone();
        let file = draft.part.file.try_clone().map_err(|error| failed(error.to_string()))?;
        let shape = {
            let (path, stop) = (path.clone(), stop.clone());
            blocking(move || compare(&path, file, &stop)).await??
        };
        if now.state == State::Sound || shape == Shape::Same {
            blocking(move || part.remove_file()).await??;
            let detail = format!("{path} is there and whole: the bot saved it meanwhile");
            return Ok(Some(done(detail, now.evidence(path))));
        }
        if now.growing || there.is_some_and(|before| before.facts.size != now.facts.size) {
            return Err(transient(format!("{path} is being written by the bot")));
        }
        let proven_bad = matches!(now.state, State::Short | State::Broken) || shape == Shape::Beginning;
        if !proven_bad {
            let from = shell_quote(&path.absolute().to_string_lossy());
            let mut aside = path.absolute().into_os_string();
            aside.push(".old");
            let to = shell_quote(&PathBuf::from(aside).to_string_lossy());
            return Err(refused(
                format!("a different file stands at {path} and nothing proves that it is bad"),
                Some(format!("mv -n {from} {to}")),
            ));
        }
        self.move_aside(task, path, &now.detail, &now.facts).await?;
        Ok(None)
    }

    /// Copies a file of a local Bot API server into the draft.
    pub(super) async fn copy(&self, source: &RootPath, mut draft: Draft, stop: &Stop) -> Step<(Draft, Evidence)> {
        let (source, stop, cap) = (source.clone(), stop.clone(), self.settings().max_download);
        let (mut file, facts) = source.open_read()?;
        draft.restart()?;
        draft.fits(Some(facts.size), self.settings())?;
        stop.meter.set(0, Some(facts.size));
        let (draft, copied) = blocking(move || {
            let copied = copy_blocks(&mut file, &mut draft, cap, &stop);
            (draft, copied)
        })
        .await?;
        let mut draft = draft;
        draft.complete = true;
        let path = &draft.part.path;
        match copied {
            Ok(()) if draft.part.held == facts.size => {}
            Ok(()) => return Err(transient(format!("{} changed while it was copied", source_name(facts.size)))),
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                return Err(Box::new(TaskOutput::NoSpace {
                    detail: format!("the room ran out while {path} was written; what came is kept"),
                    evidence: evidence(json!({ "written_bytes": draft.part.held, "root": path.root_name() })),
                }));
            }
            Err(error) => return Err(failed(format!("failed to write {path}: {error}"))),
        }
        let seen = evidence(json!({ "copied_from": "the local server's files", "announced_bytes": facts.size }));
        Ok((draft, seen))
    }
}

fn source_name(size: u64) -> String {
    format!("the local server's file of {size} bytes")
}

fn copy_blocks(file: &mut std::fs::File, draft: &mut Draft, cap: u64, stop: &Stop) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut block = vec![0; 1 << 20];
    loop {
        if stop.is_set() {
            return Err(std::io::Error::other("stopped"));
        }
        let got = file.read(&mut block)?;
        if got == 0 {
            return draft.part.file.sync_all();
        }
        if draft.part.held + got as u64 > cap {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        draft.part.file.write_all(&block[..got])?;
        draft.part.held += got as u64;
        stop.meter.advance(got as u64);
    }
}

/// How the file that is there compares with the one that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Same,
    /// It is the beginning of what was fetched: proven cut.
    Beginning,
    Different,
}

fn compare(path: &RootPath, mut fetched: std::fs::File, stop: &Stop) -> Step<Shape> {
    let (mut there, facts) = path.open_read()?;
    if facts.kind != FileKind::File {
        return Err(permanent(format!("{path} is not a regular file")));
    }
    let io = |error: std::io::Error| failed(format!("failed to compare {path}: {error}"));
    fetched.seek(SeekFrom::Start(0)).map_err(io)?;
    let (mut a, mut b) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    loop {
        if stop.is_set() {
            return Err(transient("stopped"));
        }
        let got = there.read(&mut a).map_err(io)?;
        if got == 0 {
            let more = fetched.read(&mut b).map_err(io)? > 0;
            return Ok(if more { Shape::Beginning } else { Shape::Same });
        }
        match fetched.read_exact(&mut b[..got]) {
            Ok(()) if a[..got] == b[..got] => {}
            Ok(()) => return Ok(Shape::Different),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Shape::Different),
            Err(error) => return Err(io(error)),
        }
    }
}
