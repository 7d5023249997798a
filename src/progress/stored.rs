//! The stages that follow from what is stored.

use colophon_model::{BuildKind, BuildRecord, TenantUid};
use colophon_store::rows::{DeliveryKey, DeliveryRow};
use colophon_store::{Error, View};

use super::hub::Told;
use super::stage::Stage;

/// All stages of a build that was made, or that a gate refused.
pub fn of_record(record: &BuildRecord) -> Told {
    ended(stages(record, None, None))
}

/// The stages of a delivery that was written down. One that is accepted only is still to be worked on.
///
/// # Errors
/// When the store cannot be read.
pub fn of_delivery(
    view: &View,
    tenant: TenantUid,
    key: DeliveryKey,
    row: &DeliveryRow,
) -> Result<Told, Error> {
    let accepted = Stage::accepted(Some(key), row.at);
    if row.outcome == "accepted" {
        return Ok(Told { stages: vec![accepted], ended: false });
    }
    let made = row.build.filter(|_| matches!(row.outcome.as_str(), "built" | "refused"));
    let record = made.map(|build| view.get::<BuildRecord>(&(tenant, build))).transpose()?;
    if let Some(record) = record.flatten() {
        let status = record.failure.is_some().then_some(row.status);
        let mut stages = stages(&record, Some(key), status);
        // An event comes long before the flow that it names is read.
        if let Some(first) = stages.first_mut() {
            *first = accepted;
        }
        return Ok(ended(stages));
    }
    Ok(ended(vec![accepted, end(row)]))
}

fn ended(stages: Vec<Stage>) -> Told {
    Told { stages, ended: true }
}

/// What a build went through. What was not compiled now went through less.
fn stages(record: &BuildRecord, delivery: Option<DeliveryKey>, status: Option<u16>) -> Vec<Stage> {
    let mut stages = vec![Stage::accepted(delivery, record.received)];
    if matches!(record.kind, BuildKind::Delivery | BuildKind::Rebuild { .. }) {
        stages.push(Stage::compiled(record.key, record.name.as_str()));
        stages.push(Stage::gated(&record.gates));
    }
    if record.failure.is_none() {
        stages.push(Stage::committed(record));
    }
    stages.push(Stage::end(record, status));
    stages
}

/// How a delivery ended that led to no build of its own.
fn end(row: &DeliveryRow) -> Stage {
    let (flow, build) = (row.flow.clone(), row.build);
    match &row.code {
        None => Stage::Noop { outcome: row.outcome.clone(), flow, build },
        Some(code) => Stage::Failed { status: Some(row.status), code: code.clone(), flow, build },
    }
}
