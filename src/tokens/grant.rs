//! What a token grants.

use colophon_model::{Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{SlugOf, TenantRow, TokenRow};
use colophon_store::{Error, View};

use super::{Scope, Scopes, TokenKind};
use crate::caller::{Caller, Who};

/// What a token grants. Its end is in it: that comes by the clock, without a change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tenant: TenantRow,
    token: TokenRow,
}

impl Grant {
    /// What the token with this digest grants, if it is known and its tenant is there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(view: &View, token: Sha256) -> Result<Option<Self>, Error> {
        let Some(token) = view.get::<TokenRow>(&token)? else { return Ok(None) };
        let Some(SlugOf { slug }) = view.get::<SlugOf>(&token.tenant)? else { return Ok(None) };
        let tenant = view.get::<TenantRow>(&slug)?;
        Ok(tenant.map(|tenant| Self { tenant, token }))
    }

    /// Whose token it is, whether or not it has ended.
    pub const fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    /// Whether the token has not ended at `now`.
    pub fn holds(&self, now: UnixMillis) -> bool {
        now < self.token.expires
    }

    /// The tenant that the token may act for at `now`, if it has the scope.
    pub fn allows(&self, scope: Scope, now: UnixMillis) -> Option<&TenantRow> {
        let allowed = self.holds(now) && Scopes::stored(&self.token.scopes).allow(scope);
        allowed.then_some(&self.tenant)
    }

    /// Who asks with it: it is of this kind.
    pub fn caller(&self, kind: TokenKind) -> Caller {
        let (id, target) = (self.token.id.clone(), self.token.target);
        Caller::of(Who::Token { id, kind, target }, self.tenant.uid)
    }
}
