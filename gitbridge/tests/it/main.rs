//! The crate from outside: alone, and against stock Git.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod append;
mod cache;
mod clients;
mod cost;
mod differential;
mod export;
mod oracle;
mod packs;
mod pages;
mod paths;
mod protocol;
mod push;
mod support;
mod take;
mod verify;
