//! Tells whether a user may use a path, and gives access back as the policy says, by descriptor.

use std::os::fd::AsFd;

use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid};

use super::syscall::{chmod_by_descriptor, has_acl};
use super::{Error, Facts, FileKind, Policy, Refusal, RootPath, group_name, shell_quote, user_name};

/// A user whose access is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// User number.
    pub uid: u32,
    /// Every group.
    pub gids: Vec<u32>,
}

/// Bits of one permission triple.
const READ: u32 = 4;
const WRITE: u32 = 2;
const ENTER: u32 = 1;

/// What a look at the access of a path showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The path that was asked in the end: the file, or the directory for a file that is missing.
    pub subject: RootPath,
    /// What the system says about it.
    pub facts: Facts,
    /// What is in the way, nearest to the root first; empty when the user may.
    pub denied: Vec<Denied>,
    /// Whether one of the denied has an access control list, which may say otherwise.
    pub acl: bool,
}

/// One thing that keeps a user out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Where.
    pub path: RootPath,
    /// What is there.
    pub facts: Facts,
    /// The missing bits of `rwx`.
    pub missing: u32,
}

impl Denied {
    /// `r-x` style word of what is missing.
    #[must_use]
    pub fn missing_word(&self) -> String {
        [(READ, 'r'), (WRITE, 'w'), (ENTER, 'x')]
            .iter()
            .filter(|(bit, _)| self.missing & bit != 0)
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// One path that was changed, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where.
    pub path: RootPath,
    /// As it was.
    pub before: Facts,
    /// As it is.
    pub after: Facts,
}

impl Who {
    /// The bits of `rwx` the mode gives this user, as the kernel picks them: owner, else group, else others.
    #[must_use]
    pub fn bits(&self, facts: &Facts) -> u32 {
        if self.uid == 0 {
            // CAP_DAC_OVERRIDE: everything, but a file is only executable when somebody may.
            let execute = facts.kind == FileKind::Directory || facts.mode & 0o111 != 0;
            return READ | WRITE | if execute { ENTER } else { 0 };
        }
        let shift = if facts.uid == self.uid {
            6
        } else if self.gids.contains(&facts.gid) {
            3
        } else {
            0
        };
        (facts.mode >> shift) & 7
    }
}

impl RootPath {
    /// Whether `who` may use it: every directory on the way entered, the last one written, the file read and
    /// written. Computed from the mode bits; a missing file stands for its directory.
    ///
    /// # Errors
    /// When a directory on the way is missing, or logmedic itself may not look.
    pub fn access_as(&self, who: &Who) -> Result<Access, Error> {
        let chain = self.chain();
        let (mut denied, mut acl) = (Vec::new(), false);
        let mut subject: Option<(RootPath, Facts)> = None;
        let last = chain.len() - 1;
        for (depth, step) in chain.iter().enumerate() {
            let (fd, facts) = match step.pin("look at") {
                Ok(found) => found,
                // A missing file in a directory that is there: the directory was asked already.
                Err(Error::Missing(_)) if depth == last && subject.is_some() => break,
                // What keeps the user out keeps us out as well: it is found, what lies below must wait.
                Err(Error::Denied { .. }) if !denied.is_empty() => break,
                Err(error) => return Err(error),
            };
            let is_parent = depth + 1 == last;
            let need = match facts.kind {
                FileKind::File => READ | WRITE,
                FileKind::Directory if depth == last => READ | WRITE | ENTER,
                // A file is made, renamed and removed through its directory.
                FileKind::Directory if is_parent => WRITE | ENTER,
                FileKind::Directory => ENTER,
                FileKind::Other => return Err(Error::Refused(Refusal::new(format!("{step} is a link or a device")))),
            };
            let missing = need & !who.bits(&facts);
            if missing != 0 {
                acl |= has_acl(fd.as_fd());
                denied.push(Denied { path: step.clone(), facts, missing });
            }
            subject = Some((step.clone(), facts));
        }
        let (subject, facts) = subject.ok_or_else(|| Error::Missing(self.to_string()))?;
        Ok(Access { subject, facts, denied, acl })
    }

    /// Restores what the policy says on everything that keeps `who` out, and on the path itself.
    ///
    /// Without any policy only the missing bits of the triple that applies to `who` are added.
    ///
    /// # Errors
    /// A refusal with the exact command where logmedic lacks the privilege or the policy would not help.
    pub fn restore_access(&self, who: &Who) -> Result<Vec<Restored>, Error> {
        let mut changed = Vec::new();
        // What lies below a closed directory is only seen once that is open: one more pass a level at most.
        for _ in self.chain() {
            let pass = self.restore_pass(who)?;
            let idle = pass.is_empty();
            changed.extend(pass);
            if idle || self.access_as(who)?.denied.is_empty() {
                break;
            }
        }
        Ok(changed)
    }

    fn restore_pass(&self, who: &Who) -> Result<Vec<Restored>, Error> {
        let before = self.access_as(who)?;
        let mut wanted: Vec<(RootPath, u32)> =
            before.denied.iter().map(|denied| (denied.path.clone(), denied.missing)).collect();
        if !wanted.iter().any(|(path, _)| *path == before.subject) {
            wanted.push((before.subject.clone(), 0));
        }
        let (mut changed, mut refused) = (Vec::new(), Vec::new());
        for (path, missing) in wanted {
            match path.restore_one(missing, who) {
                Ok(one) => changed.extend(one),
                Err(Error::Refused(refusal)) if refusal.remedy.is_some() => refused.push(refusal),
                Err(error) => return Err(error),
            }
        }
        let mut refused = refused.into_iter();
        let Some(mut first) = refused.next() else { return Ok(changed) };
        // One command that mends everything, not one a day.
        let remedies: Vec<String> =
            first.remedy.take().into_iter().chain(refused.filter_map(|more| more.remedy)).collect();
        Err(first.with_remedy(remedies.join(" && ")).into())
    }

    fn restore_one(&self, missing: u32, who: &Who) -> Result<Option<Restored>, Error> {
        let (fd, before) = self.pin("restore the access of")?;
        self.changeable(&before)?;
        let policy = self.target(&before, missing, who)?;
        let done = match self.apply(&fd, &before, &policy) {
            // It keeps nobody out; that it is not as the policy says is no reason to fail.
            Err(Error::Denied { .. }) if missing == 0 => false,
            other => other.map_err(|error| self.explain(error, &before, &policy))?,
        };
        Ok(if done { Some(Restored { path: self.clone(), before, after: self.facts_of(&fd)? }) } else { None })
    }

    /// The policy for this path, completed so that `who` really gets in.
    fn target(&self, facts: &Facts, missing: u32, who: &Who) -> Result<Policy, Error> {
        let policy = self.policy();
        let directory = facts.kind == FileKind::Directory;
        let mode = if directory { policy.dir_mode } else { policy.file_mode };
        let mut after = *facts;
        after.uid = policy.uid.unwrap_or(facts.uid);
        after.gid = policy.gid.unwrap_or(facts.gid);
        after.mode = mode.unwrap_or(facts.mode);
        let still = missing & !who.bits(&after);
        if still != 0 {
            let shift = if after.uid == who.uid {
                6
            } else if who.gids.contains(&after.gid) {
                3
            } else {
                let name = if directory { "dir_mode = \"2775\"" } else { "file_mode = \"0664\"" };
                let group = who.gids.first().copied().unwrap_or(who.uid);
                let command = self.command(facts, Some(who.uid), Some(group), Some(facts.mode | (missing << 6)));
                return Err(Refusal::new(format!(
                    "{self} belongs to {}:{} and the policy does not say that it should be the bot's; \
                     the configuration could: in [[root]] name = \"{}\", owner = \"{}\" and {name}",
                    user_name(facts.uid),
                    group_name(facts.gid),
                    self.root_name(),
                    user_name(who.uid),
                ))
                .with_remedy(command)
                .into());
            };
            if mode.is_some() {
                return Err(Refusal::new(format!(
                    "the policy's mode {:04o} itself keeps the bot out of {self}",
                    after.mode
                ))
                .with_remedy(format!(
                    "[[root]] # {}\n{} = \"{:04o}\"",
                    self.root_name(),
                    if directory { "dir_mode" } else { "file_mode" },
                    after.mode | (still << shift)
                ))
                .into());
            }
            after.mode |= still << shift;
        }
        Ok(Policy {
            uid: Some(after.uid),
            gid: Some(after.gid),
            dir_mode: Some(after.mode),
            file_mode: Some(after.mode & 0o777),
        })
    }

    /// Makes owner, group and mode of what `fd` refers to as `policy` says. Says whether anything was changed.
    pub(super) fn apply(&self, fd: &impl AsFd, facts: &Facts, policy: &Policy) -> Result<bool, Error> {
        self.changeable(facts)?;
        let uid = policy.uid.filter(|uid| *uid != facts.uid);
        let gid = policy.gid.filter(|gid| *gid != facts.gid);
        let owner = uid.is_some() || gid.is_some();
        let fail = |errno| Error::of("restore the access of", &self.to_string(), errno);
        if owner {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            nix::unistd::fchownat(fd, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(fail)?;
        }
        // After chown: the kernel takes set-id bits away when the owner changes.
        let current = if owner { self.facts_of(fd)?.mode } else { facts.mode };
        let wanted = match facts.kind {
            FileKind::Directory => policy.dir_mode,
            _ => policy.file_mode,
        };
        let Some(mode) = wanted.filter(|mode| *mode != current) else { return Ok(owner) };
        chmod_by_descriptor(fd.as_fd(), mode).map_err(fail)?;
        Ok(true)
    }

    fn explain(&self, error: Error, facts: &Facts, policy: &Policy) -> Error {
        let Error::Denied { .. } = error else { return error };
        let mode = if facts.kind == FileKind::Directory { policy.dir_mode } else { policy.file_mode };
        Error::Refused(Refusal::new(format!("{error}")).with_remedy(self.command(facts, policy.uid, policy.gid, mode)))
    }

    /// The command with which the system's administrator would do it.
    fn command(&self, facts: &Facts, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) -> String {
        let (uid, gid) = if uid == Some(facts.uid) && gid == Some(facts.gid) { (None, None) } else { (uid, gid) };
        let mode = mode.filter(|mode| *mode != facts.mode);
        let path = shell_quote(&self.absolute().to_string_lossy());
        let owner = match (uid, gid) {
            (Some(uid), Some(gid)) => format!("sudo chown {}:{} {path}", user_name(uid), group_name(gid)),
            (Some(uid), None) => format!("sudo chown {} {path}", user_name(uid)),
            (None, Some(gid)) => format!("sudo chgrp {} {path}", group_name(gid)),
            (None, None) => String::new(),
        };
        let mode = mode.map(|mode| format!("sudo chmod {mode:04o} {path}")).unwrap_or_default();
        [owner, mode].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" && ")
    }
}
