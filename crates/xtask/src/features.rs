//! The combinations of a package's features that differ in what they turn on.

use std::collections::{BTreeMap, BTreeSet};

/// Above this many features the powerset is replaced by none, each alone, each left out, and all.
const POWERSET_LIMIT: usize = 5;

type Features = BTreeMap<String, Vec<String>>;
type Set = BTreeSet<String>;

/// Every combination worth a check, each as a sorted list for `--features`.
///
/// `default` is not a feature of its own here: it only names a set of others.
/// A feature for models is combined with no other: each is there for itself.
/// Two combinations that turn on the same features of the package count once, by their smaller name.
pub(crate) fn combinations(
    features: &Features,
    is_for_models: impl Fn(&str) -> bool,
) -> Vec<Vec<String>> {
    let names = features.keys().map(String::as_str).filter(|&name| name != "default");
    let (alone, names): (Vec<&str>, Vec<&str>) = names.partition(|name| is_for_models(name));
    let mut picks = if names.len() > POWERSET_LIMIT { corners(&names) } else { powerset(&names) };
    picks.extend(alone.into_iter().map(|name| Set::from([name.to_owned()])));
    picks.sort_by_key(|pick| (pick.len(), pick.clone()));
    let mut seen: BTreeSet<Set> = BTreeSet::new();
    picks.retain(|pick| seen.insert(closure(pick, features)));
    picks.into_iter().map(|pick| pick.into_iter().collect()).collect()
}

fn powerset(names: &[&str]) -> Vec<Set> {
    names.iter().fold(vec![Set::new()], |sets, &name| {
        let with = sets.iter().cloned().map(|mut set| {
            set.insert(name.to_owned());
            set
        });
        sets.iter().cloned().chain(with.collect::<Vec<_>>()).collect()
    })
}

fn corners(names: &[&str]) -> Vec<Set> {
    let all: Set = names.iter().map(|&name| name.to_owned()).collect();
    let alone = names.iter().map(|&name| Set::from([name.to_owned()]));
    let without = names.iter().map(|&name| {
        let mut rest = all.clone();
        rest.remove(name);
        rest
    });
    [Set::new(), all.clone()].into_iter().chain(alone).chain(without).collect()
}

/// What a pick turns on: itself and, again and again, what its features name.
fn closure(pick: &Set, features: &Features) -> Set {
    let mut on = Set::new();
    let mut todo: Vec<&str> = pick.iter().map(String::as_str).collect();
    while let Some(name) = todo.pop() {
        if on.insert(name.to_owned()) {
            todo.extend(features.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combinations(features: &Features) -> Vec<Vec<String>> {
        super::combinations(features, |name| name == "loom" || name == "shuttle")
    }

    fn features(list: &[(&str, &[&str])]) -> Features {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        list.iter().map(|&(name, on)| (name.to_owned(), owned(on))).collect()
    }

    #[test]
    fn no_feature_is_one_combination() {
        assert_eq!(combinations(&features(&[])), [Vec::<String>::new()]);
        assert_eq!(combinations(&features(&[("default", &[])])), [Vec::<String>::new()]);
    }

    #[test]
    fn default_is_not_counted_again() {
        let found = combinations(&features(&[("default", &["std"]), ("std", &[])]));
        assert_eq!(found, [vec![], vec!["std"]]);
    }

    #[test]
    fn a_feature_that_implies_another_hides_the_pair() {
        let found =
            combinations(&features(&[("arbitrary", &["std", "dep:arbitrary"]), ("std", &[])]));
        assert_eq!(found, [vec![], vec!["arbitrary"], vec!["std"]]);
    }

    #[test]
    fn independent_features_give_the_powerset() {
        let found = combinations(&features(&[("a", &[]), ("b", &[]), ("c", &[])]));
        assert_eq!(found.len(), 8);
        assert!(found.contains(&vec!["a".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn features_for_models_are_combined_with_no_other() {
        let found = combinations(&features(&[("a", &[]), ("loom", &[]), ("shuttle", &[])]));
        assert_eq!(found, [vec![], vec!["a"], vec!["loom"], vec!["shuttle"]]);
    }

    #[test]
    fn many_features_give_the_corners_only() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let list: Vec<(&str, &[&str])> = names.iter().map(|&name| (name, &[] as &[&str])).collect();
        // None, six alone, six times five, all six.
        assert_eq!(combinations(&features(&list)).len(), 14);
    }
}
