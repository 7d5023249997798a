//! Who asks for something.

use std::fmt;

use colophon_model::{Target, TenantUid};

use crate::tokens::TokenKind;

/// Who asked, and for which tenant. What it names may be logged: none of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// The tenant that is acted for. `None`: the operator, for the whole server.
    pub tenant: Option<TenantUid>,
}

/// By what credential somebody is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The operator's token.
    Operator,
    /// A tenant's token.
    Token {
        /// Its id.
        id: String,
        /// What it is for.
        kind: TokenKind,
        /// The only target that it may build for; `None`: every one.
        target: Option<Target>,
    },
    /// A signature over the body.
    Webhook {
        /// The id of the key that signed.
        key: String,
    },
    /// A URL that was signed for one bundle.
    SignedUrl,
}

impl Caller {
    /// Somebody who acts for one tenant.
    pub const fn of(who: Who, tenant: TenantUid) -> Self {
        Self { who, tenant: Some(tenant) }
    }

    /// The only target that may be built for; `None`: every one.
    pub const fn target(&self) -> Option<Target> {
        match self.who {
            Who::Token { target, .. } => target,
            _ => None,
        }
    }

    /// The operator, who acts for the whole server.
    pub const OPERATOR: Self = Self { who: Who::Operator, tenant: None };
}

/// The kind of the credential and its id, for logs.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Operator => f.write_str("operator"),
            Who::Token { id, .. } => write!(f, "token:{id}"),
            Who::Webhook { key } => write!(f, "webhook:{key}"),
            Who::SignedUrl => f.write_str("url"),
        }
    }
}
