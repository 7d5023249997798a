//! Tests of the store through its public interface.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without may panic")]

mod audit;
mod backup;
mod crash;
mod damage;
mod deltas;
mod disk_contract;
mod era;
mod erase;
mod failing;
mod format;
mod fsck;
mod gc;
mod group;
mod healing;
mod kv_contract;
mod lane;
mod machine;
mod model;
mod opening;
mod quota;
mod retention;
mod rows;
mod sim;
mod space;
mod support;
mod tenancy;
mod tmpfs;
mod turns;
mod workload;
mod world;
