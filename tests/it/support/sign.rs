//! Deliveries as builders of every kind sign them.

use colophon::clock::Clock as _;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Answer, TestServer, TestTenant};

/// Headers of a delivery.
pub(crate) type Headers = Vec<(&'static str, String)>;

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Standard Webhooks 1.0.
pub(crate) fn standard(secret: &str, id: &str, seconds: u64, body: &[u8]) -> Headers {
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{}", BASE64.encode(&hmac(&key, &signed)))),
    ]
}

/// The builder's own signature with a timestamp.
pub(crate) fn stamped(secret: &str, time: u64, body: &[u8]) -> Headers {
    let signed = [format!("{time}.").as_bytes(), body].concat();
    vec![
        ("x-ap-signature", hex::encode(hmac(secret.as_bytes(), &signed))),
        ("x-ap-timestamp", time.to_string()),
    ]
}

/// The builder's own signature without one.
pub(crate) fn plain(secret: &str, body: &[u8]) -> Headers {
    vec![("x-ap-signature", hex::encode(hmac(secret.as_bytes(), body)))]
}

/// As GitHub signs.
pub(crate) fn github(secret: &str, id: &str, body: &[u8]) -> Headers {
    let signature = format!("sha256={}", hex::encode(hmac(secret.as_bytes(), body)));
    vec![("x-hub-signature-256", signature), ("x-github-delivery", id.to_owned())]
}

impl TestServer {
    /// The server's time in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.clock.now().get() / 1000
    }

    /// Posts a delivery for `slug`.
    pub(crate) fn deliver(&self, slug: &str, headers: &Headers, body: &[u8]) -> Answer {
        self.send(
            "/build",
            &[headers.clone(), vec![("x-tenant-slug", slug.to_owned())]].concat(),
            body,
        )
    }

    /// Posts `body` with these headers.
    pub(crate) fn send(&self, path: &str, headers: &Headers, body: &[u8]) -> Answer {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(path, &headers, body)
    }

    /// Posts a delivery of `tenant`, signed now by Standard Webhooks.
    pub(crate) fn deliver_standard(&self, tenant: &TestTenant, id: &str, body: &[u8]) -> Answer {
        self.deliver(&tenant.slug, &standard(&tenant.secret, id, self.seconds(), body), body)
    }
}
