//! Exports that the server makes by itself: by the clock, and after builds.
//!
//! Whether a tenant is to be exported to a place is for the store and the clock to say: when it was last, which builds the
//! place lacks, and when it may be tried again. A build leaves a row in the outbox in its own transaction, so that only
//! tenants are looked at that built; once in a while all are.
//!
//! Exports run in places of their own, beside builds and maintenance. Nothing is lost when they are cut: what lies at a
//! place tells where to go on.

mod drills;
mod due;
mod lacks;
mod ledger;
mod rest;
mod status;
mod worker;

pub use drills::{DrillTurn, drill_turn};
pub use lacks::{Lacks, lacks};
pub use status::{Count, ExportStatus, KeysLeft, Phase, counts, list, status};
pub use worker::Exporter;
