//! The HTTP surface.

mod admin;
mod agents;
mod auth;
mod blobs;
mod body;
mod branches;
mod build_view;
mod builds;
mod bundles;
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
mod maintenance;
mod metadata;
pub mod mirrors;
mod observe;
mod operator;
mod path;
mod representation;
mod router;
mod schema;
mod sync;
pub mod tenants;
mod transfer;

pub use admin::admin_router;
pub use auth::webhook_signature;
pub use error::{ApiError, chain};
pub use router::router;
