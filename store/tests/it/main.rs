//! Tests of the store through its public interface.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without may panic")]

mod crash;
mod damage;
mod failing;
mod group;
mod kv_contract;
mod lane;
mod model;
mod opening;
mod quota;
mod rows;
mod sim;
mod support;
mod tenancy;
