//! Which refs a client is shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, ObjectLog, Ref};

/// Which tags are listed. Every object stays reachable by id, and every tag by its full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// This many, the newest. A list of all is sent with every fetch that asks for tags.
    Newest(usize),
    /// All of them.
    All,
}

/// The refs whose names start with one of `prefixes`, or all of them when there is none, by name.
/// `HEAD` is not one.
pub(crate) fn list(log: &dyn ObjectLog, tags: Tags, prefixes: &[&str]) -> Result<Vec<Ref>, Error> {
    let prefixes = if prefixes.is_empty() { &[""] } else { prefixes };
    match tags {
        Tags::All => all(log, prefixes),
        Tags::Newest(most) => newest(log, prefixes, most),
    }
}

/// Of two prefixes that overlap the shorter one says it all; without the other no ref is found twice.
fn all(log: &dyn ObjectLog, prefixes: &[&str]) -> Result<Vec<Ref>, Error> {
    let mut prefixes = prefixes.to_vec();
    prefixes.sort_unstable();
    prefixes.dedup_by(|longer, kept| longer.starts_with(*kept));
    let mut found = Vec::new();
    for prefix in prefixes {
        found.extend(log.refs(prefix).map_err(Error::Read)?);
    }
    Ok(found)
}

fn newest(log: &dyn ObjectLog, prefixes: &[&str], most: usize) -> Result<Vec<Ref>, Error> {
    let mut found = BTreeMap::new();
    let mut add = |refs: Vec<Ref>| found.extend(refs.into_iter().map(|r| (r.name.clone(), r)));
    let meets = |folder: &str| {
        prefixes.iter().any(|prefix| folder.starts_with(prefix) || prefix.starts_with(folder))
    };
    if meets(HEADS) {
        add(log.refs(HEADS).map_err(Error::Read)?);
    }
    if meets(TAGS) {
        add(log.newest_tags(most).map_err(Error::Read)?);
        // A prefix may be the whole name of an older one.
        let names: BTreeSet<_> = prefixes.iter().filter(|name| name.len() > TAGS.len()).collect();
        for name in names {
            add(log.find_ref(name).map_err(Error::Read)?.into_iter().collect());
        }
    }
    found.retain(|name: &String, _| prefixes.iter().any(|prefix| name.starts_with(*prefix)));
    Ok(found.into_values().collect())
}

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
