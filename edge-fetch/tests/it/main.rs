//! The real `edge-fetch` program against a server in the test that can misbehave.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod agent;
mod atomic;
mod bundles;
mod commands;
#[path = "../../../trust/tests/it/forge.rs"]
#[expect(dead_code, reason = "the forger knows more tricks than these tests need")]
mod forge;
mod refusals;
mod reports;
mod resume;
mod rotation;
mod secrets;
mod server;
mod tls;
mod transfer;
mod trials;
mod zips;
