//! Turns names of users and groups into numbers and back.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};

/// The number of a user given by name or number.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()))
}

/// The number of a group given by name or number.
#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()))
}

/// Names by number that were looked up: only shown, never decided by. The user database may be in a network.
static NAMES: Mutex<Option<HashMap<(Kind, u32), String>>> = Mutex::new(None);

/// How many names are kept; a machine has a few.
const NAMES_MAX: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    User,
    Group,
}

/// The name of a user, or its number where it has none. Looked up once.
#[must_use]
pub fn user_name(uid: u32) -> String {
    name(Kind::User, uid, || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name))
}

/// The name of a group, or its number where it has none. Looked up once.
#[must_use]
pub fn group_name(gid: u32) -> String {
    name(Kind::Group, gid, || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name))
}

fn name(kind: Kind, number: u32, look_up: impl FnOnce() -> Option<String>) -> String {
    let names = || NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = names().as_ref().and_then(|names| names.get(&(kind, number))) {
        return name.clone();
    }
    // Not while the lock is held: it may take long.
    let Some(name) = look_up() else { return number.to_string() };
    let mut names = names();
    let known = names.get_or_insert_default();
    if known.len() >= NAMES_MAX {
        known.clear();
    }
    known.insert((kind, number), name.clone());
    name
}

/// Every group of the user `uid`, its primary group first; empty when the user database does not know it.
#[must_use]
pub fn groups_of(uid: u32) -> Vec<u32> {
    let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else { return Vec::new() };
    let mut groups = vec![user.gid.as_raw()];
    if let Ok(name) = CString::new(user.name)
        && let Ok(more) = nix::unistd::getgrouplist(&name, user.gid)
    {
        groups.extend(more.into_iter().map(Gid::as_raw).filter(|gid| *gid != user.gid.as_raw()));
    }
    groups
}
