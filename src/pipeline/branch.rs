//! A tenant's branch on its way from one commit to the next.

use std::collections::{BTreeMap, BTreeSet};

use colophon_gitbridge::{Appended, Change as GitChange, Signer};
use colophon_model::{
    Artifact, ArtifactPath, BuildRecord, BuildTag, Digest, FlowId, Stamp, Target, TenantBranch,
    TenantManifest, TenantUid, UnixMillis,
};
use colophon_store::rows::{BuildNumber, EdgeRepo, FlowHead, RefRow, TenantHead, TenantRow};
use colophon_store::{Change, PreparedBlob, View};

use super::files::{manifest_path, put};
use super::{BuildError, Press, writable};
use crate::feed::repo::Repo;
use crate::projection::commits::{self, BuildCommit};
use crate::projection::{Remembered, TenantLog, record_objects};

/// Files of a commit, by path. Flows of a rebuild share some.
pub(super) type Files<'a> = BTreeMap<&'a ArtifactPath, &'a Artifact>;

/// What a commit rests on, and what the flows are after it.
pub(super) struct Branch<'a> {
    /// Whose branch.
    pub(super) tenant: &'a TenantRow,
    /// The same tenant as the commit rests on it: it may be changed.
    row: TenantRow,
    /// The tenant's head before the commit.
    pub(super) before: TenantHead,
    /// The commit's time.
    pub(super) stamp: Stamp,
    /// Every flow's head: before the commit, and after it once the caller has changed it.
    pub(super) flows: BTreeMap<FlowId, FlowHead>,
}

impl<'a> Branch<'a> {
    /// The branch as `view` shows it, before a commit at `now` or a little later.
    pub(super) fn settle(
        view: &View,
        tenant: &'a TenantRow,
        now: UnixMillis,
    ) -> Result<Self, BuildError> {
        let row = writable(view, tenant)?;
        let before = view.get::<TenantHead>(&tenant.uid)?.ok_or(BuildError::TenantGone)?;
        let rows = view.scan::<FlowHead>(&tenant.uid);
        let flows: Result<_, _> = rows.map(|row| row.map(|((_, id), head)| (id, head))).collect();
        let stamp = Stamp::after(before.stamp, now);
        Ok(Self { tenant, row, before, stamp, flows: flows? })
    }

    pub(super) fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    /// The tags of a build for `targets`.
    pub(super) fn tags(&self, targets: &BTreeSet<Target>) -> Vec<BuildTag> {
        let tag = |target: &Target| BuildTag::new(self.tenant.slug.clone(), self.stamp, *target);
        targets.iter().map(tag).collect()
    }

    /// The manifest of the branch with the flows as they are now.
    pub(super) fn manifest(&self) -> TenantManifest {
        let flows = self.flows.iter().map(|(id, head)| (id.clone(), head.manifest.clone()));
        TenantManifest::new(self.tenant.slug.clone(), flows.collect())
    }

    /// The manifest's file before this commit, if the last build has one.
    fn manifest_before(&self, view: &View) -> Option<Digest> {
        let uid = self.uid();
        let last = view.get::<BuildNumber>(&(uid, self.before.builds)).ok().flatten()?;
        view.get::<BuildRecord>(&(uid, last.build)).ok().flatten()?.manifest
    }

    /// Puts the manifest's file into the change.
    pub(super) fn put_manifest(
        &self,
        view: &View,
        change: &mut Change,
        file: &Artifact,
    ) -> Result<(), BuildError> {
        let base = || self.manifest_before(view);
        let blob = (file.digest(), file.bytes());
        change.blob(self.uid(), PreparedBlob::version_of(view, self.uid(), blob, base)?);
        Ok(())
    }

    /// Files that `flow` had on the branch and that no flow has now.
    pub(super) fn orphans(&self, flow: &FlowId, before: Option<&FlowHead>) -> Vec<ArtifactPath> {
        let current = self.flows.get(flow).map(|head| &head.manifest);
        let held = |path: &_| self.flows.values().any(|head| commits::holds(&head.manifest, path));
        commits::orphans(before.map(|head| &head.manifest), current, held)
    }

    /// Makes the commit with its tags, and moves the branch to it.
    pub(super) fn commit(
        &self,
        press: &Press,
        view: &View,
        change: &mut Change,
        commit: &BuildCommit<'_>,
        (files, orphans): (&Files<'_>, &[ArtifactPath]),
        manifest: &Artifact,
    ) -> Result<Appended, BuildError> {
        let (uid, path) = (self.uid(), manifest_path());
        let mut changes: Vec<_> = files.iter().map(|(path, file)| put((path, file))).collect();
        changes.push(put((&path, manifest)));
        changes.extend(orphans.iter().map(|path| GitChange::Remove { path }));
        let remembered = Remembered { recent: &press.recent, store: &press.store };
        let log = TenantLog::with(view, uid, remembered);
        let (parent, signer) = (self.before.tip, Some(&press.signer as &dyn Signer));
        let appended = commit.append(&log, parent, &changes, &commit.tags()?, signer)?;
        record_objects(change, uid, &appended);
        let branch = TenantBranch::new(self.tenant.slug.clone()).full_name();
        change.put::<RefRow>(&(uid, branch), &RefRow { oid: appended.commit, peeled: None });
        for (tag, object) in commit.tags.iter().zip(&appended.tags) {
            let row = RefRow { oid: object.oid, peeled: Some(object.target) };
            change.put::<RefRow>(&(uid, tag.full_name()), &row);
        }
        Ok(appended)
    }

    /// New TUF metadata over the bundles that the flows have now. None of an archived tenant: it stays
    /// archived, and what is built meanwhile is published when it is restored.
    pub(super) fn publish(
        &self,
        press: &Press,
        view: &View,
        change: &mut Change,
        now: UnixMillis,
    ) -> Result<Option<EdgeRepo>, BuildError> {
        let mut repo = Repo::of(&press.keys, self.tenant, &self.before, now);
        if repo.state.archived {
            return Ok(None);
        }
        repo.sign_all(view, change, self.flows.values())?;
        Ok(Some(repo.state))
    }

    /// The tenant's head after the commit, with so many builds more, and what was signed if anything
    /// was.
    pub(super) fn after(
        &self,
        builds: u64,
        appended: &Appended,
        signed: Option<EdgeRepo>,
    ) -> TenantHead {
        let snapshot = signed.map(|edge| edge.snapshot.version.get());
        TenantHead {
            builds: self.before.builds + builds,
            stamp: Some(self.stamp),
            tip: Some(appended.commit),
            next_ordinal: self.before.next_ordinal + appended.entries.len() as u32,
            tuf_version: snapshot.unwrap_or(self.before.tuf_version),
            quota: self.before.quota.clone(),
            edge: signed.or(self.before.edge),
        }
    }

    /// Puts the tenant's head. The check on the one before is what two racing builds meet at; the one
    /// on the tenant itself is for whoever suspends or archives it.
    pub(super) fn put_head(&self, change: &mut Change, after: &TenantHead) {
        let uid = self.uid();
        change.expect::<TenantRow>(&self.row.slug, Some(&self.row));
        change.expect::<TenantHead>(&uid, Some(&self.before)).put::<TenantHead>(&uid, after);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use colophon_model::CodePolicy;
    use colophon_store::{CommitError, Table};

    use super::*;
    use crate::app::{Owner, open_press};
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::tenants::{self, Step};

    /// Whoever suspends a tenant must not be overtaken by a build that was prepared before.
    #[test]
    fn a_change_that_was_prepared_fails_once_the_tenant_may_not_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        let press = open_press(&config, Arc::new(SystemClock), Owner::Command).unwrap();
        let slug = "acme".parse().unwrap();
        let tenant = tenants::create(&press, &slug, CodePolicy::None).unwrap().tenant;
        for step in [Step::Suspend, Step::Archive] {
            let view = press.store.view().unwrap();
            let branch = Branch::settle(&view, &tenant, press.clock.now()).unwrap();
            let mut change = Change::new();
            branch.put_head(&mut change, &branch.before);
            tenants::step(&press, &slug, step).unwrap();
            let Err(CommitError::Conflict(at)) = press.store.commit(change) else {
                panic!("{step:?} was overtaken");
            };
            assert_eq!(at.table, Table::Tenant);
            tenants::step(&press, &slug, Step::Resume).unwrap();
            tenants::step(&press, &slug, Step::Restore).unwrap();
        }
    }
}
