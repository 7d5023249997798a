//! The service from outside: HTTP, stock git, the real edge-fetch binary, python-tuf.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod activepieces;
mod attest;
mod bad_input;
mod ci;
mod cli;
mod crash;
mod demo;
mod disk_full;
mod edge_agents;
mod edge_ceremony;
mod edge_env;
mod edge_lifecycle;
mod edge_updates;
mod edge_zip;
mod erase;
mod flows;
mod gates;
mod gates_hostile;
mod git_bounds;
mod git_files;
mod git_http;
mod git_rebuild;
mod git_refs;
mod isolation;
mod layering;
mod maintenance;
mod metrics;
mod mirror;
mod mirror_cli;
mod mirror_faults;
mod operations;
mod order;
mod other_clients;
mod press_runs;
mod python_tuf;
mod quota;
mod recompile;
mod render;
mod schema;
mod signatures;
mod support;
mod telemetry;
mod tenant_guard;
mod transfer;
