//! The name that a sender gives to one delivery, the same in every attempt at it.

use axum::http::HeaderMap;
use colophon_model::Digest;

/// 1 to [`DeliveryId::LONGEST`] visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryId(String);

/// A text that cannot name a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delivery is named by 1 to {} visible ASCII characters", DeliveryId::LONGEST)]
pub struct InvalidDeliveryId;

impl DeliveryId {
    /// Longest id, in bytes.
    pub const LONGEST: usize = 255;

    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, InvalidDeliveryId> {
        let fits = (1..=Self::LONGEST).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDeliveryId)
        }
    }

    /// What claims the id among those of one `kind`, such as a scheme: `blake3("colophon delivery id v1" ‖
    /// kind ‖ 0 ‖ id)`.
    pub fn claim(&self, kind: &str) -> Digest {
        Digest::of(format!("colophon delivery id v1{kind}\0{}", self.0).as_bytes())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header): a string in double
/// quotes, or, as most clients send it, bare.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<DeliveryId>, InvalidDeliveryId> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| InvalidDeliveryId)?;
    if values.next().is_some() {
        return Err(InvalidDeliveryId);
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    DeliveryId::new(quoted.unwrap_or(text)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_quoted_and_bare() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", value.parse().unwrap());
            idempotency_key(&headers).map(|key| key.map(|key| key.0))
        };
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        assert_eq!(key("\"8e03978e\""), Ok(Some("8e03978e".to_owned())));
        assert_eq!(key("8e03978e"), Ok(Some("8e03978e".to_owned())));
        for bad in ["", "\"\"", "a b", &"x".repeat(256)] {
            assert_eq!(key(bad), Err(InvalidDeliveryId), "{bad}");
        }
    }

    /// Of two keys, neither is the one that was meant.
    #[test]
    fn two_keys_are_none() {
        let mut headers = HeaderMap::new();
        headers.append("idempotency-key", "a".parse().unwrap());
        headers.append("idempotency-key", "b".parse().unwrap());
        assert_eq!(idempotency_key(&headers), Err(InvalidDeliveryId));
    }
}
