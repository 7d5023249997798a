//! The HTTP surface.

mod agents;
mod auth;
mod blobs;
mod body;
mod branches;
mod build_view;
mod builds;
mod bundles;
pub mod deliveries;
mod delivering;
mod edge;
mod edge_url;
mod environments;
mod error;
mod etag;
mod evidence;
pub mod flows;
mod git;
mod git_stream;
mod health;
mod hooks;
mod maintenance;
mod metadata;
pub mod mirrors;
mod operator;
mod path;
mod representation;
mod router;
mod schema;
mod sender;
mod sync;
pub mod tenants;
mod transfer;
pub mod webhooks;

pub use error::{ApiError, chain};
pub use router::router;
