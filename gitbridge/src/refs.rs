//! Which refs a client is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ObjectLog, Ref, RefForm, RefList, ref_list};

/// Which tags are listed. Every object stays reachable by id, and every tag by its full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tags {
    /// This many, the newest. A list of all is sent with every fetch that asks for tags.
    Newest(usize),
    /// All of them.
    All,
}

/// [`list`] as packets. A list that shows all tags is one of few, and remembered as a whole; a shorter one
/// is written for its request.
pub(crate) fn packets(
    log: &dyn ObjectLog,
    tags: Tags,
    prefixes: &[&str],
    form: RefForm,
) -> Result<Vec<Bytes>, Error> {
    if prefixes.is_empty() {
        return Ok(vec![whole(log, tags, form)?.all()]);
    }
    let shows_all = prefixes.iter().any(|prefix| TAGS.starts_with(prefix));
    // An old tag may be named in full that the newest are not.
    let names_one = prefixes.iter().any(|prefix| prefix.len() > TAGS.len());
    if shows_all && (tags == Tags::All || !names_one) {
        let whole = whole(log, tags, form)?;
        return Ok(distinct(prefixes).map(|prefix| whole.starting_with(prefix)).collect());
    }
    let mut out = Vec::new();
    list(log, tags, prefixes)?.iter().for_each(|found| ref_list::put(&mut out, found, form));
    Ok(vec![out.into()])
}

fn whole(log: &dyn ObjectLog, tags: Tags, form: RefForm) -> Result<Arc<RefList>, Error> {
    log.ref_list(form, tags, &mut || Ok(RefList::new(&list(log, tags, &[])?, form)))
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

/// In order, without those that say nothing new: of two that overlap the shorter one says it all, and
/// without the other no ref is found twice.
fn distinct<'a>(prefixes: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let mut prefixes = prefixes.to_vec();
    prefixes.sort_unstable();
    prefixes.dedup_by(|longer, kept| longer.starts_with(*kept));
    prefixes.into_iter()
}

fn all(log: &dyn ObjectLog, prefixes: &[&str]) -> Result<Vec<Ref>, Error> {
    let mut found = Vec::new();
    for prefix in distinct(prefixes) {
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
