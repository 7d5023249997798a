//! The service and its command line: wiring and policy. Rules live in the crates beside this one.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deltas;
pub mod evidence;
pub mod feed;
pub mod gates;
pub mod heal;
pub mod http;
pub mod keys;
pub mod maintenance;
pub mod mirror;
pub mod pipeline;
pub mod projection;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod templates;
pub mod tenants;
pub mod tokens;
pub mod turnstile;
pub mod units;
pub mod upkeep;
pub mod wheels;
pub mod zips;
