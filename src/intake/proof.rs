//! Signatures of deliveries, in the schemes that builders have.
//!
//! | scheme | headers | signed |
//! |---|---|---|
//! | Standard Webhooks 1.0 | `webhook-id`, `webhook-timestamp`, `webhook-signature` | `{id}.{timestamp}.{body}` |
//! | the builder's own | `X-Ap-Signature`, `X-Ap-Timestamp` or not | `{timestamp}.{body}`, or the body |
//! | GitHub's | `X-Hub-Signature-256`, `X-GitHub-Delivery` or not | the body |
//! | static key | `X-Api-Key` | nothing: the key is shown |
//!
//! The first scheme in this order whose header is there decides, and no other one is looked at: what
//! fails under one must not pass under a weaker one.

use axum::http::{HeaderMap, header};
use colophon_model::UnixMillis;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::DeliveryId;

/// A way in which a delivery proves where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Standard Webhooks 1.0
    Standard,
    /// `X-Ap-Signature`, with or without `X-Ap-Timestamp`
    Legacy,
    /// GitHub's `X-Hub-Signature-256`
    Github,
    /// A key that is sent as it is, in `X-Api-Key` or as a bearer token
    Static,
}

impl Scheme {
    /// Every scheme, the one that decides first.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Legacy, Self::Github, Self::Static];

    /// The word for it in rows and answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Legacy => "legacy",
            Self::Github => "github",
            Self::Static => "static",
        }
    }

    /// The header without which a delivery is not of this scheme.
    const fn header(self) -> &'static str {
        match self {
            Self::Standard => "webhook-signature",
            Self::Legacy => "x-ap-signature",
            Self::Github => "x-hub-signature-256",
            Self::Static => "x-api-key",
        }
    }

    /// The scheme that decides about a delivery with these headers.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| headers.contains_key(scheme.header()))
    }
}

/// What a sender and we both know: one generation of a tenant's secrets.
#[derive(Clone)]
pub struct Key {
    /// Its generation, which names it in logs.
    pub generation: u32,
    /// `whsec_` and base64. Standard Webhooks signs with the bytes that this encodes, the others with
    /// the text as it is.
    pub secret: String,
    /// The key of [`Scheme::Static`]. It crosses the network in every delivery, so it is not the secret.
    pub static_key: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, …)", self.generation)
    }
}

/// Most keys of a tenant that are good at a time. A refusal costs as much as trying them all, so that
/// it does not tell how many there are.
pub const MAX_KEYS: usize = 4;
/// Most signatures in one header: a sender that rotates its secret sends two.
const MAX_SIGNATURES: usize = 16;

/// What the headers of a delivery say of where it is from. Nothing of it is believed before
/// [`Self::verify`].
#[derive(Debug, Clone)]
pub struct Proof {
    scheme: Scheme,
    /// What is signed before the body.
    prefix: Vec<u8>,
    /// Tags that were sent, each good for itself; or digests of keys.
    tags: Vec<Tag>,
    id: Option<DeliveryId>,
    time: Option<UnixMillis>,
}

/// A delivery whose proof holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How it was proven.
    pub scheme: Scheme,
    /// Generation of the key.
    pub generation: u32,
    /// What the sender calls the delivery, if it says.
    pub id: Option<DeliveryId>,
    /// When it was signed, if that is signed.
    pub time: Option<UnixMillis>,
    /// The tag, when it is over the body alone. It names the body: HMAC-SHA-256 gives no two bodies one tag, not
    /// even to whoever has the key.
    pub tag: Option<Tag>,
}

/// What a scheme with a secret makes of a delivery.
pub type Tag = [u8; 32];

impl Proof {
    /// Reads the headers, of any scheme or of `only` one. What is missing or malformed becomes a proof
    /// that does not hold, so that finding out takes as long as for a wrong one.
    pub fn read(headers: &HeaderMap, only: Option<Scheme>) -> Self {
        let scheme = only.or_else(|| Scheme::of(headers)).unwrap_or(Scheme::Legacy);
        let read = match scheme {
            Scheme::Standard => standard(headers),
            Scheme::Legacy => legacy(headers),
            Scheme::Github => github(headers),
            Scheme::Static => static_key(headers),
        };
        read.unwrap_or_else(|| Self::bare(scheme, Vec::new()))
    }

    fn bare(scheme: Scheme, tags: Vec<Tag>) -> Self {
        Self { scheme, prefix: Vec::new(), tags, id: None, time: None }
    }

    /// Whether one of `keys`, of which at most [`MAX_KEYS`] count, has made the proof over `body`, at
    /// most `tolerance` milliseconds from `now`. All keys are tried, whichever fits, and a refusal costs the
    /// same whatever the reason.
    pub fn verify(
        &self,
        keys: &[Key],
        body: &[u8],
        now: UnixMillis,
        tolerance: u64,
    ) -> Option<Verified> {
        let keys = &keys[..keys.len().min(MAX_KEYS)];
        let verified = self.made_by_one(keys, body, now, tolerance);
        if verified.is_none() {
            self.waste(MAX_KEYS - keys.len(), body);
        }
        verified
    }

    /// As [`Self::verify`], but a refusal costs no more than trying `keys`. It decides nothing but who need
    /// not be looked for.
    pub(crate) fn made_by_one(
        &self,
        keys: &[Key],
        body: &[u8],
        now: UnixMillis,
        tolerance: u64,
    ) -> Option<Verified> {
        let mut made = None;
        for key in keys {
            let tag = self.tag(key, body);
            if bool::from(self.shows(&tag)) {
                made = made.or(Some((key.generation, tag)));
            }
        }
        let in_time = self.time.is_none_or(|time| time.get().abs_diff(now.get()) <= tolerance);
        let (generation, tag) = made.filter(|_| in_time)?;
        let Self { scheme, id, time, .. } = self;
        let tag = Some(tag).filter(|_| self.is_of_body_alone());
        Some(Verified { scheme: *scheme, generation, id: id.clone(), time: *time, tag })
    }

    fn is_of_body_alone(&self) -> bool {
        matches!(self.scheme, Scheme::Legacy | Scheme::Github) && self.prefix.is_empty()
    }

    /// Whether `tag` is one of those that were sent. All are looked at, in constant time.
    fn shows(&self, tag: &Tag) -> Choice {
        self.tags.iter().fold(Choice::from(0), |found, sent| found | tag.ct_eq(sent))
    }

    /// The tag that `key` makes. Of a static key its digest, so that all have one length.
    fn tag(&self, key: &Key, body: &[u8]) -> Tag {
        match self.scheme {
            Scheme::Static => Sha256::digest(&key.static_key).into(),
            Scheme::Standard => hmac(&standard_key(&key.secret), &[&self.prefix, body]),
            Scheme::Legacy | Scheme::Github => hmac(key.secret.as_bytes(), &[&self.prefix, body]),
        }
    }

    /// The work of trying `count` keys more.
    fn waste(&self, count: usize, body: &[u8]) {
        let key = Key { generation: 0, secret: String::new(), static_key: String::new() };
        for _ in 0..count {
            std::hint::black_box(self.shows(&self.tag(&key, body)));
        }
    }
}

/// The value of `X-Ap-Signature` over a body, without a timestamp.
pub fn legacy_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret.as_bytes(), &[body])))
}

/// One entry of the value of `webhook-signature` (Standard Webhooks 1.0): what a `secret` signs that begins
/// with `whsec_`.
pub(crate) fn standard_signature(secret: &str, (id, seconds): (&str, u64), body: &[u8]) -> String {
    let prefix = format!("{id}.{seconds}.");
    let tag = hmac(&standard_key(secret), &[prefix.as_bytes(), body]);
    format!("v1,{}", BASE64.encode(&tag))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Tag {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The bytes that a secret of Standard Webhooks encodes. One that encodes none signs nothing that a
/// sender could sign, since senders check theirs.
fn standard_key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or_default();
    BASE64.decode(encoded.as_bytes()).unwrap_or_default()
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. The id
/// is signed before a full stop, so it holds none.
fn standard(headers: &HeaderMap) -> Option<Proof> {
    let id = single(headers, "webhook-id")?;
    let time = single(headers, "webhook-timestamp")?;
    if id.contains('.') {
        return None;
    }
    let signatures: Vec<&str> = single(headers, "webhook-signature")?.split(' ').collect();
    if signatures.len() > MAX_SIGNATURES {
        return None;
    }
    // Others than `v1`, such as `v1a`, are for receivers that know them.
    let tag = |text: &&str| base64_tag(text.strip_prefix("v1,")?);
    Some(Proof {
        prefix: format!("{id}.{time}.").into_bytes(),
        id: Some(DeliveryId::new(id).ok()?),
        time: Some(seconds(time)?),
        ..Proof::bare(Scheme::Standard, signatures.iter().filter_map(tag).collect())
    })
}

fn legacy(headers: &HeaderMap) -> Option<Proof> {
    let text = single(headers, "x-ap-signature")?;
    let tag = hex_tag(text.strip_prefix("sha256=").unwrap_or(text))?;
    let bare = Proof::bare(Scheme::Legacy, vec![tag]);
    if !headers.contains_key("x-ap-timestamp") {
        return Some(bare);
    }
    let time = single(headers, "x-ap-timestamp")?;
    let prefix = format!("{time}.").into_bytes();
    Some(Proof { prefix, time: Some(seconds_or_millis(time)?), ..bare })
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. The delivery's id
/// is not signed: it tells attempts apart and proves nothing.
fn github(headers: &HeaderMap) -> Option<Proof> {
    let tag = hex_tag(single(headers, "x-hub-signature-256")?.strip_prefix("sha256=")?)?;
    let id = if headers.contains_key("x-github-delivery") {
        Some(DeliveryId::new(single(headers, "x-github-delivery")?).ok()?)
    } else {
        None
    };
    Some(Proof { id, ..Proof::bare(Scheme::Github, vec![tag]) })
}

fn static_key(headers: &HeaderMap) -> Option<Proof> {
    let key = if headers.contains_key("x-api-key") {
        single(headers, "x-api-key")?
    } else {
        let (scheme, key) = single(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())?
    };
    Some(Proof::bare(Scheme::Static, vec![Sha256::digest(key).into()]))
}

/// The header's value, unless it is there twice.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn hex_tag(text: &str) -> Option<Tag> {
    let mut tag = [0; 32];
    hex::decode_to_slice(text, &mut tag).ok().map(|()| tag)
}

fn base64_tag(text: &str) -> Option<Tag> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Seconds since 1970 in digits alone.
fn seconds(text: &str) -> Option<UnixMillis> {
    Some(UnixMillis::new(digits(text, 11)? * 1000))
}

/// Up to eleven digits are seconds, more are milliseconds, as JavaScript counts.
fn seconds_or_millis(text: &str) -> Option<UnixMillis> {
    if text.len() <= 11 { seconds(text) } else { digits(text, 14).map(UnixMillis::new) }
}

fn digits(text: &str, longest: usize) -> Option<u64> {
    let is_number = text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
