//! Copies of a tenant's key, encrypted for operators, at a place of their own: what opens an export when the server is lost.
//! They can be deleted there, or erasing a tenant would not reach what was exported.

use std::collections::BTreeSet;
use std::io::Write as _;

use axum::body::Bytes;
use colophon_model::audit::Action;
use colophon_model::{Sha256, TenantUid};
use colophon_store::rows::{ExportKey, KeyCopy, TenantRow};
use tokio::runtime::Runtime;

use super::error::{ExportError, Trouble};
use super::keyring::{Kept, commit, find};
use super::layout;
use super::place::{Destroyed, Options, Place, PlaceUrl};
use super::upload::{Carrier, Retry};
use crate::config::ExportConfig;
use crate::pipeline::Press;

/// Makes sure that a copy for everybody who is configured lies where it is configured, and no other one beside it.
pub(super) fn ensure(
    press: &Press,
    config: &ExportConfig,
    runtime: &Runtime,
    (tenant, to): (&TenantRow, &PlaceUrl),
    kept: &mut Kept,
) -> Result<(), ExportError> {
    let Some(url) = &config.keys else { return Ok(()) };
    apart(url, to, config)?;
    let recipients: BTreeSet<String> = config.recipients.iter().map(ToString::to_string).collect();
    let name = name(tenant.uid, &kept.row.id, &recipients);
    let Options { endpoint, region } = Place::store_of(url, config)?;
    let copy = KeyCopy { url: url.to_string(), endpoint, region, name, recipients };
    if kept.row.copies.contains(&copy) {
        return Ok(());
    }
    let place = open(press, config, url, &Options::default())?;
    let carrier = carrier(&place, config);
    let bytes = wrapped(tenant, kept, &copy.recipients)?;
    let written = runtime
        .block_on(carrier.again(async || place.write(&copy.name, bytes.clone()).await))
        .map_err(|failure| failure.into_trouble(&copy.name));
    written.map_err(ExportError::from)?;
    // Who is not named any more gets no other copy; what they have fetched they keep.
    let others = |name: &str| name != copy.name;
    let old = runtime.block_on(place.destroy(&layout::copies(tenant.uid), others));
    let old = old.map_err(|failure| failure.into_trouble(url.to_string().as_str()));
    match old {
        Ok(Destroyed { left, .. }) if left.is_empty() => {}
        Ok(Destroyed { left, .. }) => {
            tracing::warn!(?left, "older copies of a key are there still");
        }
        Err(error) => tracing::warn!(%error, "older copies of a key were not looked for"),
    }
    let mut row = kept.row.clone();
    // What an older server wrote down without its store is taken for this one.
    row.copies.retain(|one| {
        let elsewhere = one.endpoint.is_some() && one.endpoint != copy.endpoint;
        one.url != copy.url || elsewhere
    });
    row.copies.push(copy);
    if commit(press, tenant, Some(&kept.row), &row, Action::KeyCopy)? {
        kept.row = row;
    } else if find(press, tenant.uid)?.is_none() {
        // The tenant was erased meanwhile, and whoever did that looked for copies before this one was there.
        let gone = runtime.block_on(place.destroy(&layout::copies(tenant.uid), |_| true));
        gone.map_err(|failure| failure.into_trouble(&url.to_string()))?;
        return Err(ExportError::Key);
    }
    Ok(())
}

/// Takes away every copy, also those of before recipients or places were changed.
pub(super) fn destroy(
    press: &Press,
    config: &ExportConfig,
    runtime: &Runtime,
    tenant: TenantUid,
    row: &ExportKey,
) -> Vec<(String, Result<Destroyed, Trouble>)> {
    let known = row.copies.iter().map(|copy| {
        let KeyCopy { url, endpoint, region, .. } = copy.clone();
        (url, endpoint, region)
    });
    let mut places: BTreeSet<_> = known.collect();
    if let Some(url) = &config.keys {
        // One that cannot be is told of as such below.
        let Options { endpoint, region } = Place::store_of(url, config).unwrap_or_default();
        places.insert((url.to_string(), endpoint, region));
    }
    let one = |(url, endpoint, region): (String, Option<String>, Option<String>)| {
        let parsed = url.parse::<PlaceUrl>();
        let parsed = parsed.map_err(|error| Trouble::new("export-refused", error.to_string()));
        let done = parsed.and_then(|parsed| {
            let place = open(press, config, &parsed, &Options { endpoint, region })?;
            let carrier = carrier(&place, config);
            let folder = layout::copies(tenant);
            let work = carrier.again(async || place.destroy(&folder, |_| true).await);
            runtime.block_on(work).map_err(|failure| failure.into_trouble(&url))
        });
        (url, done)
    };
    places.into_iter().map(one).collect()
}

/// Keys must not lie beside what they open, nor where nothing can be deleted.
fn apart(keys: &PlaceUrl, to: &PlaceUrl, config: &ExportConfig) -> Result<(), ExportError> {
    let locked = config.lock.is_some() && keys.bucket().is_some() && keys.bucket() == to.bucket();
    if !keys.overlaps(to) && !locked {
        return Ok(());
    }
    let text = format!("`export.keys` is {keys}, which is not apart from {to}");
    Err(Trouble::new("export-keys-place", text)
        .hint("name another bucket, from which keys can be deleted")
        .into())
}

/// Without locks, whatever is configured for what is exported.
fn open(
    press: &Press,
    config: &ExportConfig,
    url: &PlaceUrl,
    options: &Options,
) -> Result<Place, Trouble> {
    let unlocked = ExportConfig { lock: None, ..config.clone() };
    Place::open(url, &unlocked, options, &press.secrets)
}

fn carrier<'a>(place: &'a Place, config: &ExportConfig) -> Carrier<'a> {
    let retry = Retry { attempts: config.attempts, first: super::run::FIRST_WAIT };
    Carrier::new(place, String::new(), 0, retry)
}

/// Another set of recipients is another file: who reads the bucket's versions sees when that changed.
fn name(tenant: TenantUid, key: &str, recipients: &BTreeSet<String>) -> String {
    let all: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let tag = Sha256::of([&[key], all.as_slice()].concat().join("\n").as_bytes()).to_string();
    format!("{}/{}.age", layout::copies(tenant), &tag[..32])
}

/// A file of identities as `age -i` reads it, encrypted for each recipient.
fn wrapped(
    tenant: &TenantRow,
    kept: &Kept,
    recipients: &BTreeSet<String>,
) -> Result<Bytes, ExportError> {
    let keys: Vec<age::x25519::Recipient> =
        recipients.iter().filter_map(|recipient| recipient.parse().ok()).collect();
    let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as _));
    let encryptor = encryptor.map_err(|_| ExportError::Key)?;
    let mut bytes = Vec::new();
    let text = kept.file(tenant);
    let made = encryptor.wrap_output(&mut bytes).and_then(|mut writer| {
        writer.write_all(text.as_bytes())?;
        writer.finish().map(drop)
    });
    made.map_err(ExportError::Aside)?;
    Ok(bytes.into())
}
