//! The last transaction: the tenant gets its name, its head, its edge repository, and a line that says where it
//! comes from.

use colophon_model::audit::{Act, Action, Chain, Subject};
use colophon_model::{BuildKind, BuildRecord, UnixMillis};
use colophon_store::rows::{
    BuildNumber, EdgeRepo, ExportKey, FlowGone, FlowHead, FormerKey, ImportRow, RootsOrigin,
    SignedFile, SlugOf, TenantHead, TenantRow, WebhookRow,
};
use colophon_store::{Change, CommitError, audit, quota};

use super::flows::Flows;
use super::writer::Writer;
use super::{RestoreError, Surveyed};
use crate::audit::By;
use crate::export::edge::EdgeState;
use crate::export::place::Place;
use crate::feed::repo::{self, Repo};
use crate::pipeline::Press;

/// What the restore has come to know.
pub(super) struct Facts<'a> {
    pub(super) flows: Flows,
    pub(super) objects: u32,
    /// What agents go on with; none when this server has other keys, or nothing was exported of it.
    pub(super) edge: Option<EdgeState>,
    /// The keys that sealed exports go on with; none when nothing was sealed, or they are not to be taken.
    pub(super) sealing: Option<ExportKey>,
    /// How often a webhook secret was replaced.
    pub(super) rotations: u32,
    pub(super) begun: &'a ImportRow,
}

/// Generations of webhook secrets that are skipped: how many were made after the last export is not known, and
/// none is given twice.
const SKIPPED: u32 = 1_000;

/// Makes the tenant visible. Returns whether its edge repository goes on with the roots that agents have.
pub(super) fn finish(
    press: &Press,
    place: &Place,
    from: &Surveyed,
    mut facts: Facts<'_>,
) -> Result<bool, RestoreError> {
    let edge = facts.edge.take();
    let kept = edge.is_some();
    let mut tenant = from.tenant.clone();
    if !kept {
        tenant.roots = RootsOrigin::Server;
    }
    if let Some(edge) = &edge {
        facts.flows.raise(&edge.floors);
    }
    flows(press, &tenant, &facts.flows)?;
    let (mut change, now) = (Change::new(), press.clock.now());
    let mut head = head(press, from, facts.objects, &mut change)?;
    publish(press, &tenant, &mut head, (&facts.flows, edge), &mut change, now)?;
    let uid = tenant.uid;
    change.expect::<TenantRow>(&tenant.slug, None).put(&tenant.slug, &tenant);
    change.expect::<SlugOf>(&uid, None).put(&uid, &SlugOf { slug: tenant.slug.clone() });
    change.expect::<TenantHead>(&uid, None).put(&uid, &head);
    change.expect(&uid, Some(facts.begun)).delete::<ImportRow>(&uid);
    let (next, secrets) = (1 + facts.rotations.saturating_add(SKIPPED), Vec::new());
    change.put(&uid, &WebhookRow { next, secrets, repeats: false });
    if let Some(keys) = &facts.sealing {
        change.put(&uid, keys);
    }
    let act = |id: String| told((place, from), (kept, facts.sealing.as_ref()), id);
    let own = [act(tenant.slug.to_string())];
    audit::append(&mut change, &press.store.view()?, Chain::Tenant(uid), &own, now)?;
    let system = [act(Chain::pseudonym(uid))];
    match audit::commit(&press.store, Chain::System, &change, &system, now) {
        Ok(()) => Ok(kept),
        Err(CommitError::Conflict(_)) => Err(RestoreError::Exists(tenant.slug)),
        Err(error) => Err(colophon_store::Error::from(error).into()),
    }
}

fn told(
    (place, from): (&Place, &Surveyed),
    (kept, sealing): (bool, Option<&ExportKey>),
    id: String,
) -> Act {
    let head = &from.proven.head;
    let act = By::here()
        .did(Action::TenantImport, Subject::new("tenant", id))
        .with("place", place.url())
        .with("export", &head.export)
        .with("builds", head.cursor.builds)
        .with("lines", head.cursor.audit.seq)
        .with("key", &from.verified.key)
        .with("roots", if kept { "kept" } else { "new" });
    match sealing {
        Some(keys) => act.with("export_key", &keys.id),
        None => act,
    }
}

/// Keeps the public keys that what was signed before verifies with: exports go on to bring them.
pub(super) fn former_keys(
    press: &Press,
    from: &Surveyed,
    keys: &[(String, String)],
) -> Result<(), RestoreError> {
    let mut writer = Writer::new(&press.store, from.tenant.uid);
    for (path, text) in keys {
        writer.put(&(from.tenant.uid, path.clone()), &FormerKey { text: text.clone() })?;
    }
    Ok(writer.flush()?)
}

/// The rows of the flows, which nobody sees yet.
fn flows(press: &Press, tenant: &TenantRow, flows: &Flows) -> Result<(), RestoreError> {
    let mut writer = Writer::new(&press.store, tenant.uid);
    for (flow, head) in &flows.heads {
        writer.put::<FlowHead>(&(tenant.uid, flow.clone()), head)?;
    }
    for (flow, gone) in &flows.gone {
        writer.put::<FlowGone>(&(tenant.uid, flow.clone()), gone)?;
    }
    Ok(writer.flush()?)
}

/// The tenant's head, and the marks of counted builds. A build that a gate refused does not say for which targets it
/// was counted: it is not.
fn head(
    press: &Press,
    from: &Surveyed,
    objects: u32,
    change: &mut Change,
) -> Result<TenantHead, RestoreError> {
    let (uid, cursor) = (from.tenant.uid, &from.proven.head.cursor);
    let mut head = TenantHead {
        builds: cursor.builds,
        tip: cursor.tip,
        next_ordinal: objects,
        ..TenantHead::default()
    };
    let view = press.store.view()?;
    let day = press.clock.now().get().saturating_sub(press.quota.window_millis);
    let mut counted = Vec::new();
    for row in view.scan::<BuildNumber>(&uid).descending() {
        let ((_, _), BuildNumber { build }) = row?;
        let Some(record) = view.get::<BuildRecord>(&(uid, build))? else { continue };
        head.stamp = head.stamp.max(Some(record.stamp));
        // Older ones have left the window.
        if record.stamp.time() < UnixMillis::new(day) {
            break;
        }
        if record.kind == BuildKind::Delivery {
            counted.push((record.tags, record.stamp.time()));
        }
    }
    for (tags, time) in counted.iter().rev() {
        for tag in tags {
            quota::charge(change, uid, &mut head, tag.target(), *time);
        }
    }
    Ok(head)
}

/// The edge repository: with the roots that agents have pinned and versions above all that they may have seen, or with
/// a new root of this server.
fn publish(
    press: &Press,
    tenant: &TenantRow,
    head: &mut TenantHead,
    (flows, edge): (&Flows, Option<EdgeState>),
    change: &mut Change,
    now: UnixMillis,
) -> Result<(), RestoreError> {
    let state = if let Some(edge) = edge {
        for (version, root) in &edge.roots {
            let name = format!("{version}.root.json");
            crate::feed::put_file(change, tenant.uid, &name, root.as_bytes())?;
        }
        above(edge.repository, now)
    } else {
        let made = TenantRow { created: now, ..tenant.clone() };
        repo::plant(change, &press.keys, &made, None)?.1
    };
    head.edge = Some(state);
    let mut repo = Repo::of(&press.keys, tenant, head, now);
    repo.sign_all(&press.store.view()?, change, flows.heads.values())?;
    head.tuf_version = repo.state.snapshot.version.get();
    head.edge = Some(repo.state);
    Ok(())
}

/// Versions that nobody can have seen: a file is signed at most once in a millisecond.
fn above(mut repository: EdgeRepo, now: UnixMillis) -> EdgeRepo {
    let raise = |file: &mut SignedFile| {
        let since = now.get().saturating_sub(file.signed.get());
        file.version = file.version.saturating_add(since);
    };
    raise(&mut repository.targets);
    raise(&mut repository.snapshot);
    raise(&mut repository.timestamp);
    repository
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    /// An agent that has seen what was signed after the last export still takes what is signed next.
    #[test]
    fn versions_go_on_above_all_that_can_have_been_signed() {
        let file = |version: u64, at: u64| {
            SignedFile::new(NonZeroU64::new(version).unwrap(), UnixMillis::new(at), 1000)
        };
        let before = EdgeRepo {
            root: file(2, 0),
            targets: file(5, 1_000),
            snapshot: file(7, 2_000),
            timestamp: file(9, 3_000),
            archived: false,
        };
        let after = above(before, UnixMillis::new(10_000));
        assert_eq!(after.root, before.root, "roots have no gaps");
        let versions = [after.targets, after.snapshot, after.timestamp].map(|f| f.version.get());
        assert_eq!(versions, [5 + 9_000, 7 + 8_000, 9 + 7_000]);
        let back = above(before, UnixMillis::new(0));
        assert_eq!(back.targets.version, before.targets.version, "a clock that steps back");
    }
}
