//! The real `edge-fetch` program against a server in the test that can misbehave.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod agent;
mod archived;
mod atomic;
mod attacks;
mod attested;
mod bucket;
mod bundles;
mod commands;
mod conformance;
mod exact;
#[path = "../../../trust/tests/it/forge.rs"]
#[expect(dead_code, reason = "the forger knows more tricks than these tests need")]
mod forge;
#[cfg(target_os = "linux")]
mod full;
mod offline;
mod refusals;
mod reports;
mod resume;
mod rotation;
mod secrets;
mod server;
mod sync;
mod table;
mod tls;
mod transfer;
mod trials;
mod zips;
