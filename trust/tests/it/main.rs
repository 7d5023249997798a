//! Tests of the public API of colophon-trust, in one binary.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod client;
mod delta;
mod forge;
mod publish;
mod python_tuf;
