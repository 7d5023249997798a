//! The agent: fetches, verifies and unpacks a tenant's edge bundles.
//!
//! [`enroll()`] pins a tenant's root. An [`Agent`] then refreshes the tenant's TUF metadata,
//! downloads bundles by hash over a [`Transport`], and unpacks them into generations of which one
//! is current. Everything it keeps is below one folder, the [`Cache`]. Sync; the time and the
//! platform come in as values. Formats and steps are written down in `docs/edge-protocol.md`.

mod activation;
mod agent;
mod air;
mod attestation;
mod backoff;
mod bucket;
mod cache;
mod clock;
mod config;
mod disk;
mod download;
mod enroll;
mod environment;
mod error;
mod exact;
#[cfg(test)]
mod faults;
mod fetch;
mod fork;
mod gc;
mod generation;
mod health;
mod history;
mod http;
mod identity;
mod inspect;
mod intact;
mod network;
mod objects;
mod platform;
mod refresh;
mod removal;
mod report;
mod settings;
mod sync;
mod transport;
mod trial;
mod tuf_client;
mod unpack;
mod watched;

pub use activation::{FlowState, Installed, Pending, Refused, flow_state};
pub use agent::{Agent, Applied, Offer, Outcome, Standing};
pub use air::{Exported, FolderTransport};
pub use attestation::{AttestationFlaw, AttestationRule, attestation_keys};
pub use backoff::{Backoff, Chance};
pub use bucket::{BucketFlaw, BucketUrl};
pub use cache::{Cache, Lock};
pub use config::{BaseUrl, Config, InvalidUrl};
pub use enroll::{Enrolled, FlowStatus, Status, enroll, enroll_attested, status};
pub use environment::{EnvFlaw, EnvOffer, environment};
pub use error::{Error, Exit};
pub use exact::{BundleDigest, Exactly, InvalidBundleDigest};
pub use fetch::{DeliveryFlaw, Fetched, Stage, Via};
pub use gc::{CacheSize, Collected, cache_size, clean_cache, gc};
pub use generation::Generation;
pub use health::{Health, Unhealthy};
pub use history::{Entry, history};
pub use http::{HttpTransport, Probe, Token};
pub use identity::{DeviceKey, Unopened, recipient};
pub use inspect::{inspect_digest, inspect_file, verify_objects};
pub use intact::{Intact, verify};
pub use network::Network;
pub use platform::Platform;
pub use report::report;
pub use settings::{FlowSettings, Settings};
pub use transport::{NetworkError, Offline, Response, Resume, Transport};
pub use trial::{Policy, commit, roll_back};
pub use tuf_client::{Refreshed, TufClient, TufError};
pub use unpack::BundleFlaw;
