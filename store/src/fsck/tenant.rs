//! Whether the rows of a tenant agree with each other.

use std::collections::BTreeMap;
use std::fmt::Display;

use colophon_model::{
    BuildKind, BuildRecord, LogEntry, Oid, Ordinal, TagObject, TenantBranch, TenantSlug, TenantUid,
};

use super::FsckReport;
use crate::rows::{
    BuildNumber, Effect, EndpointRow, FlowClaim, FlowGone, FlowHead, FlowOwner, GitOid, MirrorRow,
    MirrorState, MirrorTag, OutboxRow, QuotaStamp, RefRow, SendRow, SlugOf, TenantHead, TenantRow,
    TufFile,
};
use crate::{Error, View, reach};

pub(super) fn check_all(view: &View, found: &mut FsckReport) -> Result<(), Error> {
    for row in view.scan::<TenantRow>(&()) {
        let (slug, row) = row?;
        found.tenants += 1;
        if row.slug != slug {
            found.problem("E_TENANT_NAME", &slug, "the row names another tenant");
        }
        let mut check = Check { view, uid: row.uid, slug: &slug, found };
        check.run()?;
    }
    for row in view.scan::<SlugOf>(&()) {
        let (uid, row) = row?;
        if view.get::<TenantRow>(&row.slug)?.is_none_or(|tenant| tenant.uid != uid) {
            found.problem("E_TENANT_NAME", uid, format!("`{}` is not its name", row.slug));
        }
    }
    Ok(())
}

struct Check<'a> {
    view: &'a View,
    uid: TenantUid,
    slug: &'a TenantSlug,
    found: &'a mut FsckReport,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), Error> {
        if self.view.get::<SlugOf>(&self.uid)?.is_none_or(|row| row.slug != *self.slug) {
            self.problem("E_TENANT_NAME", "its uid does not lead back to its name");
        }
        let Some(head) = self.view.get::<TenantHead>(&self.uid)? else {
            self.problem("E_TENANT_HEAD", "it has no head");
            return Ok(());
        };
        self.builds(&head)?;
        self.flows()?;
        self.gone_flows()?;
        self.log(&head)?;
        self.refs(&head)?;
        self.quota(&head)?;
        self.edge(&head)?;
        self.mirror()?;
        self.endpoints()?;
        self.names()
    }

    fn problem(&mut self, code: &'static str, message: impl Display) {
        self.found.problem(code, format!("tenant {}", self.slug), message);
    }

    /// Numbers 1 to `builds`, each with its record.
    fn builds(&mut self, head: &TenantHead) -> Result<(), Error> {
        let mut next = 1;
        for row in self.view.scan::<BuildNumber>(&self.uid) {
            let ((_, number), row) = row?;
            if number != next {
                self.problem("E_BUILD_NUMBER", format!("build {next} is followed by {number}"));
            }
            next = number + 1;
            match self.view.get::<BuildRecord>(&(self.uid, row.build))? {
                Some(record) if record.number == number => {}
                Some(_) => self.problem("E_BUILD_NUMBER", format!("build {number} is another's")),
                None => self.problem("E_BUILD_RECORD", format!("build {number} has no record")),
            }
        }
        if next != head.builds + 1 {
            let message =
                format!("the head counts {} builds, the last is {}", head.builds, next - 1);
            self.problem("E_BUILD_COUNT", message);
        }
        Ok(())
    }

    fn flows(&mut self) -> Result<(), Error> {
        for row in self.view.scan::<FlowHead>(&self.uid) {
            let ((_, flow), head) = row?;
            let record = self.view.get::<BuildRecord>(&(self.uid, head.build))?;
            if record.is_none_or(|record| record.key != head.key || record.flow != flow) {
                self.problem("E_FLOW_HEAD", format!("flow {flow} rests on no build of it"));
            }
            let owner = self.view.get::<FlowOwner>(&(self.uid, flow.clone()))?;
            let claim = match owner {
                Some(owner) => {
                    self.view.get::<FlowClaim>(&(self.uid, owner.source, owner.native))?
                }
                None => None,
            };
            if claim.is_none_or(|claim| claim.flow != flow) {
                self.problem("E_FLOW_CLAIM", format!("flow {flow} is not claimed by its owner"));
            }
        }
        Ok(())
    }

    /// A flow that was deleted has a build that says so, and no head.
    fn gone_flows(&mut self) -> Result<(), Error> {
        for row in self.view.scan::<FlowGone>(&self.uid) {
            let ((_, flow), gone) = row?;
            let record = self.view.get::<BuildRecord>(&(self.uid, gone.build))?;
            let deleted = record.is_some_and(|r| r.kind == BuildKind::Deletion && r.flow == flow);
            if !deleted || self.view.get::<FlowHead>(&(self.uid, flow.clone()))?.is_some() {
                self.problem("E_FLOW_GONE", format!("flow {flow} was not deleted, or is back"));
            }
        }
        Ok(())
    }

    /// Ordinals without a gap, each object found by its id, each delta behind its base.
    fn log(&mut self, head: &TenantHead) -> Result<(), Error> {
        let mut next = 0;
        for row in self.view.scan::<LogEntry>(&self.uid) {
            let ((_, at), entry) = row?;
            if at.get() != next {
                self.problem("E_GIT_LOG", format!("object {next} is followed by {}", at.get()));
            }
            next = at.get() + 1;
            let back = self.view.get::<GitOid>(&(self.uid, entry.oid))?;
            if back.is_none_or(|row| row.ordinal != at) {
                self.problem("E_GIT_OID", format!("{} does not lead to its object", entry.oid));
            }
            if entry.base.is_some_and(|base| base >= at) {
                self.problem("E_GIT_LOG", format!("{} rests on a later object", entry.oid));
            }
        }
        if next != head.next_ordinal {
            let message =
                format!("the head counts {} objects, there are {next}", head.next_ordinal);
            self.problem("E_GIT_LOG", message);
        }
        for row in self.view.scan::<GitOid>(&self.uid) {
            let ((_, oid), row) = row?;
            if row.ordinal >= Ordinal::new(next) {
                self.problem("E_GIT_OID", format!("{oid} is beyond the end of the log"));
            }
        }
        Ok(())
    }

    fn refs(&mut self, head: &TenantHead) -> Result<(), Error> {
        let branch = TenantBranch::new(self.slug.clone()).full_name();
        let mut tip = None;
        let mut tagged: BTreeMap<Oid, u32> = BTreeMap::new();
        for row in self.view.scan::<RefRow>(&self.uid) {
            let ((_, name), row) = row?;
            if name == branch {
                tip = Some(row.oid);
            }
            let commit = match row.peeled {
                None => row.oid,
                Some(peeled) => {
                    *tagged.entry(row.oid).or_default() += 1;
                    let tag = self.view.get::<TagObject>(&(self.uid, row.oid))?;
                    if tag.is_none_or(|tag| tag.target != peeled) {
                        self.problem("E_REF", format!("{name} has no tag object"));
                    }
                    peeled
                }
            };
            if self.view.get::<GitOid>(&(self.uid, commit))?.is_none() {
                self.problem("E_REF", format!("{name} leads to no object"));
            }
        }
        if tip != head.tip {
            self.problem("E_REF", "the branch is not at the tip that the head names");
        }
        for row in self.view.scan::<TagObject>(&self.uid) {
            let ((_, oid), _) = row?;
            if !tagged.contains_key(&oid) {
                self.problem("E_TAG", format!("no ref names tag object {oid}"));
            }
        }
        Ok(())
    }

    /// Marks of counted builds end where the head's count does; old ones may be purged.
    fn quota(&mut self, head: &TenantHead) -> Result<(), Error> {
        for (target, count) in &head.quota {
            let mut expected = None;
            for row in self.view.scan::<QuotaStamp>(&(self.uid, *target)) {
                let ((.., number), _) = row?;
                if expected.is_some_and(|expected| expected != number) {
                    self.problem("E_QUOTA", format!("a mark of {target} is missing at {number}"));
                }
                expected = Some(number + 1);
            }
            if expected.is_some_and(|next| next != *count) {
                self.problem("E_QUOTA", format!("{count} builds of {target} are not all marked"));
            }
        }
        Ok(())
    }

    fn edge(&mut self, head: &TenantHead) -> Result<(), Error> {
        if head.tuf_version == 0 {
            return Ok(());
        }
        let mut names = vec!["timestamp.json".to_owned(), "1.root.json".to_owned()];
        match &head.edge {
            None => names.push(format!("{}.snapshot.json", head.tuf_version)),
            Some(edge) => names.extend([
                format!("{}.root.json", edge.root.version),
                format!("{}.targets.json", edge.targets.version),
                format!("{}.snapshot.json", edge.snapshot.version),
            ]),
        }
        for name in names {
            if self.view.get::<TufFile>(&(self.uid, name.clone()))?.is_none() {
                self.problem("E_TUF", format!("{name} is missing"));
            }
        }
        Ok(())
    }

    /// Nothing is left of a mirror that was taken away.
    fn mirror(&mut self) -> Result<(), Error> {
        let (view, uid) = (self.view, &self.uid);
        let mirrored = view.get::<MirrorRow>(uid)?.is_some();
        let traces = view.get::<MirrorState>(uid)?.is_some()
            || view.get::<OutboxRow>(&(*uid, Effect::Push))?.is_some()
            || view.scan::<MirrorTag>(uid).next().is_some();
        if traces && !mirrored {
            self.problem("E_MIRROR", "there are traces of a mirror, and no mirror");
        }
        Ok(())
    }

    /// What is to be sent has an endpoint that it is sent to, and an outbox that says so.
    fn endpoints(&mut self) -> Result<(), Error> {
        let (view, uid) = (self.view, self.uid);
        let mut last = None;
        for row in view.scan::<SendRow>(&uid) {
            let ((to, _), _) = row?;
            if last == Some(to) {
                continue;
            }
            last = Some(to);
            if view.get::<EndpointRow>(&to)?.is_none() {
                self.problem(
                    "E_ENDPOINT",
                    format!("events wait for endpoint {}, which is gone", to.1),
                );
            }
        }
        if last.is_some() && view.get::<OutboxRow>(&(uid, Effect::Notify))?.is_none() {
            self.problem("E_OUTBOX", "events wait to be sent, and the outbox does not say so");
        }
        Ok(())
    }

    /// Every blob that rows name is one that the tenant has.
    fn names(&mut self) -> Result<(), Error> {
        match reach::reached(self.view, self.uid) {
            Ok(named) => {
                for digest in named {
                    if !self.view.is_member(self.uid, &digest)? {
                        self.problem("E_BLOB_MISSING", format!("blob {digest} is named and gone"));
                    }
                }
                Ok(())
            }
            Err(Error::Corrupt { digest }) => {
                self.problem("E_TREE", format!("tree {digest} is damaged: its files are unknown"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
