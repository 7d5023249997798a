//! The section `intake`.

use serde::{Deserialize, Serialize};

use super::Retention;
use crate::units::{Size, Span};

/// How deliveries are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// How far the time that a delivery was signed at may be from the server's, either way.
    pub tolerance: Span,
    /// Most bodies of refused deliveries that are kept for a tenant.
    pub refused_bodies: usize,
    /// Most bytes of them.
    pub refused_bytes: Size,
    /// Whether builders' APIs are read over `http://` from other machines too. Keys then go unprotected.
    pub plain_http: bool,
}

impl Default for Intake {
    /// Five minutes is what the libraries of Standard Webhooks take.
    fn default() -> Self {
        Self {
            tolerance: Span::seconds(300),
            refused_bodies: 100,
            refused_bytes: Size::mib(16),
            plain_http: false,
        }
    }
}

impl Intake {
    /// What is wrong with it.
    pub(super) fn problems(&self, retention: &Retention) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1_000..=3_600_000).contains(&self.tolerance.millis()) {
            problems.push("`intake.tolerance` must be 1 s to 1 h".to_owned());
        }
        // They are all looked at when one more comes.
        if self.refused_bodies > 10_000 {
            problems.push("`intake.refused_bodies` must be at most 10000".to_owned());
        }
        // Before that a delivery is in time, and only its id may tell that it was there.
        if retention.delivery_ids.millis() < self.tolerance.millis() * 2 {
            let text = "`retention.delivery_ids` must be at least twice `intake.tolerance`";
            problems.push(text.to_owned());
        }
        problems
    }
}
