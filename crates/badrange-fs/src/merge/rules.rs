//! The table in the documentation of [`Merge`](super::Merge): what is true of bytes that have the
//! same claims throughout.
//!
//! Everything here is linear in the claims, but for a binary search each: thousands of files may
//! share a byte.

use badrange_core::Extent;

use super::{Fact, MergeError, MergeErrorKind, Stated};
use crate::{FileId, Fork, Owner, Special};

/// Two claims that cannot both be true.
struct Fault<'a>(MergeErrorKind, &'a Stated, &'a Stated);

/// The facts about `part`, by key. `active` are all claims on it, by key and then by source.
pub(super) fn resolve(active: &[Stated], part: Extent) -> Result<Vec<Fact>, MergeError> {
    check(active)
        .map_err(|Fault(kind, one, other)| MergeError::new(kind, part, one.claim, other.claim))?;
    let mut facts: Vec<Fact> =
        active.chunk_by(|a, b| a.key == b.key).filter_map(|said| fact(said, part)).collect();
    if facts.len() > 1 {
        facts.retain(|fact| !is_unknown(fact.key.owner));
        spread_unwritten(active, &mut facts);
    }
    Ok(facts)
}

/// What the claims of one key say together; `None` where there is none.
fn fact(said: &[Stated], part: Extent) -> Option<Fact> {
    Some(Fact {
        key: said.first()?.key,
        extent: part,
        unwritten: said.iter().any(|s| s.claim.record.unwritten),
        shared: !is_exclusive(said),
        since: said.iter().map(|s| s.claim.record.extent.start()).min()?,
    })
}

fn check(active: &[Stated]) -> Result<(), Fault<'_>> {
    let (Some(first), Some(last)) = (active.first(), active.last()) else { return Ok(()) };
    if first.key == last.key {
        return Ok(()); // all say the same
    }
    check_specials(active)?;
    check_unknown(active)?;
    let files = active.iter().position(|s| is_special(s.key.owner)).map_or(active, |end| {
        active.get(..end).unwrap_or_default() // files come before all others
    });
    check_forks(files)?;
    if files.iter().any(|s| s.naming_map().is_some()) {
        check_named(files)
    } else {
        check_unnamed(files)
    }
}

const fn is_special(owner: Owner) -> bool {
    matches!(owner, Owner::Special(_))
}

const fn is_unknown(owner: Owner) -> bool {
    matches!(owner, Owner::Special(Special::Unknown))
}

const fn is_free(owner: Owner) -> bool {
    matches!(owner, Owner::Special(Special::Free))
}

/// A use by the filesystem itself, or free space, stands alone; only unknown gives way to a use.
fn check_specials(active: &[Stated]) -> Result<(), Fault<'_>> {
    let Some(special) = active.iter().find(|s| is_special(s.key.owner) && !is_unknown(s.key.owner))
    else {
        return Ok(());
    };
    let free = is_free(special.key.owner);
    let stands_beside = |s: &&Stated| s.key == special.key || (is_unknown(s.key.owner) && !free);
    let Some(other) = active.iter().find(|s| !stands_beside(s)) else { return Ok(()) };
    let kind = match (free || is_free(other.key.owner), is_special(other.key.owner)) {
        (true, _) => MergeErrorKind::FreeAndUsed,
        (false, true) => MergeErrorKind::TwoSpecials,
        (false, false) => MergeErrorKind::SpecialAndFile,
    };
    Err(Fault(kind, special, other))
}

/// One map does not call the same bytes unknown and something else.
fn check_unknown(active: &[Stated]) -> Result<(), Fault<'_>> {
    for unknown in active.iter().filter(|s| is_unknown(s.key.owner)) {
        let conflicts = |s: &&Stated| !is_unknown(s.key.owner) && s.in_one_complete_map(unknown);
        if let Some(other) = active.iter().find(conflicts) {
            let kind = match is_special(other.key.owner) {
                true => MergeErrorKind::TwoSpecials,
                false => MergeErrorKind::SpecialAndFile,
            };
            return Err(Fault(kind, other, unknown));
        }
    }
    Ok(())
}

/// What is not the data of a file is not shared.
fn check_forks(files: &[Stated]) -> Result<(), Fault<'_>> {
    let is_data = |s: &Stated| matches!(s.key.owner, Owner::File { fork: Fork::Data, .. });
    let Some(fork) = files.iter().find(|s| !is_data(s)) else { return Ok(()) };
    match files.iter().find(|s| s.key != fork.key) {
        Some(other) => Err(Fault(MergeErrorKind::Forks, fork, other)),
        None => Ok(()),
    }
}

/// Each complete map that names owners here names all of them.
fn check_named(files: &[Stated]) -> Result<(), Fault<'_>> {
    let mut maps: Vec<u32> = files.iter().filter_map(Stated::naming_map).collect();
    maps.sort_unstable();
    maps.dedup();
    maps.into_iter().try_for_each(|map| check_named_by(map, files))
}

fn check_named_by(map: u32, files: &[Stated]) -> Result<(), Fault<'_>> {
    let named: Vec<&Stated> = files.iter().filter(|s| s.naming_map() == Some(map)).collect();
    let mut shifts: Vec<u64> = named.iter().map(|s| s.key.shift).collect();
    shifts.sort_unstable();
    let is_named = |s: &Stated| match s.key.owner {
        Owner::File { id: FileId::Name(_), .. } => shifts.binary_search(&s.key.shift).is_ok(),
        Owner::File { .. } | Owner::Special(_) => {
            named.binary_search_by_key(&s.key, |n| n.key).is_ok()
        }
    };
    let Some(stranger) = files.iter().find(|s| !is_named(s)) else { return Ok(()) };
    let itself = named.iter().find(|n| n.key.owner == stranger.key.owner);
    match (itself, named.first()) {
        (Some(itself), _) => Err(Fault(MergeErrorKind::Offsets, stranger, itself)),
        (None, Some(one)) => Err(Fault(MergeErrorKind::Owners, stranger, one)),
        (None, None) => Ok(()), // a map that names nobody contradicts nobody
    }
}

/// Without a complete map, what nobody flags as shared is the data of one file at one offset.
///
/// Names come before inodes: where each fact agrees with the one before, all agree.
fn check_unnamed(files: &[Stated]) -> Result<(), Fault<'_>> {
    let mut before: Option<&Stated> = None;
    for said in files.chunk_by(|a, b| a.key == b.key).filter(|said| is_exclusive(said)) {
        let Some(new) = said.first() else { continue }; // what nobody says contradicts nothing
        if let Some((old, kind)) = before.and_then(|o| Some((o, conflict_of_exclusive(o, new)?))) {
            return Err(Fault(kind, old, new));
        }
        before = Some(new);
    }
    Ok(())
}

/// Why two facts cannot both be the only one.
fn conflict_of_exclusive(one: &Stated, other: &Stated) -> Option<MergeErrorKind> {
    if one.key.owner == other.key.owner {
        return Some(MergeErrorKind::Offsets);
    }
    let two_inodes = is_ino(one.key.owner) && is_ino(other.key.owner);
    (two_inodes || one.key.shift != other.key.shift).then_some(MergeErrorKind::Owners)
}

fn is_exclusive(said: &[Stated]) -> bool {
    said.iter().all(|s| !s.claim.shared)
}

const fn is_ino(owner: Owner) -> bool {
    matches!(owner, Owner::File { id: FileId::Ino(_), .. })
}

/// A name and an inode, or two names, that can only be one file agree on whether the bytes are
/// unwritten: where a complete map names one inode at that offset, and where none names any and
/// nobody flags the bytes as shared.
fn spread_unwritten(active: &[Stated], facts: &mut [Fact]) {
    let is_name =
        |fact: &Fact| matches!(fact.key.owner, Owner::File { .. }) && !is_ino(fact.key.owner);
    if !facts.iter().any(is_name) || !facts.iter().any(|fact| fact.unwritten) {
        return;
    }
    let named = active.iter().any(|s| !is_special(s.key.owner) && s.naming_map().is_some());
    let mut one_file: Vec<&mut Fact> =
        facts.iter_mut().filter(|fact| named || !fact.shared).collect();
    one_file.sort_unstable_by_key(|fact| fact.key.shift);
    for group in one_file.chunk_by_mut(|a, b| a.key.shift == b.key.shift) {
        if named && group.iter().filter(|fact| is_ino(fact.key.owner)).count() != 1 {
            continue; // of several inodes nothing says which one the name is
        }
        let unwritten = group.iter().any(|fact| fact.unwritten);
        group.iter_mut().for_each(|fact| fact.unwritten = unwritten);
    }
}
