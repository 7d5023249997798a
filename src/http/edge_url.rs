//! Signed, expiring download URLs: whoever holds one may fetch one bundle for a while.

use colophon_model::{EdgeOutput, Sha256 as Checksum, TenantUid, UnixMillis};
use colophon_store::rows::TenantRow;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::app::App;

/// What a signed URL carries in its query.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Grant {
    /// End of validity, in seconds since the Unix epoch.
    exp: u64,
    /// Which key signed.
    kid: u32,
    /// HMAC-SHA256 in hex.
    sig: String,
}

/// Number of the key in use.
const KEY_ID: u32 = 1;

/// The URL of a bundle, and when it ends: as long from now as the configuration says.
pub(super) fn sign(app: &App, tenant: &TenantRow, edge: &EdgeOutput) -> (String, UnixMillis) {
    let expires = app.press.clock.now().plus(app.config.limits.edge_url_seconds * 1000);
    let exp = expires.seconds();
    let sig = mac(&app.press.keys.url_key(), tenant.uid, &edge.sha256, exp, KEY_ID);
    let sig = hex::encode(sig.finalize().into_bytes());
    let url = format!(
        "{}/v1/t/{}/targets/{}.{}?exp={exp}&kid={KEY_ID}&sig={sig}",
        app.public_url, tenant.slug, edge.sha256, edge.target_name
    );
    (url, expires)
}

/// Whether `grant` allows a GET of this bundle of this tenant at `now`.
pub(super) fn allows(
    key: &[u8; 32],
    grant: &Grant,
    tenant: TenantUid,
    bundle: &Checksum,
    now: UnixMillis,
) -> bool {
    let Ok(sig) = hex::decode(&grant.sig) else { return false };
    let signed = mac(key, tenant, bundle, grant.exp, grant.kid).verify_slice(&sig).is_ok();
    signed && grant.kid == KEY_ID && now.seconds() < grant.exp
}

/// Method, tenant, bundle, end and key are all bound, each at a fixed place.
fn mac(key: &[u8; 32], tenant: TenantUid, bundle: &Checksum, exp: u64, kid: u32) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("colophon edge url v1\nGET\n{tenant}\n{bundle}\n{exp}\n{kid}\n").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_good_for_one_bundle_of_one_tenant_until_it_ends() {
        let key = [5; 32];
        let tenant = TenantUid::from_bytes([1; 16]);
        let bundle = Checksum::of(b"zip");
        let sig = hex::encode(mac(&key, tenant, &bundle, 1000, KEY_ID).finalize().into_bytes());
        let grant = Grant { exp: 1000, kid: KEY_ID, sig };
        let at = |seconds: u64| UnixMillis::new(seconds * 1000);
        assert!(allows(&key, &grant, tenant, &bundle, at(999)));
        assert!(!allows(&key, &grant, tenant, &bundle, at(1000)), "ended");
        let other = TenantUid::from_bytes([2; 16]);
        assert!(!allows(&key, &grant, other, &bundle, at(1)), "another tenant");
        assert!(!allows(&key, &grant, tenant, &Checksum::of(b"x"), at(1)), "another bundle");
        assert!(!allows(&[6; 32], &grant, tenant, &bundle, at(1)), "another key");
        for forged in [
            Grant { exp: u64::MAX, ..grant.clone() },
            Grant { kid: 2, ..grant.clone() },
            Grant { sig: String::new(), ..grant.clone() },
            Grant { sig: "zz".into(), ..grant },
        ] {
            assert!(!allows(&key, &forged, tenant, &bundle, at(1)), "{forged:?}");
        }
    }
}
