//! Signed, expiring download URLs: whoever holds one may fetch one bundle for a while.

use axum::http::Method;
use colophon_model::{EdgeOutput, Sha256 as Checksum, TenantUid, UnixMillis};
use colophon_store::rows::TenantRow;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::app::App;
use crate::artifacts::SignedUrl;

/// What a signed URL carries in its query.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Grant {
    /// End of validity, in seconds since the Unix epoch. A text here, so that a number that is too
    /// large is a bad grant and not the lack of one.
    exp: String,
    /// Which key signed.
    kid: String,
    /// HMAC-SHA256 in hex.
    sig: String,
}

/// Number of the key in use.
const KEY_ID: u32 = 1;

/// The URL of a bundle, and when it ends: into the bucket when it lies there, else of this server.
pub(super) fn sign(app: &App, tenant: &TenantRow, edge: &EdgeOutput) -> (String, UnixMillis) {
    match app.press.artifacts.url(&app.press.store, tenant, &edge.sha256) {
        Some(SignedUrl { url, expires }) => (url, expires),
        None => own(app, tenant, edge),
    }
}

/// The URL of a bundle here, and when it ends: as long from now as the configuration says.
fn own(app: &App, tenant: &TenantRow, edge: &EdgeOutput) -> (String, UnixMillis) {
    let expires = app.press.clock.now().plus(app.config.limits.edge_url_seconds * 1000);
    let exp = expires.seconds();
    let sig = mac(&app.press.keys.url_key(), &Method::GET, tenant.uid, &edge.sha256, exp);
    let sig = hex::encode(sig.finalize().into_bytes());
    let url = format!(
        "{}/v1/t/{}/targets/{}.{}?exp={exp}&kid={KEY_ID}&sig={sig}",
        app.public_url, tenant.slug, edge.sha256, edge.target_name
    );
    (url, expires)
}

/// Whether `grant` allows `method` on this bundle of this tenant at `now`. Grants are for GET alone.
pub(super) fn allows(
    key: &[u8; 32],
    grant: &Grant,
    method: &Method,
    tenant: TenantUid,
    bundle: &Checksum,
    now: UnixMillis,
) -> bool {
    let Ok(sig) = hex::decode(&grant.sig) else { return false };
    let Ok(exp) = grant.exp.parse::<u64>() else { return false };
    let signed = mac(key, method, tenant, bundle, exp).verify_slice(&sig).is_ok();
    signed && grant.kid == KEY_ID.to_string() && now.seconds() < exp
}

/// Method, tenant, bundle, end and key are all bound, each at a fixed place.
fn mac(
    key: &[u8; 32],
    method: &Method,
    tenant: TenantUid,
    bundle: &Checksum,
    exp: u64,
) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    let bound = format!("colophon edge url v1\n{method}\n{tenant}\n{bundle}\n{exp}\n{KEY_ID}\n");
    mac.update(bound.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [5; 32];
    const TENANT: TenantUid = TenantUid::from_bytes([1; 16]);

    fn grant(bundle: &Checksum, exp: u64) -> Grant {
        let sig = mac(&KEY, &Method::GET, TENANT, bundle, exp).finalize().into_bytes();
        Grant { exp: exp.to_string(), kid: KEY_ID.to_string(), sig: hex::encode(sig) }
    }

    const fn at(seconds: u64) -> UnixMillis {
        UnixMillis::new(seconds * 1000)
    }

    /// Attack A-18: nothing that a grant binds can be changed by whoever holds it.
    #[test]
    fn a_grant_is_good_for_one_get_of_one_bundle_of_one_tenant_until_it_ends() {
        let bundle = Checksum::of(b"zip");
        let grant = grant(&bundle, 1000);
        let get = |key: &_, tenant, bundle: &_, now| {
            allows(key, &grant, &Method::GET, tenant, bundle, now)
        };
        assert!(get(&KEY, TENANT, &bundle, at(999)));
        assert!(!get(&KEY, TENANT, &bundle, at(1000)), "ended");
        let other = TenantUid::from_bytes([2; 16]);
        assert!(!get(&KEY, other, &bundle, at(1)), "another tenant");
        assert!(!get(&KEY, TENANT, &Checksum::of(b"x"), at(1)), "another bundle");
        assert!(!get(&[6; 32], TENANT, &bundle, at(1)), "another key");
        for method in [Method::HEAD, Method::POST] {
            assert!(!allows(&KEY, &grant, &method, TENANT, &bundle, at(1)), "{method}");
        }
    }

    #[test]
    fn a_forged_grant_is_refused_whatever_its_numbers() {
        let bundle = Checksum::of(b"zip");
        let good = grant(&bundle, 1000);
        let with = |exp: &str, kid: &str, sig: &str| Grant {
            exp: exp.to_owned(),
            kid: kid.to_owned(),
            sig: sig.to_owned(),
        };
        for forged in [
            with("18446744073709551615", "1", &good.sig),
            with("18446744073709552616", "1", &good.sig), // 2^64 + 1000
            with("-1", "1", &good.sig),
            with("1e9", "1", &good.sig),
            with("1000", "2", &good.sig),
            with("1000", "4294967297", &good.sig), // 2^32 + 1
            with("1000", "", &good.sig),
            with("1000", "1", ""),
            with("1000", "1", "zz"),
            with("1000", "1", &good.sig[..62]),
        ] {
            assert!(!allows(&KEY, &forged, &Method::GET, TENANT, &bundle, at(1)), "{forged:?}");
        }
    }
}
