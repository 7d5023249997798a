//! The section `intake`.

use serde::{Deserialize, Serialize};

use super::Retention;
use crate::units::Span;

/// How deliveries are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// How far the time that a delivery was signed at may be from the server's, either way.
    pub tolerance: Span,
}

impl Default for Intake {
    /// Five minutes is what the libraries of Standard Webhooks take.
    fn default() -> Self {
        Self { tolerance: Span::seconds(300) }
    }
}

impl Intake {
    /// What is wrong with it.
    pub(super) fn problems(&self, retention: &Retention) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1_000..=3_600_000).contains(&self.tolerance.millis()) {
            problems.push("`intake.tolerance` must be 1 s to 1 h".to_owned());
        }
        // Before that a delivery is in time, and only its id may tell that it was there.
        if retention.delivery_ids.millis() < self.tolerance.millis() * 2 {
            let text = "`retention.delivery_ids` must be at least twice `intake.tolerance`";
            problems.push(text.to_owned());
        }
        problems
    }
}
