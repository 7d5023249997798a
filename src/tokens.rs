//! Bearer tokens: `clp_<kind>_<30 base62 digits><6 base62 digits of CRC-32>`.
//!
//! The form follows GitHub's: a prefix for secret scanners and a checksum that tells a typo from a
//! guess without a look at the database. Only the SHA-256 of a token is stored.

use std::fmt;
use std::str::FromStr;

use colophon_model::{Sha256, TenantSlug, UnixMillis};
use colophon_store::rows::{SlugOf, TenantRow, TokenRow};
use colophon_store::{Change, CommitError, Store, View};
use serde::{Deserialize, Serialize};

use crate::keys::random_bytes;
use crate::tenants::{self, TenantError};

/// What a tenant's token is for; visible in its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Post builds and read their results
    Api,
    /// Clone and fetch
    Git,
    /// Read edge metadata and bundles
    Edge,
}

impl TokenKind {
    /// The word in the token's prefix.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Git => "git",
            Self::Edge => "edge",
        }
    }

    /// What a token of this kind may do.
    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Api => &[Scope::Build, Scope::Read],
            Self::Git => &[Scope::Git],
            Self::Edge => &[Scope::Edge],
        }
    }
}

/// The word in the prefix of the operator's token, which is derived and never stored.
const OPERATOR: &str = "op";

/// One thing a credential may do within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Post builds.
    Build,
    /// Read build records, blobs and manifests.
    Read,
    /// Clone and fetch.
    Git,
    /// Read TUF metadata and bundles.
    Edge,
}

impl Scope {
    /// The word stored with a token.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Read => "read",
            Self::Git => "git",
            Self::Edge => "edge",
        }
    }
}

/// A token in clear. Shown once, never stored; `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A text that is not a token: wrong prefix, characters, length or checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token of colophon's: look for a missing or changed character")]
pub struct InvalidToken;

const RANDOM_DIGITS: usize = 30;
const CHECK_DIGITS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Token {
    /// Makes a tenant's token from 32 random bytes (178 bits of them are kept).
    pub fn from_random(kind: TokenKind, random: &[u8; 32]) -> Self {
        Self::new(kind.word(), random)
    }

    /// Makes the operator's token from 32 secret bytes.
    pub fn operator(secret: &[u8; 32]) -> Self {
        Self::new(OPERATOR, secret)
    }

    fn new(word: &str, random: &[u8; 32]) -> Self {
        let body = format!("clp_{word}_{}", base62(random));
        let check = checksum(&body);
        Self(body + &check)
    }

    /// The token in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.strip_prefix("clp_").ok_or(InvalidToken)?;
        let (word, digits) = rest.split_once('_').ok_or(InvalidToken)?;
        if ![OPERATOR, "api", "git", "edge"].contains(&word) {
            return Err(InvalidToken);
        }
        let right_form = digits.len() == RANDOM_DIGITS + CHECK_DIGITS
            && digits.bytes().all(|b| b.is_ascii_alphanumeric());
        if !right_form {
            return Err(InvalidToken);
        }
        let (body, check) = text.split_at(text.len() - CHECK_DIGITS);
        if checksum(body) == check { Ok(Self(text.to_owned())) } else { Err(InvalidToken) }
    }
}

/// Long division of the bytes, as a big-endian number, by 62; the lowest 30 digits.
fn base62(random: &[u8; 32]) -> String {
    let mut number = *random;
    let mut digits = String::with_capacity(RANDOM_DIGITS);
    for _ in 0..RANDOM_DIGITS {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("the quotient is below 256");
            remainder = value % 62;
        }
        digits.push(char::from(BASE62[remainder as usize]));
    }
    digits
}

fn checksum(body: &str) -> String {
    let mut number = crc32fast::hash(body.as_bytes());
    let mut digits = [0u8; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

/// A new token in clear, and the moment it ends.
#[derive(Debug)]
pub struct NewToken {
    /// The token. It cannot be shown again.
    pub token: Token,
    /// When it ends.
    pub expires: UnixMillis,
}

/// Creates a token of `kind` for a tenant, valid for `days` days.
pub fn create_token(
    store: &Store,
    slug: &TenantSlug,
    kind: TokenKind,
    label: &str,
    days: u32,
    now: UnixMillis,
) -> Result<NewToken, TenantError> {
    let tenant = tenants::find(&store.view()?, slug)?;
    let token = Token::from_random(kind, &random_bytes()?);
    let expires = now.plus(u64::from(days) * 24 * 60 * 60 * 1000);
    let row = TokenRow {
        id: token.digest().to_string()[..12].to_owned(),
        tenant: tenant.uid,
        scopes: kind.scopes().iter().map(|s| s.word().to_owned()).collect(),
        label: label.to_owned(),
        created: now,
        expires,
    };
    let mut change = Change::new();
    // The tenant may be erased meanwhile, and then has no tokens.
    change.expect(slug, Some(&tenant));
    change.expect::<TokenRow>(&token.digest(), None).put::<TokenRow>(&token.digest(), &row);
    match store.commit(change) {
        Ok(()) => Ok(NewToken { token, expires }),
        Err(CommitError::Conflict(_)) => {
            tenants::find(&store.view()?, slug)?;
            Err(TenantError::TokenTaken)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a token grants. Its end is in it: that comes by the clock, without a change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tenant: TenantRow,
    scopes: Vec<String>,
    expires: UnixMillis,
}

impl Grant {
    /// What the token with this digest grants, if it is known and its tenant is there.
    pub fn read(view: &View, token: Sha256) -> Result<Option<Self>, colophon_store::Error> {
        let Some(TokenRow { tenant, scopes, expires, .. }) = view.get::<TokenRow>(&token)? else {
            return Ok(None);
        };
        let Some(SlugOf { slug }) = view.get::<SlugOf>(&tenant)? else { return Ok(None) };
        let tenant = view.get::<TenantRow>(&slug)?;
        Ok(tenant.map(|tenant| Self { tenant, scopes, expires }))
    }

    /// Whose token it is, whether or not it has ended.
    pub const fn tenant(&self) -> &TenantRow {
        &self.tenant
    }

    /// The tenant that the token may act for at `now`, if it has the scope.
    pub fn allows(&self, scope: Scope, now: UnixMillis) -> Option<&TenantRow> {
        let in_time = now < self.expires;
        let allowed = self.scopes.iter().any(|s| s == scope.word());
        (in_time && allowed).then_some(&self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_parse_back_and_typos_do_not() {
        let token = Token::from_random(TokenKind::Edge, &[0xa7; 32]);
        assert!(token.reveal().starts_with("clp_edge_"));
        assert_eq!(token.reveal().len(), "clp_edge_".len() + 36);
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        for at in 0..token.reveal().len() {
            let mut typo = token.reveal().as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert!(String::from_utf8(typo).unwrap().parse::<Token>().is_err(), "at {at}");
        }
    }

    #[test]
    fn different_bytes_give_different_tokens() {
        let mut other = [0xa7; 32];
        other[31] ^= 1;
        let one = Token::from_random(TokenKind::Api, &[0xa7; 32]);
        assert_ne!(one, Token::from_random(TokenKind::Api, &other));
        assert!(!format!("{one:?}").contains("clp_"), "a token does not leak through Debug");
    }
}
