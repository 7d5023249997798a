//! Histories that end early: where, and what the client is told of it (gitprotocol-v2,
//! "shallow-info"; gitprotocol-pack, `shallow-line` and `depth-request`).

use std::collections::BTreeSet;

use colophon_model::{GitKind, Oid, Ordinal};

use crate::history::Commit;
use crate::{Error, Limits, ObjectLog, read};

/// What Git sends for "all of it" (`fetch --unshallow`).
const INFINITE: u32 = 0x7fff_ffff;

/// The lines of a request that are about depth, as they came.
#[derive(Debug, Default)]
pub(crate) struct DepthRequest {
    /// `shallow`: commits whose parents the client lacks.
    shallow: Vec<Oid>,
    /// `deepen`: how many commits of history, or how many more of it.
    depth: Option<u32>,
    /// `deepen-relative`.
    relative: bool,
    /// `deepen-since`: seconds since 1970.
    since: Option<i64>,
    /// `deepen-not`: refs whose history is left out.
    not: Vec<String>,
}

impl DepthRequest {
    /// Takes a line in if it is about depth; says whether it was.
    pub(crate) fn take(&mut self, line: &str, limits: &Limits) -> Result<bool, Error> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("shallow", oid) => {
                Limits::push(&mut self.shallow, oid, "shallow lines", limits.shallow)?;
            }
            ("deepen", depth) => self.depth = Some(parse_depth(depth)?),
            ("deepen-since", time) => self.since = Some(parse_time(time)?),
            ("deepen-not", name) => {
                if self.not.len() == limits.named_refs {
                    return Err(Error::Limit { what: "deepen-not lines", most: limits.named_refs });
                }
                self.not.push(name.to_owned());
            }
            ("deepen-relative", "") => self.count_from_the_ends(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `deepen` counts from where the client's history ends now.
    pub(crate) const fn count_from_the_ends(&mut self) {
        self.relative = true;
    }

    /// Whether the client asks for a change of depth, and so waits for an answer.
    pub(crate) const fn is_change(&self) -> bool {
        self.depth.is_some() || self.since.is_some() || !self.not.is_empty()
    }

    /// Whether depth plays any part in this request.
    pub(crate) const fn is_used(&self) -> bool {
        self.is_change() || !self.shallow.is_empty()
    }

    /// Finds where the client's history will end when it has what it wants.
    pub(crate) fn settle(
        &self,
        log: &dyn ObjectLog,
        wants: &BTreeSet<Ordinal>,
    ) -> Result<Boundary, Error> {
        let client = self.client(log)?;
        let by_revision = self.since.is_some() || !self.not.is_empty();
        let found = match self.depth {
            Some(_) if by_revision => {
                let text = "deepen and deepen-since (or deepen-not) cannot be used together";
                return Err(Error::Protocol(text.to_owned()));
            }
            None if by_revision => self.by_revision(log, wants)?,
            None => Walked::default(),
            Some(INFINITE) => Walked { inner: client.clone(), ..Walked::default() },
            // All that the client has is below the branch, wanted or not.
            Some(depth) if self.relative => by_depth(log, &client, depth.saturating_add(1))?,
            Some(depth) => by_depth(log, wants, depth)?,
        };
        Boundary::new(log, client, &found)
    }

    /// The ends of the client's history that this repository knows of.
    fn client(&self, log: &dyn ObjectLog) -> Result<BTreeSet<Ordinal>, Error> {
        let mut known = BTreeSet::new();
        for oid in &self.shallow {
            let Some(at) = log.ordinal(oid).map_err(Error::Read)? else { continue };
            if read::shape(log, at)?.kind != GitKind::Commit {
                return Err(Error::Protocol(format!("invalid shallow object {oid}")));
            }
            known.insert(at);
        }
        Ok(known)
    }

    /// Commits that are young enough and not reached by the refs that are left out. History ends
    /// before the first one that is not.
    fn by_revision(&self, log: &dyn ObjectLog, wants: &BTreeSet<Ordinal>) -> Result<Walked, Error> {
        let mut left_out = None;
        for name in &self.not {
            let at = commit_of_ref(log, name)?;
            left_out = left_out.max(Some(at));
        }
        let keeps = |commit: &Commit| {
            self.since.is_none_or(|since| commit.time >= since) && Some(commit.at) > left_out
        };
        let mut walked = Walked::default();
        let mut next = newest(log, wants)?.filter(&keeps);
        if next.is_none() {
            return Err(Error::Protocol("no commits selected for shallow requests".to_owned()));
        }
        while let Some(commit) = next {
            let parent = commit.parent(log)?;
            let ends = parent.as_ref().is_some_and(|parent| !keeps(parent));
            walked.add(&commit, ends);
            next = parent.filter(&keeps);
        }
        Ok(walked)
    }
}

fn parse_depth(text: &str) -> Result<u32, Error> {
    let depth = text.parse().ok().filter(|depth| (1..=INFINITE).contains(depth));
    depth.ok_or_else(|| Error::Protocol(format!("invalid deepen: {}", cut(text))))
}

fn parse_time(text: &str) -> Result<i64, Error> {
    let time = text.parse().ok().filter(|time| *time > 0);
    time.ok_or_else(|| Error::Protocol(format!("invalid deepen-since: {}", cut(text))))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn newest(log: &dyn ObjectLog, of: &BTreeSet<Ordinal>) -> Result<Option<Commit>, Error> {
    of.last().map(|at| Commit::read(log, *at)).transpose()
}

fn newest_before(
    log: &dyn ObjectLog,
    of: &BTreeSet<Ordinal>,
    end: Ordinal,
) -> Result<Option<Commit>, Error> {
    of.range(..end).next_back().map(|at| Commit::read(log, *at)).transpose()
}

/// The commit behind a ref that the client names: in full, or as Git's shorthands have it.
fn commit_of_ref(log: &dyn ObjectLog, name: &str) -> Result<Ordinal, Error> {
    for full in [name.to_owned(), format!("refs/tags/{name}"), format!("refs/heads/{name}")] {
        let found = log.find_ref(&full).map_err(Error::Read)?;
        if let Some(found) = found {
            return read::locate(log, found.peeled.unwrap_or(found.oid));
        }
    }
    Err(Error::Protocol(format!("deepen-not is not a ref: {}", cut(name))))
}

/// What a walk over history came by.
#[derive(Debug, Default)]
struct Walked {
    /// Commits whose parents come along.
    inner: BTreeSet<Ordinal>,
    /// Commits at which history ends, newest first.
    ends: Vec<(Ordinal, Oid)>,
}

impl Walked {
    fn add(&mut self, commit: &Commit, is_end: bool) {
        if is_end {
            self.ends.push((commit.at, commit.oid));
        } else {
            self.inner.insert(commit.at);
        }
    }
}

/// `depth` commits from each start. History is one line, so one walk from the newest start serves
/// all: each start that is passed begins the count anew.
fn by_depth(log: &dyn ObjectLog, starts: &BTreeSet<Ordinal>, depth: u32) -> Result<Walked, Error> {
    let mut walked = Walked::default();
    let mut next = newest(log, starts)?;
    let mut left = 0;
    while let Some(commit) = next {
        // Every commit that is come to is a start, or the parent of one that was not the last.
        left = if starts.contains(&commit.at) { depth } else { left }.saturating_sub(1);
        next = if left > 0 { commit.parent(log)? } else { newest_before(log, starts, commit.at)? };
        walked.add(&commit, left == 0);
    }
    Ok(walked)
}

/// Where a client's history ends, before and after.
#[derive(Debug, Default)]
pub(crate) struct Boundary {
    /// Where it ends now.
    pub(crate) client: BTreeSet<Ordinal>,
    /// Where it will end.
    pub(crate) ends: BTreeSet<Ordinal>,
    /// Ends that are new to the client.
    shallow: Vec<Oid>,
    /// Where it ends no longer.
    unshallow: BTreeSet<Ordinal>,
    /// Commits below those, which come along whether or not they are wanted.
    pub(crate) below: BTreeSet<Ordinal>,
}

impl Boundary {
    fn new(log: &dyn ObjectLog, client: BTreeSet<Ordinal>, walked: &Walked) -> Result<Self, Error> {
        let unshallow: BTreeSet<_> = client.intersection(&walked.inner).copied().collect();
        let fresh = walked.ends.iter().filter(|(at, _)| !client.contains(at));
        let shallow = fresh.map(|(_, oid)| *oid).collect();
        let ends = walked.ends.iter().map(|(at, _)| *at);
        let ends = ends.chain(client.difference(&unshallow).copied()).collect();
        let mut below = BTreeSet::new();
        for at in &unshallow {
            below.extend(Commit::read(log, *at)?.parent(log)?.map(|parent| parent.at));
        }
        Ok(Self { client, ends, shallow, unshallow, below })
    }

    /// The lines that tell the client. Without line feeds, as Git sends them: libgit2 reads no others.
    pub(crate) fn lines(&self, log: &dyn ObjectLog) -> Result<Vec<String>, Error> {
        let shallow = self.shallow.iter().map(|oid| Ok(format!("shallow {oid}")));
        let unshallow = self.unshallow.iter().map(|at| {
            let oid = read::shape(log, *at)?.oid;
            Ok(format!("unshallow {oid}"))
        });
        shallow.chain(unshallow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::parse_oid;
    use proptest::prelude::*;

    fn take(line: &str) -> Result<bool, Error> {
        DepthRequest::default().take(line, &Limits::default())
    }

    #[test]
    fn lines_about_depth_are_told_from_others() {
        let oid = "ce013625030ba8dba906f756967f9e9ca394464a";
        for line in [
            &format!("shallow {oid}"),
            "deepen 1",
            "deepen-since 1",
            "deepen-not a",
            "deepen-relative",
        ] {
            assert!(take(line).unwrap(), "{line}");
        }
        assert!(!take("want a").unwrap() && !take("done").unwrap());
        for bad in [
            "shallow x",
            "deepen 0",
            "deepen -1",
            "deepen 2147483648",
            "deepen x",
            "deepen",
            "deepen-since 0",
            "deepen-since x",
        ] {
            assert!(matches!(take(bad), Err(Error::Protocol(_))), "{bad}");
        }
    }

    #[test]
    fn more_shallow_lines_than_the_limit_are_refused() {
        let limits = Limits { shallow: 1, ..Limits::default() };
        let line = format!("shallow {}", parse_oid(&"a".repeat(40)).unwrap());
        let mut request = DepthRequest::default();
        assert!(request.take(&line, &limits).unwrap());
        assert!(matches!(request.take(&line, &limits), Err(Error::Limit { most: 1, .. })));
    }

    proptest! {
        #[test]
        fn taking_never_panics(line: String) {
            let _ = take(&line);
        }
    }
}
