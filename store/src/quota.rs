//! How many builds a tenant may make in a rolling window, exact under races.
//!
//! Every counted build leaves a row under its number with its time. A build is allowed when the one
//! `limit` before it has left the window, which is one read whatever the limit. The count lies in
//! the tenant's head, which every build checks and replaces, so no two builds get the same number.

use std::num::NonZeroU64;

use colophon_model::{Target, TenantUid, UnixMillis};

use crate::rows::{QuotaStamp, TenantHead};
use crate::{Change, Error, View};

/// At most so many builds in so much time, per tenant and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Most builds in a window.
    pub limit: NonZeroU64,
    /// The window's length, in milliseconds.
    pub window_millis: u64,
}

/// Whether one more build fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Allowed,
    /// It does not, until the oldest build in the window leaves it.
    Exceeded {
        /// From this time on one build fits.
        retry_at: UnixMillis,
    },
}

/// Checks one more build for `target` at `now` by the tenant whose head is `head`.
///
/// `now` must not step back from one build to the next of a tenant; the build's stamp does not.
pub fn check(
    view: &View,
    tenant: TenantUid,
    head: &TenantHead,
    target: Target,
    rule: Rule,
    now: UnixMillis,
) -> Result<Verdict, Error> {
    let count = head.quota.get(&target).copied().unwrap_or(0);
    let Some(earlier) = count.checked_sub(rule.limit.get()) else { return Ok(Verdict::Allowed) };
    let Some(stamp) = view.get::<QuotaStamp>(&(tenant, target, earlier))? else {
        return Ok(Verdict::Allowed);
    };
    let retry_at = stamp.at.plus(rule.window_millis);
    Ok(if retry_at <= now { Verdict::Allowed } else { Verdict::Exceeded { retry_at } })
}

/// What is left of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Builds that fit now.
    pub builds: u64,
    /// When one more fits; `None` when no build is counted.
    pub more_at: Option<UnixMillis>,
}

/// How many builds for `target` fit at `now`; reads a few rows, whatever the limit.
pub fn left(
    view: &View,
    tenant: TenantUid,
    head: &TenantHead,
    target: Target,
    rule: Rule,
    now: UnixMillis,
) -> Result<Left, Error> {
    let count = head.quota.get(&target).copied().unwrap_or(0);
    let ends = |number: u64| -> Result<Option<UnixMillis>, Error> {
        let stamp = view.get::<QuotaStamp>(&(tenant, target, number))?;
        Ok(stamp.map(|stamp| stamp.at.plus(rule.window_millis)).filter(|ends| *ends > now))
    };
    // Times rise with the numbers, so those in the window are the last ones.
    let (mut low, mut high) = (count.saturating_sub(rule.limit.get()), count);
    while low < high {
        let middle = low + (high - low) / 2;
        if ends(middle)?.is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let more_at = if low < count { ends(low)? } else { None };
    Ok(Left { builds: rule.limit.get() - (count - low), more_at })
}

/// Counts one build for `target` at `now`: raises the count in `head`, which the caller writes, and
/// adds the build's row to `change`.
pub fn charge(
    change: &mut Change,
    tenant: TenantUid,
    head: &mut TenantHead,
    target: Target,
    now: UnixMillis,
) {
    let count = head.quota.entry(target).or_default();
    change.put(&(tenant, target, *count), &QuotaStamp { at: now });
    *count += 1;
}
