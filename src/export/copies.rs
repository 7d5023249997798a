//! Copies of a tenant's keys, encrypted for operators, at a place of their own: what opens an export when the server is lost.
//! They can be deleted there, or erasing a tenant would not reach what was exported.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use colophon_model::audit::Action;
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{ExportKey, KeyCopy, KeyLeftover, TenantRow};
use tokio::runtime::Runtime;

use super::envelope::Identity;
use super::error::{ExportError, Trouble};
use super::keyring::{Ring, commit, find};
use super::layout;
use super::place::{Destroyed, Options, Place, PlaceUrl};
use super::upload::{Carrier, Retry};
use super::wrapped::{Audience, Unwrapped};
use crate::config::ExportConfig;
use crate::pipeline::Press;

/// How long it is before copies that could not be deleted are tried again, in milliseconds.
const AGAIN: u64 = 60 * 60 * 1000;
/// How often it is begun again when the keys were changed meanwhile.
const ATTEMPTS: usize = 5;

/// Held by whoever writes and deletes copies.
static TURN: Mutex<()> = Mutex::new(());

/// A copy that shall be there.
struct Wanted<'a> {
    copy: KeyCopy,
    audience: Audience,
    identity: &'a Identity,
}

/// Sees to the copies of one tenant's keys.
struct Keeper<'a> {
    press: &'a Press,
    config: &'a ExportConfig,
    runtime: &'a Runtime,
    tenant: &'a TenantRow,
}

/// Makes sure that copies of every key for everybody who is configured lie where it is configured, and no other one beside them or
/// at a place of before.
pub(super) fn ensure(
    press: &Press,
    config: &ExportConfig,
    runtime: &Runtime,
    (tenant, to): (&TenantRow, &PlaceUrl),
    ring: &mut Ring,
) -> Result<(), ExportError> {
    let Some(url) = &config.keys else { return Ok(()) };
    apart(url, to, config)?;
    let keeper = Keeper { press, config, runtime, tenant };
    if keeper.is_well(url, &ring.row, &keeper.wanted(url, ring)) {
        return Ok(());
    }
    // What is not wanted is deleted, so nobody else may put something there meanwhile.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        let Some(now) = find(press, tenant.uid)? else { return keeper.erased(url) };
        *ring = now;
        if keeper.see_to(url, ring)? {
            return Ok(());
        }
    }
    Err(ExportError::Key)
}

impl Keeper<'_> {
    fn wanted<'r>(&self, url: &PlaceUrl, ring: &'r Ring) -> Vec<Wanted<'r>> {
        let audiences = Audience::all(&self.config.recipients);
        let one = |identity: &'r Identity| {
            audiences.clone().into_iter().map(move |audience| {
                let name = audience.file(self.tenant.uid, &identity.id());
                let (url, recipients) = (url.to_string(), audience.names());
                Wanted { copy: KeyCopy { url, name, recipients }, audience, identity }
            })
        };
        ring.all().flat_map(one).collect()
    }

    /// Whether all copies are there and no other, as far as that can be had now.
    fn is_well(&self, url: &PlaceUrl, row: &ExportKey, wanted: &[Wanted<'_>]) -> bool {
        let now = self.press.clock.now().get();
        let due = |left: &KeyLeftover| now.saturating_sub(left.tried.get()) >= AGAIN;
        row.copies.len() == wanted.len()
            && wanted.iter().all(|wanted| row.copies.contains(&wanted.copy))
            && row.copies.iter().all(|copy| copy.url == url.to_string())
            && !row.leftovers.iter().any(due)
    }

    /// Whether it could be done: the keys are still the same.
    fn see_to(&self, url: &PlaceUrl, ring: &mut Ring) -> Result<bool, ExportError> {
        let wanted = self.wanted(url, ring);
        let there = &ring.row.copies;
        let missing: Vec<&Wanted<'_>> =
            wanted.iter().filter(|wanted| !there.contains(&wanted.copy)).collect();
        if !missing.is_empty() {
            self.write(url, ring, &missing)?;
        }
        let mut row = ring.row.clone();
        row.copies = wanted.into_iter().map(|wanted| wanted.copy).collect();
        self.tidy(url, &ring.row, &mut row);
        let changed = row.copies != ring.row.copies || places(&row) != places(&ring.row);
        let action = changed.then_some(Action::KeyCopy);
        let done = commit(self.press, self.tenant, Some(&ring.row), &row, action)?;
        ring.row = row;
        Ok(done)
    }

    /// The tenant was erased meanwhile, and whoever did that looked for copies before this one was there.
    fn erased(&self, url: &PlaceUrl) -> Result<(), ExportError> {
        let (url, all) = (url.to_string(), |_: &str| true);
        let at = (url.as_str(), self.config.attempts);
        destroy_at((self.press, self.config, self.runtime), at, (self.tenant.uid, &all))?;
        Err(ExportError::Key)
    }

    fn write(
        &self,
        url: &PlaceUrl,
        ring: &Ring,
        missing: &[&Wanted<'_>],
    ) -> Result<(), ExportError> {
        let place = open(self.press, self.config, url)?;
        let carrier = carrier(&place, self.config);
        let with = (self.config, &self.press.secrets);
        for Wanted { copy, audience, identity } in missing {
            let file = ring.file(self.tenant, identity);
            let key = Unwrapped { tenant: self.tenant.uid, identity, file: &file };
            let bytes: Bytes = self.runtime.block_on(key.wrap(audience, with, &carrier))?;
            let written = carrier.again(async || place.write(&copy.name, bytes.clone()).await);
            let written = self.runtime.block_on(written);
            written.map_err(|failure| ExportError::from(failure.into_trouble(&copy.name)))?;
        }
        Ok(())
    }

    /// Deletes what is not wanted any more, wherever it lies, and remembers what is there still. Who is not named any more
    /// gets no other copy; what they have fetched they keep.
    fn tidy(&self, url: &PlaceUrl, before: &ExportKey, row: &mut ExportKey) {
        let here = url.to_string();
        let wanted: BTreeSet<String> = row.copies.iter().map(|copy| copy.name.clone()).collect();
        let now = self.press.clock.now();
        row.leftovers.clear();
        for place in urls(before) {
            let mut names = names_at(before, &place);
            if place == here {
                names.retain(|name| !wanted.contains(name));
            }
            if names.is_empty() {
                continue;
            }
            let with = (self.press, self.config, self.runtime);
            let chosen: &dyn Fn(&str) -> bool = &|name: &str| names.contains(name);
            let gone = destroy_at(with, (&place, 1), (self.tenant.uid, chosen));
            let left = gone.map_or_else(|trouble| vec![trouble.text], |gone| gone.left);
            if left.is_empty() {
                continue;
            }
            tracing::warn!(place, ?left, "copies of a key are there still that should be gone");
            row.leftovers.push(leftover(before, (&place, names), left, now));
        }
    }
}

/// What is known to lie at a place. Others may: of keys that this server does not know, such as those of a server that was lost.
fn names_at(row: &ExportKey, url: &str) -> BTreeSet<String> {
    let copies = row.copies.iter().filter(|copy| copy.url == url).map(|copy| copy.name.clone());
    let left = row.leftovers.iter().filter(|left| left.url == url);
    copies.chain(left.flat_map(|left| left.names.clone())).collect()
}

fn leftover(
    before: &ExportKey,
    (url, names): (&str, BTreeSet<String>),
    left: Vec<String>,
    now: UnixMillis,
) -> KeyLeftover {
    let known = before.leftovers.iter().find(|left| left.url == url);
    let since = known.map_or(now, |left| left.since);
    KeyLeftover { url: url.to_owned(), names, left, since, tried: now }
}

/// The row when copies were to be destroyed and some are left.
pub(super) fn after_destroying<'a>(
    row: &ExportKey,
    left: impl Iterator<Item = (&'a str, &'a [String])>,
    now: UnixMillis,
) -> ExportKey {
    let left = left.filter(|(_, left)| !left.is_empty());
    let left = left.map(|(url, left)| leftover(row, (url, names_at(row, url)), left.to_vec(), now));
    ExportKey { copies: Vec::new(), leftovers: left.collect(), ..row.clone() }
}

/// Where something is left that should be gone.
fn places(row: &ExportKey) -> Vec<&str> {
    row.leftovers.iter().map(|left| left.url.as_str()).collect()
}

/// Takes away every copy, also those of before recipients or places were changed.
pub(super) fn destroy(
    press: &Press,
    config: &ExportConfig,
    runtime: &Runtime,
    tenant: TenantUid,
    row: &ExportKey,
) -> Vec<(String, Result<Destroyed, Trouble>)> {
    let mut urls = urls(row);
    urls.extend(config.keys.iter().map(ToString::to_string));
    let one = |url: String| {
        let at = (url.as_str(), config.attempts);
        let done = destroy_at((press, config, runtime), at, (tenant, &|_: &str| true));
        (url, done)
    };
    urls.into_iter().map(one).collect()
}

/// Places where copies lie, or may.
fn urls(row: &ExportKey) -> BTreeSet<String> {
    let left = row.leftovers.iter().map(|left| left.url.clone());
    row.copies.iter().map(|copy| copy.url.clone()).chain(left).collect()
}

fn destroy_at(
    (press, config, runtime): (&Press, &ExportConfig, &Runtime),
    (url, attempts): (&str, u32),
    (tenant, wanted): (TenantUid, &dyn Fn(&str) -> bool),
) -> Result<Destroyed, Trouble> {
    let parsed = url.parse::<PlaceUrl>();
    let parsed = parsed.map_err(|error| Trouble::new("export-refused", error.to_string()))?;
    let place = open(press, config, &parsed)?;
    let config = ExportConfig { attempts, ..config.clone() };
    let carrier = carrier(&place, &config);
    let folder = layout::copies(tenant);
    let work = carrier.again(async || place.destroy(&folder, wanted).await);
    runtime.block_on(work).map_err(|failure| failure.into_trouble(url))
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
fn open(press: &Press, config: &ExportConfig, url: &PlaceUrl) -> Result<Place, Trouble> {
    let unlocked = ExportConfig { lock: None, ..config.clone() };
    Place::open(url, &unlocked, &Options::default(), &press.secrets)
}

fn carrier<'a>(place: &'a Place, config: &ExportConfig) -> Carrier<'a> {
    let retry = Retry { attempts: config.attempts, first: super::run::FIRST_WAIT };
    Carrier::new(place, String::new(), 0, retry)
}
