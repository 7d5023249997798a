//! Events for others: builds, told by signed webhooks to endpoints that a tenant has set.
//!
//! A build that an endpoint wants to know of leaves an event and, for each such endpoint, a row in a queue in
//! its own transaction (`announce.rs`). A worker of the running server takes what is due, one at a time for
//! each endpoint (`worker.rs`), sends it (`client.rs`) and writes down what came of it (`ledger.rs`). An event
//! is sent at least once, under the same id and with the same bytes each time.
//!
//! Endpoints are set by tenants, and a server stands where tenants do not: `policy.rs` says where may be sent
//! to, `resolver.rs` holds every connection to it.

mod address;
mod announce;
mod client;
mod event;
mod ledger;
mod manage;
mod policy;
mod replay;
mod resolver;
mod retry;
mod state;
mod url;
mod views;
mod worker;

pub(crate) use announce::hears_of_noops;
pub use event::{EventKind, InvalidKind};
pub use manage::{
    EndpointError, NewEndpointSecret, SetEndpoint, create, delete, revoke, rotate, show, update,
};
pub use policy::{Allowed, Forbidden, InvalidAllowed, Policy};
pub use replay::{Queued, Replay, replay, test};
pub use url::{EndpointUrl, InvalidUrl};
pub use views::{
    AttemptFilter, AttemptList, AttemptView, CreatedEndpoint, EndpointList, EndpointPhase,
    EndpointView, EventFilter, EventList, EventView, MOST, attempts, endpoints, event, events,
    late, phases,
};
pub use worker::Notifier;

/// What the rest of the program knows of where events go.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    /// Where may be sent to.
    pub policy: Policy,
    /// URL under which receivers reach this server, without a final slash.
    pub public_url: String,
}
