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
    /// Where copies shall lie.
    here: Spot,
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
    let here = Spot::configured(url, config)?;
    let keeper = Keeper { press, config, runtime, tenant, here };
    if keeper.is_well(&ring.row, &keeper.wanted(ring)) {
        return Ok(());
    }
    // What is not wanted is deleted, so nobody else may put something there meanwhile.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        let Some(now) = find(press, tenant.uid)? else { return keeper.erased() };
        *ring = now;
        if keeper.see_to(url, ring)? {
            return Ok(());
        }
    }
    Err(ExportError::Key)
}

impl Keeper<'_> {
    fn wanted<'r>(&self, ring: &'r Ring) -> Vec<Wanted<'r>> {
        let audiences = Audience::all(&self.config.recipients);
        let one = |identity: &'r Identity| {
            audiences.clone().into_iter().map(move |audience| {
                let name = audience.file(self.tenant.uid, &identity.id());
                let Spot { url, endpoint, region } = self.here.clone();
                let recipients = audience.names();
                let copy = KeyCopy { url, endpoint, region, name, recipients };
                Wanted { copy, audience, identity }
            })
        };
        ring.all().flat_map(one).collect()
    }

    /// Whether all copies are there and no other, as far as that can be had now.
    fn is_well(&self, row: &ExportKey, wanted: &[Wanted<'_>]) -> bool {
        let now = self.press.clock.now().get();
        let due = |left: &KeyLeftover| now.saturating_sub(left.tried.get()) >= AGAIN;
        row.copies.len() == wanted.len()
            && wanted.iter().all(|wanted| row.copies.contains(&wanted.copy))
            && !row.leftovers.iter().any(due)
    }

    /// Whether it could be done: the keys are still the same.
    fn see_to(&self, url: &PlaceUrl, ring: &mut Ring) -> Result<bool, ExportError> {
        let wanted = self.wanted(ring);
        let there = &ring.row.copies;
        let missing: Vec<&Wanted<'_>> =
            wanted.iter().filter(|wanted| !there.contains(&wanted.copy)).collect();
        if !missing.is_empty() {
            self.write(url, ring, &missing)?;
        }
        let mut row = ring.row.clone();
        row.copies = wanted.into_iter().map(|wanted| wanted.copy).collect();
        self.tidy(&ring.row, &mut row);
        let changed = row.copies != ring.row.copies || places(&row) != places(&ring.row);
        let action = changed.then_some(Action::KeyCopy);
        let done = commit(self.press, self.tenant, Some(&ring.row), &row, action)?;
        ring.row = row;
        Ok(done)
    }

    /// The tenant was erased meanwhile, and whoever did that looked for copies before this one was there.
    fn erased(&self) -> Result<(), ExportError> {
        let all = |_: &str| true;
        let at = (&self.here, self.config.attempts);
        destroy_at((self.press, self.config, self.runtime), at, (self.tenant.uid, &all))?;
        Err(ExportError::Key)
    }

    fn write(
        &self,
        url: &PlaceUrl,
        ring: &Ring,
        missing: &[&Wanted<'_>],
    ) -> Result<(), ExportError> {
        let place = open(self.press, self.config, url, &Options::default())?;
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
    fn tidy(&self, before: &ExportKey, row: &mut ExportKey) {
        let wanted: BTreeSet<String> = row.copies.iter().map(|copy| copy.name.clone()).collect();
        let now = self.press.clock.now();
        row.leftovers.clear();
        for spot in spots(before) {
            let mut names = names_at(before, &spot);
            if spot.is(&self.here) {
                names.retain(|name| !wanted.contains(name));
            }
            if names.is_empty() {
                continue;
            }
            let with = (self.press, self.config, self.runtime);
            let chosen: &dyn Fn(&str) -> bool = &|name: &str| names.contains(name);
            let gone = destroy_at(with, (&spot, 1), (self.tenant.uid, chosen));
            let left = gone.map_or_else(|trouble| vec![trouble.text], |gone| gone.left);
            if left.is_empty() {
                continue;
            }
            let place = &spot.url;
            tracing::warn!(place, ?left, "copies of a key are there still that should be gone");
            row.leftovers.push(leftover(before, (spot, names), left, now));
        }
    }
}

/// Where copies lie: a place, and the store that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
}

impl Spot {
    fn configured(url: &PlaceUrl, config: &ExportConfig) -> Result<Self, Trouble> {
        let Options { endpoint, region } = Place::store_of(url, config)?;
        Ok(Self { url: url.to_string(), endpoint, region })
    }

    fn of_copy(copy: &KeyCopy) -> Self {
        let KeyCopy { url, endpoint, region, .. } = copy.clone();
        Self { url, endpoint, region }
    }

    fn of_left(left: &KeyLeftover) -> Self {
        let KeyLeftover { url, endpoint, region, .. } = left.clone();
        Self { url, endpoint, region }
    }

    /// What an older server wrote down without its store is taken for this one.
    fn is(&self, other: &Self) -> bool {
        let told = self.endpoint.is_some() && other.endpoint.is_some();
        self.url == other.url && (!told || self.endpoint == other.endpoint)
    }
}

/// What is known to lie at a place. Others may: of keys that this server does not know, such as those of a server that was lost.
fn names_at(row: &ExportKey, spot: &Spot) -> BTreeSet<String> {
    let copies = row.copies.iter().filter(|copy| Spot::of_copy(copy) == *spot);
    let left = row.leftovers.iter().filter(|left| Spot::of_left(left) == *spot);
    let copies = copies.map(|copy| copy.name.clone());
    copies.chain(left.flat_map(|left| left.names.clone())).collect()
}

fn leftover(
    before: &ExportKey,
    (spot, names): (Spot, BTreeSet<String>),
    left: Vec<String>,
    now: UnixMillis,
) -> KeyLeftover {
    let known = before.leftovers.iter().find(|left| Spot::of_left(left) == spot);
    let since = known.map_or(now, |left| left.since);
    let Spot { url, endpoint, region } = spot;
    KeyLeftover { url, endpoint, region, names, left, since, tried: now }
}

/// The row when copies were to be destroyed and some are `left` at places, which are told by their URL.
pub(super) fn after_destroying<'a>(
    row: &ExportKey,
    left: &(impl Iterator<Item = (&'a str, &'a [String])> + Clone),
    now: UnixMillis,
) -> ExportKey {
    let one = |spot: Spot| {
        let here = left.clone().filter(|(url, _)| *url == spot.url);
        let left: Vec<String> = here.flat_map(|(_, left)| left.to_vec()).collect();
        let names = names_at(row, &spot);
        (!left.is_empty()).then(|| leftover(row, (spot, names), left, now))
    };
    let leftovers = spots(row).into_iter().filter_map(one).collect();
    ExportKey { copies: Vec::new(), leftovers, ..row.clone() }
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
    let mut places = spots(row);
    if let Some(url) = &config.keys {
        // One that cannot be is told of as such below.
        let there = Spot { url: url.to_string(), endpoint: None, region: None };
        places.insert(Spot::configured(url, config).unwrap_or(there));
    }
    let one = |spot: Spot| {
        let at = (&spot, config.attempts);
        let done = destroy_at((press, config, runtime), at, (tenant, &|_: &str| true));
        (spot.url, done)
    };
    places.into_iter().map(one).collect()
}

/// Where copies lie, or may.
fn spots(row: &ExportKey) -> BTreeSet<Spot> {
    let left = row.leftovers.iter().map(Spot::of_left);
    row.copies.iter().map(Spot::of_copy).chain(left).collect()
}

fn destroy_at(
    (press, config, runtime): (&Press, &ExportConfig, &Runtime),
    (spot, attempts): (&Spot, u32),
    (tenant, wanted): (TenantUid, &dyn Fn(&str) -> bool),
) -> Result<Destroyed, Trouble> {
    let Spot { url, endpoint, region } = spot.clone();
    let parsed = url.parse::<PlaceUrl>();
    let parsed = parsed.map_err(|error| Trouble::new("export-refused", error.to_string()))?;
    let place = open(press, config, &parsed, &Options { endpoint, region })?;
    let config = ExportConfig { attempts, ..config.clone() };
    let carrier = carrier(&place, &config);
    let folder = layout::copies(tenant);
    let work = carrier.again(async || place.destroy(&folder, wanted).await);
    runtime.block_on(work).map_err(|failure| failure.into_trouble(&url))
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
