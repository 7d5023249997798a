//! Setting a mirror, waking one up, taking one away.

use crate::audit;
use colophon_model::TenantSlug;
use colophon_model::audit::{Action, Subject};
use colophon_store::rows::{Effect, MirrorRow, MirrorState, MirrorTag, OutboxRow, TenantRow};
use colophon_store::{Change, CommitError, View, outbox};
use serde::{Deserialize, Serialize};

use super::status::{MirrorStatus, status, tenant_of};
use super::url::MirrorUrl;
use crate::expected::Expected;
use crate::pipeline::Press;
use crate::secrets::SecretRef;
use crate::tenants::{self, TenantError};

/// What a mirror is told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMirror {
    /// The upstream repository, which is this tenant's alone.
    pub url: String,
    /// Where the password or token is found: `env:NAME` or `file:/path`. None: none is sent.
    #[serde(default)]
    pub credential: Option<String>,
    /// Who pushes.
    #[serde(default = "default_username")]
    pub username: String,
    /// New tags in one push, 1 to 1000.
    #[serde(default = "default_tags")]
    pub tags_per_push: u32,
}

/// The user name that goes with GitHub's installation tokens. Most forges ignore it.
pub(crate) fn default_username() -> String {
    "x-access-token".to_owned()
}

/// GitHub starts no workflow for tags when a push brings more than three.
pub(crate) const fn default_tags() -> u32 {
    3
}

/// Why a mirror was not set, woken or taken away.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// What was given is not usable; every problem is named.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The tenant has no mirror.
    #[error("tenant `{0}` has no mirror")]
    None(TenantSlug),
    /// The mirror is not what somebody expected to find.
    #[error("the mirror of tenant `{0}` is not as it was expected to be; nothing was changed")]
    Unexpected(TenantSlug),
    /// Another tenant is mirrored there.
    #[error(
        "`{url}` is the mirror of tenant `{other}`: whoever can read a repository can read all of it, so \
         each tenant needs one of its own"
    )]
    Taken {
        /// The repository.
        url: String,
        /// Whose it is.
        other: TenantSlug,
    },
    /// There is no such tenant, or it cannot be looked for.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The store cannot be read.
    #[error("the store could not be read")]
    Store(#[from] colophon_store::Error),
    /// The store has not taken the change.
    #[error("the mirror was not changed")]
    Commit(#[source] CommitError),
}

/// Sets the mirror of tenant `slug`, and asks for a first push. A mirror that has another URL is taken
/// away before; one with the same URL keeps what is known of the remote.
pub fn set(
    press: &Press,
    plain_http: bool,
    slug: &TenantSlug,
    wanted: &SetMirror,
) -> Result<MirrorStatus, MirrorError> {
    set_expected(press, plain_http, slug, wanted, &Expected::Anything)
}

/// The same, if the mirror that is set is an expected one.
///
/// # Errors
/// [`MirrorError::Unexpected`] when it is not.
pub fn set_expected(
    press: &Press,
    plain_http: bool,
    slug: &TenantSlug,
    wanted: &SetMirror,
    expected: &Expected,
) -> Result<MirrorStatus, MirrorError> {
    let mut mirror = check(wanted, plain_http)?;
    change(press, slug, Action::MirrorSet, |change, view, tenant| {
        check_expected(view, tenant, expected)?;
        check_free(view, tenant, &mirror.url, plain_http)?;
        let now = press.clock.now();
        mirror.set = now;
        let old = view.get::<MirrorRow>(&tenant.uid)?;
        if old.is_some_and(|old| old.url != mirror.url) {
            forget(change, view, tenant)?;
        }
        change.put(&tenant.uid, &mirror);
        wake(change, view, tenant, press)
    })?;
    status(&press.store.view()?, slug)
}

/// Lets a mirror that rests or waits try again at once.
pub fn retry(press: &Press, slug: &TenantSlug) -> Result<MirrorStatus, MirrorError> {
    change(press, slug, Action::MirrorRetry, |change, view, tenant| {
        require(view, tenant)?;
        wake(change, view, tenant, press)
    })?;
    status(&press.store.view()?, slug)
}

/// Takes a mirror away. The upstream repository stays as it is.
pub fn clear(press: &Press, slug: &TenantSlug) -> Result<(), MirrorError> {
    clear_expected(press, slug, &Expected::Anything)
}

/// The same, if the mirror that is set is an expected one.
///
/// # Errors
/// [`MirrorError::Unexpected`] when it is not.
pub fn clear_expected(
    press: &Press,
    slug: &TenantSlug,
    expected: &Expected,
) -> Result<(), MirrorError> {
    change(press, slug, Action::MirrorClear, |change, view, tenant| {
        require(view, tenant)?;
        check_expected(view, tenant, expected)?;
        change.use_reserve().delete::<MirrorRow>(&tenant.uid);
        change.delete::<OutboxRow>(&(tenant.uid, Effect::Push));
        forget(change, view, tenant)
    })
}

/// Makes a change in the tenant's lane, where no build comes in between.
fn change(
    press: &Press,
    slug: &TenantSlug,
    action: Action,
    mut make: impl FnMut(&mut Change, &View, &TenantRow) -> Result<(), MirrorError>,
) -> Result<(), MirrorError> {
    loop {
        let tenant = tenants::find(&press.store.view()?, slug)?;
        let lane = press.lane(tenant.uid);
        let view = lane.settled()?;
        let mut change = Change::new();
        change.expect(slug, Some(&tenant));
        change.expect(&tenant.uid, view.get::<MirrorRow>(&tenant.uid)?.as_ref());
        make(&mut change, &view, &tenant)?;
        let what = (action, Subject::new("mirror", ""));
        audit::done(&mut change, &view, tenant.uid, what, press.clock.now())?;
        match lane.submit(change).wait() {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(_)) => {} // look again
            Err(error) => return Err(MirrorError::Commit(error)),
        }
    }
}

/// The version of what is set, for who wants to change this and nothing else. How pushes fare is no part
/// of it.
fn version(mirror: &MirrorRow) -> String {
    mirror.set.get().to_string()
}

/// The version of the mirror that tenant `slug` has.
pub fn current_version(view: &View, slug: &TenantSlug) -> Result<String, MirrorError> {
    let tenant = tenants::find(view, slug)?;
    let mirror = view.get::<MirrorRow>(&tenant.uid)?;
    mirror.as_ref().map(version).ok_or_else(|| MirrorError::None(slug.clone()))
}

fn check_expected(view: &View, tenant: &TenantRow, expected: &Expected) -> Result<(), MirrorError> {
    let version = view.get::<MirrorRow>(&tenant.uid)?.as_ref().map(version);
    if expected.is_met(version.as_deref()) {
        return Ok(());
    }
    Err(MirrorError::Unexpected(tenant.slug.clone()))
}

fn require(view: &View, tenant: &TenantRow) -> Result<(), MirrorError> {
    match view.get::<MirrorRow>(&tenant.uid)? {
        Some(_) => Ok(()),
        None => Err(MirrorError::None(tenant.slug.clone())),
    }
}

/// Asks for a push, now.
fn wake(
    change: &mut Change,
    view: &View,
    tenant: &TenantRow,
    press: &Press,
) -> Result<(), MirrorError> {
    let now = press.clock.now();
    if let Some(state) = view.get::<MirrorState>(&tenant.uid)? {
        let known =
            MirrorState { tip: state.tip, succeeded: state.succeeded, ..super::state::fresh(now) };
        change.put(&tenant.uid, &known);
    }
    Ok(outbox::request(change, view, tenant.uid, Effect::Push, now)?)
}

/// Deletes what is known of the remote.
fn forget(change: &mut Change, view: &View, tenant: &TenantRow) -> Result<(), MirrorError> {
    for row in view.scan::<MirrorTag>(&tenant.uid) {
        change.delete::<MirrorTag>(&row?.0);
    }
    change.delete::<MirrorState>(&tenant.uid);
    Ok(())
}

fn check(wanted: &SetMirror, plain_http: bool) -> Result<MirrorRow, MirrorError> {
    let mut problems = Vec::new();
    let url = MirrorUrl::parse(&wanted.url, plain_http).map_err(|e| problems.push(e.to_string()));
    let from = wanted.credential.as_deref().map(str::parse::<SecretRef>).transpose();
    let from = from.map_err(|e| problems.push(format!("the credential: {e}")));
    let username = &wanted.username;
    if username.is_empty()
        || username.len() > 200
        || username.contains(|c: char| c == ':' || c.is_control())
    {
        problems.push("the user name must have 1 to 200 bytes, without `:`".to_owned());
    }
    if !(1..=1000).contains(&wanted.tags_per_push) {
        problems.push("the tags per push must be 1 to 1000".to_owned());
    }
    match (url, from) {
        (Ok(url), Ok(from)) if problems.is_empty() => Ok(MirrorRow {
            url: url.as_str().to_owned(),
            username: username.clone(),
            credential: from.map(|from| from.to_string()),
            tags_per_push: wanted.tags_per_push,
            set: colophon_model::UnixMillis::new(0),
        }),
        _ => Err(MirrorError::Invalid(problems)),
    }
}

/// A repository is one tenant's alone: a reader of it sees every branch, whatever its rules.
fn check_free(
    view: &View,
    tenant: &TenantRow,
    url: &str,
    plain_http: bool,
) -> Result<(), MirrorError> {
    let identity = |url: &str| MirrorUrl::parse(url, true).map(|url| url.identity()).ok();
    let wanted = MirrorUrl::parse(url, plain_http).map(|url| url.identity()).ok();
    for row in view.scan::<MirrorRow>(&()) {
        let (uid, row) = row?;
        if uid != tenant.uid
            && identity(&row.url) == wanted
            && let Some(other) = tenant_of(view, uid)?
        {
            return Err(MirrorError::Taken { url: url.to_owned(), other: other.slug });
        }
    }
    Ok(())
}
