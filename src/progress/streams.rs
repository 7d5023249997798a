//! How many streams may be open.

use std::sync::Arc;
use std::time::Duration;

use colophon_model::TenantUid;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::turnstile::{Passage, Turnstiles};

/// The operator's streams are counted apart from those of any tenant.
const OPERATOR: TenantUid = TenantUid::from_bytes([0; 16]);

/// The places of streams.
#[derive(Debug)]
pub struct Streams {
    all: Arc<Semaphore>,
    most: usize,
    each: Turnstiles,
}

/// The place of an open stream.
#[derive(Debug)]
pub struct Stream {
    _one: OwnedSemaphorePermit,
    _own: Passage,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Those who ask have enough of them.
    Own,
    /// The server has.
    All,
}

impl Streams {
    /// As configured.
    pub fn new(config: &config::Events) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.streams)),
            most: config.streams,
            each: Turnstiles::new(config.per_tenant, Duration::ZERO),
        }
    }

    /// Takes a place for a tenant or, without one, for the operator. Nobody waits.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(&self, tenant: Option<TenantUid>) -> Result<Stream, Full> {
        let own = self.each.pass(tenant.unwrap_or(OPERATOR)).await.ok_or(Full::Own)?;
        let one = self.all.clone().try_acquire_owned().map_err(|_| Full::All)?;
        Ok(Stream { _one: one, _own: own })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.most.saturating_sub(self.all.available_permits())
    }
}
