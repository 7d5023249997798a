//! Bearer tokens of tenants: what they are for, how they are made, replaced, listed and taken back.
//! Only the SHA-256 of a token is stored.

mod form;
mod grant;
mod manage;
mod scope;
mod usage;

pub use form::{InvalidToken, Token};
pub use grant::Grant;
pub use manage::{
    NewToken, TokenError, TokenList, TokenState, TokenView, Wanted, create, create_token, good,
    list, revoke, revoke_all, rotate, show,
};
pub(crate) use manage::{first, put_new};
pub use scope::{Scope, Scopes, TokenKind};
pub use usage::Usage;
