//! A data directory with tenants.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use colophon::app::{Owner, open_press};
use colophon::clock::{Clock as _, SystemClock};
use colophon::config::Config;
use colophon::intake::legacy_signature;
use colophon::tenants;
use colophon::tokens::{self, TokenKind};
use colophon_model::CodePolicy;

/// Whose flows are delivered.
pub(crate) struct Tenant {
    pub(crate) slug: String,
    pub(crate) secret: String,
    /// For Git.
    pub(crate) token: String,
}

impl Tenant {
    /// The delivery of `body` as bytes on a connection.
    pub(crate) fn request(&self, body: &[u8]) -> Vec<u8> {
        let mut request = Vec::with_capacity(body.len() + 300);
        self.head(&legacy_signature(&self.secret, body), body.len(), &mut request);
        request.extend_from_slice(body);
        request
    }

    /// What stands before a body of `length` bytes.
    pub(crate) fn head(&self, signature: &str, length: usize, into: &mut Vec<u8>) {
        let slug = &self.slug;
        let head = format!(
            "POST /build HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Slug: {slug}\r\nX-Ap-Signature: {signature}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        into.extend_from_slice(head.as_bytes());
    }
}

/// Makes a data directory with so many tenants.
pub(crate) fn make(data: &Path, count: usize) -> anyhow::Result<Vec<Tenant>> {
    let mut config = Config { data: data.to_owned(), ..Config::default() };
    config.quota.builds_per_day = NonZeroU64::MAX;
    let press = open_press(&config, Arc::new(SystemClock), Owner::Command)?;
    let now = SystemClock.now();
    let tenant = |number: usize| {
        let slug = format!("tenant-{number}").parse()?;
        let made = tenants::create(&press, &slug, CodePolicy::default())?;
        let token = tokens::create_token(&press.store, &slug, TokenKind::Git, "bench", 1, now)?;
        let token = token.token.reveal().to_owned();
        Ok(Tenant { slug: slug.to_string(), secret: made.webhook_secret, token })
    };
    (0..count).map(tenant).collect()
}

/// An empty folder at `path`.
pub(crate) fn empty(path: &Path) -> anyhow::Result<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    std::fs::create_dir_all(path)?;
    Ok(path.to_owned())
}
