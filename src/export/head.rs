//! `HEAD.json`: which bag is the newest. The only object that is ever replaced, by compare-and-swap.

use axum::body::Bytes;
use colophon_model::{Sha256, TenantSlug, TenantUid};
use colophon_trust::attest::PublicKey;
use colophon_trust::detached::DetachedKey;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cursor::Cursor;
use super::layout::BagName;

/// What `HEAD.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// How far the bags go.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// The newest bag.
    pub export: BagName,
    /// Version of the format: 1.
    pub format: u32,
    /// The id of the key that signed it.
    pub key: String,
    /// SHA-256 of the newest bag's tag manifest.
    pub tagmanifest: Sha256,
    /// Whose.
    pub tenant: Owner,
}

/// Whose export it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The tenant's name.
    pub slug: TenantSlug,
    /// The tenant's uid.
    pub uid: TenantUid,
}

/// The version that is written.
const FORMAT: u32 = 1;
/// The member that holds the signature.
const SIGNATURE: &str = "signature";

impl Head {
    /// That bag `export` is the newest.
    pub(super) fn new(
        cursor: Cursor,
        export: BagName,
        tagmanifest: Sha256,
        tenant: Owner,
        key: &DetachedKey,
    ) -> Self {
        Self { cursor, export, format: FORMAT, key: key.public().id(), tagmanifest, tenant }
    }

    /// JSON in the form of RFC 8785, signed: the signature is over the same without the member `signature`.
    pub(super) fn sign(&self, key: &DetachedKey) -> Bytes {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let signature = BASE64.encode(&key.sign(json.to_string().as_bytes()));
        json[SIGNATURE] = signature.into();
        format!("{json}\n").into()
    }

    /// Reads it, and checks the signature.
    ///
    /// # Errors
    /// Says what is wrong, to stand behind "`HEAD.json`".
    pub fn open(bytes: &[u8], key: &PublicKey) -> Result<Self, String> {
        let wrong = |what: String| format!("cannot be read: {what}");
        let mut json: Value =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let members = json.as_object_mut().ok_or_else(|| wrong("it is no object".to_owned()))?;
        let signature = members.remove(SIGNATURE).unwrap_or_default();
        let signature = signature.as_str().map(|text| BASE64.decode(text.as_bytes()));
        let signed = json.to_string();
        let good =
            matches!(&signature, Some(Ok(signature)) if key.verifies(signed.as_bytes(), signature));
        if !good {
            return Err(format!("is not signed by key {}", key.id()));
        }
        let head: Self = serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
        if head.format == FORMAT {
            Ok(head)
        } else {
            Err(wrong(format!("it is of format {}", head.format)))
        }
    }

    /// The id of the key that it says has signed it, before anything is believed.
    pub(super) fn claimed_key(bytes: &[u8]) -> Option<String> {
        let json: Value = serde_json::from_slice(bytes).ok()?;
        let id = json.get("key")?.as_str()?;
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::UnixMillis;
    use colophon_trust::Seed;

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let key = DetachedKey::derive(&Seed::new([1; 32]));
        let tenant =
            Owner { slug: "acme-inc".parse().unwrap(), uid: TenantUid::from_bytes([7; 16]) };
        let name = BagName::new(UnixMillis::new(1_795_262_400_007), 3);
        let cursor = Cursor { sequence: 3, builds: 12, ..Cursor::default() };
        let head = Head::new(cursor, name, Sha256::of(b"x"), tenant, &key);
        let bytes = head.sign(&key);
        assert_eq!(Head::open(&bytes, &key.public()), Ok(head));
        assert_eq!(Head::claimed_key(&bytes), Some(key.public().id()));
        let text = std::str::from_utf8(&bytes).unwrap();
        for (from, to) in
            [("\"builds\":12", "\"builds\":13"), ("\"signature\":\"", "\"signature\":\"A")]
        {
            assert!(text.contains(from), "{text}");
            assert!(Head::open(text.replace(from, to).as_bytes(), &key.public()).is_err(), "{to}");
        }
        let other = DetachedKey::derive(&Seed::new([2; 32])).public();
        assert!(Head::open(&bytes, &other).unwrap_err().contains("not signed by"));
    }
}
