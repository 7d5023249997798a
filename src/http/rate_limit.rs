//! What is left of the quota, in the headers of draft-ietf-httpapi-ratelimit-headers-11.

use std::fmt::Write as _;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use colophon_model::{Stamp, Target};
use colophon_store::quota::{self, Left};
use colophon_store::rows::{TenantHead, TenantRow};

use crate::pipeline::Press;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of each target's quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RateLimit {
    limit: String,
    policy: String,
}

impl RateLimit {
    /// What `tenant` has left now.
    pub(super) fn read(press: &Press, tenant: &TenantRow) -> Result<Self, colophon_store::Error> {
        let view = press.store.view()?;
        let head = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default();
        // As the quota is checked: at the next build's time, which never steps back.
        let now = Stamp::after(head.stamp, press.clock.now()).time();
        let mut told = Self { limit: String::new(), policy: String::new() };
        for target in [Target::Cloud, Target::Edge] {
            let left = quota::left(&view, tenant.uid, &head, target, press.quota, now)?;
            told.add(
                target,
                (press.quota.limit.get(), press.quota.window_millis / 1000),
                left,
                now.get(),
            );
        }
        Ok(told)
    }

    fn add(&mut self, target: Target, (quota, window): (u64, u64), left: Left, now: u64) {
        let Left { builds, more_at } = left;
        let comma = if self.limit.is_empty() { "" } else { ", " };
        let name = target.as_str();
        let _ = write!(self.policy, "{comma}\"builds-{name}\";q={quota};w={window}");
        let _ = write!(self.limit, "{comma}\"builds-{name}\";r={builds}");
        if let Some(at) = more_at {
            let _ = write!(self.limit, ";t={}", at.get().saturating_sub(now).div_ceil(1000));
        }
    }

    /// `response` with what is left.
    pub(super) fn told(&self, mut response: Response) -> Response {
        for (name, value) in [(LIMIT, &self.limit), (POLICY, &self.policy)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
