//! What to do about a remote.

use std::collections::BTreeMap;

use colophon_model::{GitKind, Oid, Ordinal, TagObject, TenantBranch};

use super::Advertisement;
use super::request::{Command, Push};
use crate::select::Plan;
use crate::tags::PackTags;
use crate::{Error, ObjectLog, Ref, read};

/// Most tags that one push deletes.
const DELETIONS: usize = 100;

/// What decides about a push, beside the log and the remote.
#[derive(Debug, Clone, Copy)]
pub struct Mirror<'a> {
    /// The branch to push.
    pub branch: &'a TenantBranch,
    /// Tags that were pushed earlier, or that a push was begun for: full name and object. They are
    /// what may be deleted at the remote.
    pub pushed: &'a BTreeMap<String, Oid>,
    /// New tags in one push, at least one. GitHub runs no workflow for tags when there are more
    /// than three.
    pub tags_per_push: usize,
    /// How the program names itself, such as `colophon/0.1.0`. Printable, without spaces.
    pub agent: &'static str,
}

/// What to do about a remote.
#[derive(Debug)]
pub enum Step {
    /// It has all there is, and nothing that we have since deleted.
    UpToDate,
    /// One push, after which there may be more to do.
    Push(Box<Push>),
    /// Somebody else writes there. Keep away.
    Diverged(Divergence),
}

/// A ref of ours that names what we have never put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The ref's full name.
    pub name: String,
    /// What it names here.
    pub ours: Oid,
    /// What it names at the remote.
    pub theirs: Oid,
}

/// A tenant's refs beside those of the remote.
struct Compared<'a> {
    log: &'a dyn ObjectLog,
    remote: &'a Advertisement,
    branch: Ref,
    tip: Ordinal,
    tags: Vec<Ref>,
}

impl Mirror<'_> {
    /// Decides what to do about `remote`. The branch comes first, with the oldest tags that it lacks;
    /// tags are deleted when nothing is left to add, in a push of their own.
    pub fn step(&self, log: &dyn ObjectLog, remote: &Advertisement) -> Result<Step, Error> {
        let Some(compared) = Compared::new(log, remote, self.branch)? else {
            return Ok(Step::UpToDate);
        };
        let base = match compared.base()? {
            Ok(base) => base,
            Err(divergence) => return Ok(Step::Diverged(divergence)),
        };
        if let Some(divergence) = compared.foreign_tag() {
            return Ok(Step::Diverged(divergence));
        }
        let missing = compared.missing_tags(self.tags_per_push.max(1))?;
        let behind = base != Some(compared.tip);
        if behind || !missing.is_empty() {
            return compared.update(self, base, &missing);
        }
        Ok(compared.delete(self))
    }

    /// The tags at the remote that are ours: what they name is what they name here, or what we
    /// pushed under that name.
    pub fn ours(
        &self,
        log: &dyn ObjectLog,
        remote: &Advertisement,
    ) -> Result<BTreeMap<String, Oid>, Error> {
        let here = tags(log)?.into_iter().map(|tag| (tag.name, tag.oid));
        let pushed = self.pushed.iter().map(|(name, oid)| (name.clone(), *oid));
        let known = pushed.chain(here).filter(|(name, _)| name.starts_with("refs/tags/"));
        Ok(known.filter(|(name, oid)| remote.get(name) == Some(*oid)).collect())
    }
}

fn tags(log: &dyn ObjectLog) -> Result<Vec<Ref>, Error> {
    log.refs("refs/tags/").map_err(Error::Read)
}

impl<'a> Compared<'a> {
    /// `None` when the tenant has no branch.
    fn new(
        log: &'a dyn ObjectLog,
        remote: &'a Advertisement,
        branch: &TenantBranch,
    ) -> Result<Option<Self>, Error> {
        let name = branch.full_name();
        let found = log.refs(&name).map_err(Error::Read)?;
        let Some(branch) = found.into_iter().find(|found| found.name == name) else {
            return Ok(None);
        };
        let tip = read::locate(log, branch.oid)?;
        Ok(Some(Self { log, remote, branch, tip, tags: tags(log)? }))
    }

    /// The commit that the remote's branch is at; every commit up to our tip is its ancestor.
    fn base(&self) -> Result<Result<Option<Ordinal>, Divergence>, Error> {
        let Some(theirs) = self.remote.get(&self.branch.name) else { return Ok(Ok(None)) };
        let at = self.log.ordinal(&theirs).map_err(Error::Read)?.filter(|at| *at <= self.tip);
        if let Some(at) = at
            && read::entry(self.log, at)?.kind == GitKind::Commit
        {
            return Ok(Ok(Some(at)));
        }
        Ok(Err(divergence(&self.branch, theirs)))
    }

    fn foreign_tag(&self) -> Option<Divergence> {
        self.tags.iter().find_map(|tag| {
            let theirs = self.remote.get(&tag.name).filter(|theirs| *theirs != tag.oid)?;
            Some(divergence(tag, theirs))
        })
    }

    /// The oldest `most` tags that the remote lacks.
    fn missing_tags(&self, most: usize) -> Result<Vec<&Ref>, Error> {
        let mut missing = Vec::new();
        for tag in self.tags.iter().filter(|tag| self.remote.get(&tag.name).is_none()) {
            missing.push((read::locate(self.log, tag.peeled.unwrap_or(tag.oid))?, tag));
        }
        missing.sort_by_key(|(at, tag)| (*at, &tag.name));
        missing.truncate(most);
        Ok(missing.into_iter().map(|(_, tag)| tag).collect())
    }

    /// Brings the branch to our tip and adds `tags`. What the remote has up to `base` is left out,
    /// unless it is shallow: then it need not have what came before.
    fn update(
        &self,
        mirror: &Mirror<'_>,
        base: Option<Ordinal>,
        tags: &[&Ref],
    ) -> Result<Step, Error> {
        let moved = (base != Some(self.tip)).then(|| Command {
            name: self.branch.name.clone(),
            old: self.remote.get(&self.branch.name),
            new: Some(self.branch.oid),
        });
        let added = tags.iter().map(|tag| Command {
            name: tag.name.clone(),
            old: None,
            new: Some(tag.oid),
        });
        let mut objects = PackTags::default();
        for tag in tags.iter().filter(|tag| tag.peeled.is_some()) {
            objects.add(self.log, &self.object(tag)?)?;
        }
        let from = base.filter(|_| !self.remote.is_shallow());
        let pack = Plan::range(from, self.tip, objects);
        let commands = moved.into_iter().chain(added).collect();
        Push::new(self.remote, mirror.agent, commands, Some(pack)).map(Box::new).map(Step::Push)
    }

    fn object(&self, tag: &Ref) -> Result<TagObject, Error> {
        self.log.tag(&tag.oid).map_err(Error::Read)?.ok_or(Error::Missing(tag.oid))
    }

    /// Deletes tags that we pushed and no longer have, as long as they are at the remote as pushed.
    fn delete(&self, mirror: &Mirror<'_>) -> Step {
        let kept =
            |name: &str| self.tags.binary_search_by(|tag| tag.name.as_str().cmp(name)).is_ok();
        let gone = mirror.pushed.iter().filter(|(name, oid)| {
            !kept(name) && name.starts_with("refs/tags/") && self.remote.get(name) == Some(**oid)
        });
        let delete = |(name, oid): (&String, &Oid)| Command {
            name: name.clone(),
            old: Some(*oid),
            new: None,
        };
        let commands: Vec<Command> = gone.take(DELETIONS).map(delete).collect();
        if commands.is_empty() || !self.remote.has("delete-refs") {
            return Step::UpToDate;
        }
        Step::Push(Box::new(Push::deletions(self.remote, mirror.agent, commands)))
    }
}

fn divergence(ours: &Ref, theirs: Oid) -> Divergence {
    Divergence { name: ours.name.clone(), ours: ours.oid, theirs }
}
