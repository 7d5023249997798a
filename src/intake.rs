//! Deliveries: how they prove where they are from, and what tells one from another.
//!
//! What is here knows headers and bytes, and neither tenants' rows nor the store, except for
//! `secrets.rs`. A proof is checked over the raw body before anything is parsed.

mod delivery_id;
mod flight;
pub mod flush;
pub mod hooks;
pub mod log;
mod proof;
pub mod pull;
pub mod pulls;
pub mod secrets;

pub use delivery_id::{DeliveryId, InvalidDeliveryId, idempotency_key};
pub use flight::{Flight, Flights};
pub(crate) use proof::standard_signature;
pub use proof::{Key, MAX_KEYS, Proof, Scheme, Tag, Verified, legacy_signature};
