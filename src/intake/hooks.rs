//! Hooks: addresses for senders that cannot say which tenant they are, each for one tenant and one
//! scheme.

use crate::audit::By;
use colophon_model::TenantSlug;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::audit;
use colophon_store::rows::{HookId, HookRow, PullFrom, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, View};
use serde::{Deserialize, Serialize};

use super::Scheme;
use super::pull::BuilderUrl;
use crate::keys::random_bytes;
use crate::pipeline::Press;
use crate::secrets::SecretRef;
use crate::tenants::{self, TenantError};

/// Most hooks of a tenant.
const MOST: usize = 64;
/// Longest label, in bytes.
const LABEL: usize = 100;

/// Why a hook was not made or found.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is no such tenant, or the store refused.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// What was given is not usable; every problem is named.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The tenant has as many as it may have.
    #[error("the tenant has {MOST} hooks already")]
    TooMany,
    /// The tenant has no such hook.
    #[error("the tenant has no such hook")]
    Unknown,
}

impl From<colophon_store::Error> for HookError {
    fn from(error: colophon_store::Error) -> Self {
        Self::Tenant(error.into())
    }
}

/// How deliveries to a hook are proven.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HookScheme {
    /// Standard Webhooks 1.0
    Standard,
    /// `X-Ap-Signature`, with or without `X-Ap-Timestamp`
    Legacy,
    /// GitHub's `X-Hub-Signature-256`
    Github,
    /// The tenant's static key, in `X-Api-Key` or as a bearer token
    Static,
    /// By nothing but the hook's own address; only for events, which change nothing by themselves
    Url,
}

impl HookScheme {
    /// What is looked for in the headers. `None`: nothing is.
    pub const fn proof(self) -> Option<Scheme> {
        match self {
            Self::Standard => Some(Scheme::Standard),
            Self::Legacy => Some(Scheme::Legacy),
            Self::Github => Some(Scheme::Github),
            Self::Static => Some(Scheme::Static),
            Self::Url => None,
        }
    }

    /// The word for it in rows and answers.
    pub const fn word(self) -> &'static str {
        match self.proof() {
            Some(scheme) => scheme.word(),
            None => "url",
        }
    }

    /// The scheme that a row names. What no program of today has written is none.
    pub fn of(row: &HookRow) -> Option<Self> {
        let all = [Self::Standard, Self::Legacy, Self::Github, Self::Static, Self::Url];
        all.into_iter().find(|scheme| scheme.word() == row.scheme)
    }
}

/// What a hook is told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateHook {
    /// How deliveries are proven.
    pub scheme: HookScheme,
    /// A word by which people recognise it.
    #[serde(default)]
    pub label: String,
    /// URL of the builder's API, when what comes in are ActivePieces events that only name flows.
    #[serde(default)]
    pub pull: Option<String>,
    /// Where the key of that API is found: `env:NAME` or `file:/path`.
    #[serde(default)]
    pub credential: Option<String>,
}

/// Every hook of a tenant.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HookList {
    /// The hooks.
    pub hooks: Vec<HookView>,
}

/// A hook as the operator sees it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HookView {
    /// Its name, which is the end of its address.
    #[schema(value_type = String)]
    pub id: HookId,
    /// The address, below the server's URL.
    pub path: String,
    /// How deliveries are proven.
    pub scheme: String,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: String,
    /// URL of the builder's API, or null.
    pub pull: Option<String>,
    /// Where its key is found, or null.
    pub credential: Option<String>,
    /// The key that a sender shows; told once, for the scheme `static`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub static_key: Option<String>,
}

impl HookView {
    fn new(id: HookId, row: HookRow) -> Self {
        let (pull, credential) = row.pull.map(|from| (from.url, from.credential)).unzip();
        Self {
            id,
            path: format!("/v1/hooks/{id}"),
            scheme: row.scheme,
            label: row.label,
            created: row.created.rfc3339_seconds(),
            pull,
            credential,
            static_key: None,
        }
    }
}

/// Makes a hook of tenant `slug`; `plain_http` allows `http://` to other machines.
pub fn create(
    press: &Press,
    plain_http: bool,
    slug: &TenantSlug,
    wanted: &CreateHook,
) -> Result<HookView, HookError> {
    let pull = check(wanted, plain_http)?;
    let view = press.store.view()?;
    let tenant = tenants::find(&view, slug)?;
    if of_tenant(&view, &tenant)?.len() >= MOST {
        return Err(HookError::TooMany);
    }
    let now = press.clock.now();
    let id = HookId::from_random(random_bytes().map_err(TenantError::from)?);
    let row = HookRow {
        tenant: tenant.uid,
        scheme: wanted.scheme.word().to_owned(),
        label: wanted.label.clone(),
        created: now,
        pull,
    };
    let mut change = Change::new();
    // The tenant may be erased meanwhile, and then has no hooks.
    change.expect(&tenant.uid, Some(&SlugOf { slug: slug.clone() }));
    change.expect::<HookRow>(&id, None).put(&id, &row);
    match commit(press, &tenant, &change, (Action::HookCreate, &id)) {
        Ok(()) => {}
        Err(CommitError::Conflict(_)) => {
            return Err(TenantError::Unknown(slug.clone()).into());
        }
        Err(error) => return Err(TenantError::from(error).into()),
    }
    let keys =
        super::secrets::keys(&super::secrets::row(&view, &tenant)?, &press.keys, tenant.uid, now);
    let is_static = wanted.scheme == HookScheme::Static;
    let static_key = keys.into_iter().next().filter(|_| is_static).map(|key| key.static_key);
    Ok(HookView { static_key, ..HookView::new(id, row) })
}

/// Names every problem at once.
fn check(wanted: &CreateHook, plain_http: bool) -> Result<Option<PullFrom>, HookError> {
    let mut problems = Vec::new();
    if wanted.label.len() > LABEL || wanted.label.contains(char::is_control) {
        problems.push(format!("the label must be one line of at most {LABEL} bytes"));
    }
    let pull = match (&wanted.pull, &wanted.credential) {
        (None, None) => None,
        (Some(url), Some(credential)) => {
            let url = BuilderUrl::parse(url, plain_http).map_err(|e| problems.push(e.to_string()));
            let found = credential.parse::<SecretRef>();
            let found = found.map_err(|e| problems.push(e.to_string()));
            url.ok().zip(found.ok()).map(|(url, credential)| PullFrom {
                url: url.to_string(),
                credential: credential.to_string(),
            })
        }
        _ => {
            problems.push("`pull` and `credential` go together".to_owned());
            None
        }
    };
    if wanted.scheme == HookScheme::Url && wanted.pull.is_none() {
        let text = "the scheme `url` proves nothing, so it is only for events (`pull`)";
        problems.push(text.to_owned());
    }
    if problems.is_empty() { Ok(pull) } else { Err(HookError::Invalid(problems)) }
}

/// Every hook of tenant `slug`.
pub fn list(press: &Press, slug: &TenantSlug) -> Result<HookList, HookError> {
    let view = press.store.view()?;
    let tenant = tenants::find(&view, slug)?;
    let hooks = of_tenant(&view, &tenant)?;
    Ok(HookList { hooks: hooks.into_iter().map(|(id, row)| HookView::new(id, row)).collect() })
}

fn of_tenant(
    view: &View,
    tenant: &TenantRow,
) -> Result<Vec<(HookId, HookRow)>, colophon_store::Error> {
    let rows = view.scan::<HookRow>(&());
    rows.filter(|row| row.as_ref().map_or(true, |(_, hook)| hook.tenant == tenant.uid)).collect()
}

/// The id of a hook may be all that its sender shows, so the log knows it by a part.
fn commit(
    press: &Press,
    tenant: &TenantRow,
    change: &Change,
    (action, id): (Action, &HookId),
) -> Result<(), CommitError> {
    let shown = &id.to_string()[..8];
    let acts = [By::here().did(action, Subject::new("hook", shown))];
    audit::commit(&press.store, Chain::Tenant(tenant.uid), change, &acts, press.clock.now())
}

/// Takes a hook of tenant `slug` away: its address answers like one that never was.
pub fn delete(press: &Press, slug: &TenantSlug, id: HookId) -> Result<(), HookError> {
    let view = press.store.view()?;
    let tenant = tenants::find(&view, slug)?;
    let row = view.get::<HookRow>(&id)?.filter(|row| row.tenant == tenant.uid);
    let row = row.ok_or(HookError::Unknown)?;
    let mut change = Change::new();
    change.expect(&id, Some(&row)).delete::<HookRow>(&id);
    match commit(press, &tenant, &change, (Action::HookDelete, &id)) {
        // Somebody else has deleted it: a hook is never changed.
        Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
        Err(error) => Err(TenantError::from(error).into()),
    }
}
