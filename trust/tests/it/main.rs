//! Tests of the public API of colophon-trust, in one binary.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod ceremony;
mod client;
mod delta;
mod environment;
mod forge;
mod lifecycle;
mod p256;
mod publish;
mod python_tuf;
mod sync;
