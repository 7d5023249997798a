//! Tokens as they are made, replaced, listed and taken back, for HTTP and the command line alike.

use crate::audit::By;
use colophon_model::audit::{Act, Action, Chain, Subject};
use colophon_model::{Sha256, Target, TenantSlug, TenantUid, UnixMillis};
use colophon_store::audit;
use colophon_store::rows::{SlugOf, TokenRow, TokenUsed};
use colophon_store::{Change, CommitError, Store, View};
use serde::{Deserialize, Serialize};

use super::{Scope, Scopes, Token, TokenKind, Usage};
use crate::config::Tokens;
use crate::keys::random_bytes;
use crate::pipeline::ATTEMPTS;
use crate::tenants::{self, TenantError};
use crate::units::Span;

/// A day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;
/// Tokens that one tenant may have, those that ended a while ago aside.
const MOST: usize = 1000;
/// How long a token that has ended is still listed, in milliseconds: 30 days.
const REMEMBERED: u64 = 30 * DAY;
/// Longest time for which a token and its successor may both be good: 30 days.
const LONGEST_OVERLAP: Span = Span::days(30);
/// Longest label, in characters.
const LONGEST_LABEL: usize = 100;

/// Why a token could not be made, found or replaced.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The tenant is not there, or the store failed.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The tenant has no such token.
    #[error("the tenant has no such token")]
    Unknown,
    /// It would last too long, or not at all.
    #[error("a token lasts 1 to {longest} days here (`tokens.longest_days`)")]
    Days {
        /// The most that the configuration allows.
        longest: u32,
    },
    /// A scope that the kind does not have, or none at all.
    #[error("a token of kind `{}` may be narrowed to some of: {}", .0.word(), .0.scopes().words().join(", "))]
    Scopes(TokenKind),
    /// Only what builds can be limited to a target.
    #[error("only a token with the scope `build` can be limited to a target")]
    Target,
    /// The label is too long, or not one line.
    #[error("a label is one line of at most {LONGEST_LABEL} characters")]
    Label,
    /// The time in which both tokens are good is too long.
    #[error("a token and its successor may overlap by at most {LONGEST_OVERLAP}")]
    Overlap,
    /// The token was replaced before.
    #[error("the token was replaced by `{0}` already")]
    Replaced(String),
    /// The token has ended.
    #[error("the token has ended")]
    Ended,
    /// The tenant has too many tokens.
    #[error("a tenant has at most {MOST} tokens; revoke some")]
    TooMany,
}

impl From<colophon_store::Error> for TokenError {
    fn from(error: colophon_store::Error) -> Self {
        Self::Tenant(error.into())
    }
}

/// A token that is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is for.
    pub kind: TokenKind,
    /// What it may do, some of what its kind may; `None`: all of that.
    pub scopes: Option<Scopes>,
    /// The only target that it may build for; `None`: every one.
    pub target: Option<Target>,
    /// A word by which people recognise it.
    pub label: String,
    /// Days until it ends; `None`: as the configuration says.
    pub days: Option<u32>,
}

/// A new token in clear, and what is known of it.
#[derive(Debug)]
pub struct NewToken {
    /// The token. It cannot be shown again.
    pub token: Token,
    /// What may be shown again.
    pub view: TokenView,
    /// When it ends.
    pub expires: UnixMillis,
}

/// A token by what may be shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// Its name in logs.
    pub id: String,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may do.
    pub scopes: Scopes,
    /// The only target that it may build for; left out when it may for all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub target: Option<Target>,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: String,
    /// When it ends, or ended.
    pub expires: String,
    /// Whether it is good.
    pub state: TokenState,
    /// When it was used last, to an hour; left out when no use is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<String>,
    /// The id of the token that took its place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub successor: Option<String>,
}

/// Whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It is.
    Active,
    /// It was replaced and is good for a while yet.
    Retiring,
    /// Its time is over.
    Ended,
}

/// A tenant's tokens.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenList {
    /// The oldest first.
    pub tokens: Vec<TokenView>,
}

impl TokenView {
    fn of(row: &TokenRow, used: Option<UnixMillis>, now: UnixMillis) -> Self {
        let state = match (now < row.expires, &row.successor) {
            (false, _) => TokenState::Ended,
            (true, Some(_)) => TokenState::Retiring,
            (true, None) => TokenState::Active,
        };
        Self {
            id: row.id.clone(),
            kind: kind(row),
            scopes: Scopes::stored(&row.scopes),
            target: row.target,
            label: row.label.clone(),
            created: row.created.rfc3339_seconds(),
            expires: row.expires.rfc3339_seconds(),
            state,
            last_used: used.map(UnixMillis::rfc3339_seconds),
            successor: row.successor.clone(),
        }
    }
}

/// What a stored token is for. Before it was stored there were three kinds, which their scopes tell.
fn kind(row: &TokenRow) -> TokenKind {
    let stored = |word: &String| TokenKind::ALL.into_iter().find(|kind| kind.word() == word);
    row.kind.as_ref().and_then(stored).unwrap_or_else(|| {
        match row.scopes.first().map(String::as_str) {
            Some("git") => TokenKind::Git,
            Some("edge") => TokenKind::Edge,
            _ => TokenKind::Api,
        }
    })
}

/// A token of a tenant that is being made, with all that its kind may do.
pub(crate) fn first(
    rules: &Tokens,
    tenant: TenantUid,
    kind: TokenKind,
    now: UnixMillis,
) -> Result<(NewToken, TokenRow), TenantError> {
    let label = "made with the tenant".to_owned();
    let wanted = Wanted { kind, scopes: None, target: None, label, days: None };
    issue(tenant, &wanted, (kind.scopes(), default_days(rules)), now)
}

fn default_days(rules: &Tokens) -> u32 {
    rules.default_days.min(rules.longest_days)
}

/// Checks what is wanted, draws a token for the tenant with this uid, and makes the row that is to be
/// stored of it.
fn draw(
    rules: &Tokens,
    tenant: TenantUid,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<(NewToken, TokenRow), TokenError> {
    let days = wanted.days.unwrap_or_else(|| default_days(rules));
    if !(1..=rules.longest_days).contains(&days) {
        return Err(TokenError::Days { longest: rules.longest_days });
    }
    let all = wanted.kind.scopes();
    let scopes = wanted.scopes.clone().unwrap_or_else(|| all.clone());
    if !scopes.narrows(&all) {
        return Err(TokenError::Scopes(wanted.kind));
    }
    if wanted.target.is_some() && !scopes.allow(Scope::Build) {
        return Err(TokenError::Target);
    }
    let label = &wanted.label;
    if label.chars().count() > LONGEST_LABEL || label.contains(char::is_control) {
        return Err(TokenError::Label);
    }
    Ok(issue(tenant, wanted, (scopes, days), now)?)
}

fn issue(
    tenant: TenantUid,
    wanted: &Wanted,
    (scopes, days): (Scopes, u32),
    now: UnixMillis,
) -> Result<(NewToken, TokenRow), TenantError> {
    let token = Token::from_random(wanted.kind, &random_bytes()?);
    let row = TokenRow {
        id: id(&token.digest()),
        tenant,
        scopes: scopes.words(),
        label: wanted.label.clone(),
        created: now,
        expires: now.plus(u64::from(days) * DAY),
        kind: Some(wanted.kind.word().to_owned()),
        target: wanted.target,
        successor: None,
    };
    Ok((told(token, &row, now), row))
}

fn told(token: Token, row: &TokenRow, now: UnixMillis) -> NewToken {
    NewToken { token, view: TokenView::of(row, None, now), expires: row.expires }
}

/// The name of a token in logs: the first 12 digits of its SHA-256.
fn id(key: &Sha256) -> String {
    key.to_string()[..12].to_owned()
}

/// Creates a token of a tenant.
pub fn create(
    store: &Store,
    rules: &Tokens,
    slug: &TenantSlug,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<NewToken, TokenError> {
    let view = store.view()?;
    let tenant = tenants::find(&view, slug)?;
    let (made, row) = draw(rules, tenant.uid, wanted, now)?;
    let mut change = of_tenant(slug, tenant.uid);
    make_room(&view, &mut change, tenant.uid, now)?;
    put_new(&mut change, &made.token, &row);
    match commit(store, tenant.uid, &change, (Action::TokenCreate, &[&row.id]), now) {
        Ok(()) => Ok(made),
        Err(CommitError::Conflict(_)) => {
            tenants::find(&store.view()?, slug)?;
            Err(TenantError::TokenTaken.into())
        }
        Err(error) => Err(TenantError::from(error).into()),
    }
}

/// Creates a token of `kind` that lasts `days` days, where no configuration is at hand.
pub fn create_token(
    store: &Store,
    slug: &TenantSlug,
    kind: TokenKind,
    label: &str,
    days: u32,
    now: UnixMillis,
) -> Result<NewToken, TokenError> {
    let label = label.to_owned();
    let wanted = Wanted { kind, scopes: None, target: None, label, days: Some(days) };
    create(store, &Tokens::default(), slug, &wanted, now)
}

/// Commits what is done to tokens, and that it was done.
fn commit(
    store: &Store,
    tenant: TenantUid,
    change: &Change,
    (action, ids): (Action, &[&str]),
    now: UnixMillis,
) -> Result<(), CommitError> {
    let by = By::here();
    let acts: Vec<Act> = ids.iter().map(|id| by.did(action, Subject::new("token", id))).collect();
    audit::commit(store, Chain::Tenant(tenant), change, &acts, now)
}

/// Writes a token that must be new.
pub(crate) fn put_new(change: &mut Change, token: &Token, row: &TokenRow) {
    let key = token.digest();
    change.expect::<TokenRow>(&key, None).put::<TokenRow>(&key, row);
}

/// A change that is made only while the tenant is there: it may be erased meanwhile, and then has no
/// tokens.
fn of_tenant(slug: &TenantSlug, uid: TenantUid) -> Change {
    let mut change = Change::new();
    change.expect(&uid, Some(&SlugOf { slug: slug.clone() }));
    change
}

/// Deletes what ended long ago, and refuses one more token than a tenant may have.
fn make_room(
    view: &View,
    change: &mut Change,
    tenant: TenantUid,
    now: UnixMillis,
) -> Result<(), TokenError> {
    let mut count = 0;
    for (key, row) in all(view, tenant)? {
        if row.expires.plus(REMEMBERED) <= now {
            delete(change, tenant, &key);
        } else {
            count += 1;
        }
    }
    if count < MOST { Ok(()) } else { Err(TokenError::TooMany) }
}

fn delete(change: &mut Change, tenant: TenantUid, key: &Sha256) {
    change.delete::<TokenRow>(key).delete::<TokenUsed>(&(tenant, *key));
}

/// Every token of the tenant. The table has no order by tenant: who lists is in no hurry.
fn all(view: &View, tenant: TenantUid) -> Result<Vec<(Sha256, TokenRow)>, colophon_store::Error> {
    let of_tenant =
        |row: &Result<(Sha256, TokenRow), _>| row.as_ref().map_or(true, |r| r.1.tenant == tenant);
    view.scan::<TokenRow>(&()).filter(of_tenant).collect()
}

/// The tenant's token with this id. One of another tenant is not there.
fn find(view: &View, tenant: TenantUid, id: &str) -> Result<(Sha256, TokenRow), TokenError> {
    let mut first = [0; 32];
    let digits = hex::decode_to_slice(id, &mut first[..6]);
    digits.map_err(|_| TokenError::Unknown)?;
    let first = Sha256::from_bytes(first);
    for row in view.scan::<TokenRow>(&()).starting_at(&first) {
        let (key, row) = row?;
        if key.as_bytes()[..6] != first.as_bytes()[..6] {
            break;
        }
        if row.tenant == tenant && row.id == id {
            return Ok((key, row));
        }
    }
    Err(TokenError::Unknown)
}

/// A tenant's tokens, the oldest first. `usage` knows uses that are not written yet.
pub fn list(
    view: &View,
    usage: &Usage,
    tenant: TenantUid,
    now: UnixMillis,
) -> Result<TokenList, TokenError> {
    let mut rows = all(view, tenant)?;
    rows.sort_by(|(_, a), (_, b)| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let seen = |(key, row): &(Sha256, TokenRow)| {
        Ok(TokenView::of(row, last_used(view, usage, tenant, key)?, now))
    };
    Ok(TokenList { tokens: rows.iter().map(seen).collect::<Result<_, TokenError>>()? })
}

/// How many tokens of the tenant are good.
pub fn good(view: &View, tenant: TenantUid, now: UnixMillis) -> Result<u64, colophon_store::Error> {
    Ok(all(view, tenant)?.iter().filter(|(_, row)| now < row.expires).count() as u64)
}

/// One token of a tenant.
pub fn show(
    view: &View,
    usage: &Usage,
    tenant: TenantUid,
    id: &str,
    now: UnixMillis,
) -> Result<TokenView, TokenError> {
    let (key, row) = find(view, tenant, id)?;
    Ok(TokenView::of(&row, last_used(view, usage, tenant, &key)?, now))
}

fn last_used(
    view: &View,
    usage: &Usage,
    tenant: TenantUid,
    key: &Sha256,
) -> Result<Option<UnixMillis>, colophon_store::Error> {
    let stored = view.get::<TokenUsed>(&(tenant, *key))?.map(|used| used.at);
    Ok(stored.max(usage.last(key)))
}

/// Takes a token back: from now on it is unknown.
pub fn revoke(
    store: &Store,
    slug: &TenantSlug,
    id: &str,
    now: UnixMillis,
) -> Result<(), TokenError> {
    let view = store.view()?;
    let tenant = tenants::find(&view, slug)?.uid;
    let (key, _) = find(&view, tenant, id)?;
    let mut change = of_tenant(slug, tenant);
    delete(change.use_reserve(), tenant, &key);
    match commit(store, tenant, &change, (Action::TokenRevoke, &[id]), now) {
        Err(CommitError::Conflict(_)) => Err(TokenError::Unknown), // its tenant was erased
        done => Ok(done.map_err(TenantError::from)?),
    }
}

/// Takes every token of a tenant back, and says how many there were.
pub fn revoke_all(store: &Store, slug: &TenantSlug, now: UnixMillis) -> Result<u64, TokenError> {
    let tenant = tenants::find(&store.view()?, slug)?.uid;
    let mut revoked = 0;
    loop {
        // Once more at the end: a token that was replaced meanwhile has left another.
        let rows = all(&store.view()?, tenant)?;
        if rows.is_empty() {
            return Ok(revoked);
        }
        let mut change = of_tenant(slug, tenant);
        for (key, _) in &rows {
            delete(change.use_reserve(), tenant, key);
        }
        let ids: Vec<&str> = rows.iter().map(|(_, row)| row.id.as_str()).collect();
        match commit(store, tenant, &change, (Action::TokenRevoke, &ids), now) {
            Err(CommitError::Conflict(_)) => return Ok(revoked), // the tenant was erased
            done => done.map_err(TenantError::from)?,
        }
        revoked += rows.len() as u64;
    }
}

/// Makes a token with the same grants and as long a life, and lets the old one end after `overlap`.
pub fn rotate(
    store: &Store,
    rules: &Tokens,
    slug: &TenantSlug,
    (id, overlap): (&str, Span),
    now: UnixMillis,
) -> Result<NewToken, TokenError> {
    if overlap > LONGEST_OVERLAP {
        return Err(TokenError::Overlap);
    }
    for _ in 0..ATTEMPTS {
        let view = store.view()?;
        let tenant = tenants::find(&view, slug)?.uid;
        let (key, old) = find(&view, tenant, id)?;
        let made = successor(&old, rules, now)?;
        let after = TokenRow {
            expires: old.expires.min(now.plus(overlap.millis())),
            successor: Some(made.1.id.clone()),
            ..old.clone()
        };
        let mut change = of_tenant(slug, tenant);
        make_room(&view, &mut change, tenant, now)?;
        change.expect(&key, Some(&old)).put(&key, &after);
        put_new(&mut change, &made.0.token, &made.1);
        match commit(store, tenant, &change, (Action::TokenRotate, &[id]), now) {
            Ok(()) => return Ok(made.0),
            Err(CommitError::Conflict(_)) => {} // it was replaced or taken back meanwhile
            Err(error) => return Err(TenantError::from(error).into()),
        }
    }
    Err(TenantError::TokenTaken.into())
}

fn successor(
    old: &TokenRow,
    rules: &Tokens,
    now: UnixMillis,
) -> Result<(NewToken, TokenRow), TokenError> {
    if let Some(by) = &old.successor {
        return Err(TokenError::Replaced(by.clone()));
    }
    if old.expires <= now {
        return Err(TokenError::Ended);
    }
    let token = Token::from_random(kind(old), &random_bytes().map_err(TenantError::from)?);
    let life = old.expires.get().saturating_sub(old.created.get());
    let row = TokenRow {
        id: id(&token.digest()),
        created: now,
        expires: now.plus(life.min(u64::from(rules.longest_days) * DAY)),
        kind: Some(kind(old).word().to_owned()),
        ..old.clone()
    };
    Ok((told(token, &row, now), row))
}
