//! Which inode a name printed by filefrag or `xfs_bmap` belongs to.

use std::collections::{BTreeMap, BTreeSet};

/// The prefix under which the names of one map stand in the paths of a filesystem.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// No name needs one, or none belongs to any path.
    None,
    /// This one, for every name that is not itself a path.
    Mount(String),
}

/// Inodes by path. A path that two inodes claim belongs to neither: see [`ambiguous`].
pub(super) struct Paths {
    by_path: BTreeMap<String, u64>,
}

impl Paths {
    /// # Errors
    /// The path that two inodes claim.
    pub(super) fn new(paths: &BTreeMap<u64, Vec<String>>) -> Result<Self, String> {
        let mut by_path = BTreeMap::new();
        for (ino, names) in paths {
            for name in names {
                let other = by_path.insert(name.clone(), *ino);
                if other.is_some_and(|other| other != *ino) {
                    return Err(name.clone());
                }
            }
        }
        Ok(Self { by_path })
    }

    /// Finds the one prefix for all names of a map.
    ///
    /// # Errors
    /// Several possible prefixes, or names that need different ones: an example of each.
    pub(super) fn prefix(
        &self,
        names: &[&str],
        mount: Option<&str>,
    ) -> Result<Prefix, [String; 2]> {
        if let Some(mount) = mount {
            return Ok(Prefix::Mount(mount.trim_end_matches('/').to_owned()));
        }
        let mut possible: Option<BTreeSet<&str>> = None;
        for name in names.iter().filter(|name| !self.by_path.contains_key(**name)) {
            let here = self.prefixes_of(name);
            if here.is_empty() {
                continue; // belongs to no path, whatever the prefix
            }
            let both: BTreeSet<&str> = match &possible {
                Some(so_far) => so_far.intersection(&here).copied().collect(),
                None => here.clone(),
            };
            if both.is_empty() {
                let before = possible.iter().flatten().next().copied().unwrap_or_default();
                let now = here.first().copied().unwrap_or_default();
                return Err([before.to_owned(), now.to_owned()]);
            }
            possible = Some(both);
        }
        let mut possible = possible.into_iter().flatten();
        match (possible.next(), possible.next()) {
            (None, _) => Ok(Prefix::None),
            (Some(one), None) => Ok(Prefix::Mount(one.to_owned())),
            (Some(one), Some(other)) => Err([one.to_owned(), other.to_owned()]),
        }
    }

    /// Every prefix after which `name` goes on with a known path.
    fn prefixes_of<'n>(&self, name: &'n str) -> BTreeSet<&'n str> {
        let splits = name.char_indices().filter(|(at, _)| *at > 0).map(|(at, _)| at);
        let known =
            splits.filter(|at| name.get(*at..).is_some_and(|p| self.by_path.contains_key(p)));
        known.filter_map(|at| name.get(..at)).collect()
    }

    /// The inode a name belongs to, `None` for a name that has no entry.
    ///
    /// # Errors
    /// The two inodes when the name is a path itself and, without the prefix, another file's.
    pub(super) fn inode(&self, name: &str, prefix: &Prefix) -> Result<Option<u64>, [u64; 2]> {
        let exact = self.by_path.get(name).copied();
        let Prefix::Mount(mount) = prefix else { return Ok(exact) };
        let rest = name.strip_prefix(mount.as_str());
        let below = rest.and_then(|path| self.by_path.get(path)).copied();
        match (exact, below) {
            (Some(a), Some(b)) if a != b => Err([a, b]),
            (a, b) => Ok(a.or(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[(u64, &str)]) -> Paths {
        let mut all: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (ino, path) in list {
            all.entry(*ino).or_default().push((*path).to_owned());
        }
        Paths::new(&all).unwrap()
    }

    #[test]
    fn a_prefix_is_found_when_one_explains_every_name() {
        let p = paths(&[(13, "/big"), (14, "/d/s"), (21, "/s")]);
        // "/srv/a1/d" would explain the second name alone, as /s.
        let names = ["/srv/a1/big", "/srv/a1/d/s", "/srv/a1/unlisted"];
        let prefix = p.prefix(&names, None).unwrap();
        assert_eq!(prefix, Prefix::Mount("/srv/a1".to_owned()));
        assert_eq!(p.inode("/srv/a1/d/s", &prefix), Ok(Some(14)));
        assert_eq!(p.inode("/srv/a1/unlisted", &prefix), Ok(None));
    }

    #[test]
    fn names_that_are_paths_need_no_prefix() {
        let p = paths(&[(13, "/srv/a1/big"), (14, "/big")]);
        let prefix = p.prefix(&["/srv/a1/big"], None).unwrap();
        assert_eq!(prefix, Prefix::None);
        assert_eq!(p.inode("/srv/a1/big", &prefix), Ok(Some(13)));
    }

    #[test]
    fn several_possible_prefixes_are_refused() {
        let p = paths(&[(14, "/d/s"), (21, "/s")]);
        let err = p.prefix(&["/mnt/d/s"], None).unwrap_err();
        assert_eq!(err, ["/mnt".to_owned(), "/mnt/d".to_owned()]);
        let p = paths(&[(1, "/a"), (2, "/b")]);
        let err = p.prefix(&["/mnt/a", "/srv/b"], None).unwrap_err();
        assert_eq!(err, ["/mnt".to_owned(), "/srv".to_owned()]);
    }

    #[test]
    fn a_given_mount_settles_it() {
        let p = paths(&[(14, "/d/s"), (21, "/s")]);
        let prefix = p.prefix(&["/mnt/d/s"], Some("/mnt/")).unwrap();
        assert_eq!(p.inode("/mnt/d/s", &prefix), Ok(Some(14)));
        assert_eq!(p.inode("/d/s", &prefix), Ok(Some(14)), "a name may also be a path itself");
    }

    #[test]
    fn a_name_that_could_be_two_files_is_refused() {
        let p = paths(&[(7, "/mnt/x"), (8, "/x")]);
        let prefix = p.prefix(&["/mnt/x"], Some("/mnt")).unwrap();
        assert_eq!(p.inode("/mnt/x", &prefix), Err([7, 8]));
    }
}
