//! Turns names of users and groups into numbers and back.

use std::ffi::CString;

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

/// The name of a user, or its number where it has none.
#[must_use]
pub fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The name of a group, or its number where it has none.
#[must_use]
pub fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
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
