//! Running a delivery, and writing down what became of it.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use colophon_store::rows::{DeliveryKey, DeliveryRow, TenantRow};
use tokio::sync::oneshot;

use super::ApiError;
use super::rate_limit::RateLimit;
use crate::intake::log::{Draft, Entry};
use crate::keys::random_bytes;
use crate::pipeline::{BuildError, Delivery, Finished, Outcome, Press};
use crate::progress::Stage;

/// Names the delivery in the log, in every answer to one that was proven.
const DELIVERY: HeaderName = HeaderName::from_static("colophon-delivery");

/// What is logged of a delivery beside its content.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    /// How it was proven.
    pub(super) by: &'static str,
    /// Generation of the secret.
    pub(super) secret: Option<u32>,
    /// Address of the sender.
    pub(super) from: Option<IpAddr>,
    /// What the sender calls it.
    pub(super) id: Option<String>,
    /// The delivery that is run again.
    pub(super) replay_of: Option<DeliveryKey>,
}

/// What became of a delivery, and its name in the log.
pub(super) struct Told {
    pub(super) key: DeliveryKey,
    pub(super) result: Result<Finished, ApiError>,
    /// What is left of the quota, when it was asked for.
    pub(super) left: Option<RateLimit>,
}

/// Who is told the name of a delivery before it is known what becomes of it.
pub(super) type Announce = oneshot::Sender<DeliveryKey>;

/// Runs a delivery that began at `start`. What leads to a build is logged with it, the rest soon after. With
/// `announce` the delivery is told of while it is worked on.
pub(super) fn run(
    press: &Press,
    mut delivery: Delivery,
    about: About,
    (start, gate_status): (Instant, u16),
    announce: Option<Announce>,
) -> Result<Told, ApiError> {
    let draft = draft(&delivery, about, (start, gate_status))?;
    let key = draft.key;
    let _running = announce.map(|announce| {
        let running = press.deliveries.begin(delivery.tenant.uid, &draft);
        let _ = announce.send(key); // nobody waits for it when the sender has gone
        running
    });
    delivery.origin.log = Some(draft.clone());
    let (tenant, body) = (delivery.tenant.clone(), delivery.body.clone());
    let track = press.progress.begin(tenant.uid, key, delivery.received);
    delivery.origin.watch = track.watch();
    let (row, body, result) = match press.run(delivery) {
        Ok(finished) => {
            track.end(Stage::done(&finished.outcome));
            match finished.outcome {
                Outcome::Built(_) => {
                    let left = Some(RateLimit::read(press, &tenant)?);
                    return Ok(Told { key, result: Ok(finished), left });
                }
                ref outcome => {
                    (draft.unchanged(outcome.word(), outcome.record()), None, Ok(finished))
                }
            }
        }
        Err(error) => {
            let told = ApiError::build(&error).gate_status(gate_status);
            track.end(Stage::refused(&error, told.status(), told.code()));
            if matches!(error, BuildError::Gate(_)) {
                let left = Some(RateLimit::read(press, &tenant)?);
                return Ok(Told { key, result: Err(told), left });
            }
            let flow = error.flow().cloned();
            let row = DeliveryRow { flow, ..draft.refused(told.status(), told.code()) };
            // One that is in work will be answered; its body is not worth keeping twice.
            let body = (!matches!(error, BuildError::InFlight)).then_some(body);
            (row, body, Err(told))
        }
    };
    // A no-op is free, so it is spared the look.
    let left = if row.status == 429 { Some(RateLimit::read(press, &tenant)?) } else { None };
    press.deliveries.push(Entry { tenant, key, row, body });
    Ok(Told { key, result, left })
}

/// The answer to a delivery that is remembered to change nothing. It is logged as one that [`run`] finds to be
/// so; `None` says nothing.
pub(super) fn remembered(
    press: &Press,
    delivery: &Delivery,
    about: About,
    at: (Instant, u16),
) -> Option<Told> {
    let finished = press.run_remembered(delivery)?;
    let draft = draft(delivery, about, at).ok()?;
    let (key, outcome) = (draft.key, &finished.outcome);
    let row = draft.unchanged(outcome.word(), outcome.record());
    press.deliveries.push(Entry { tenant: delivery.tenant.clone(), key, row, body: None });
    Some(Told { key, result: Ok(finished), left: None })
}

/// The answer to a delivery that was refused for what it is, before there was a flow to look at. It is logged as any
/// other, without its body: that is no flow, and cannot be run again.
pub(super) fn refused(press: &Press, tenant: &TenantRow, draft: Draft, refused: ApiError) -> Told {
    let key = draft.key;
    let row = draft.refused(refused.status(), refused.code());
    press.deliveries.push(Entry { tenant: tenant.clone(), key, row, body: None });
    Told { key, result: Err(refused), left: None }
}

/// The delivery's row, to be written when it is known what became of it.
pub(super) fn draft(
    delivery: &Delivery,
    about: About,
    (start, gate_status): (Instant, u16),
) -> Result<Draft, ApiError> {
    let random = random_bytes().map_err(|e| ApiError::internal(&e))?;
    let key = DeliveryKey::new(delivery.received, random);
    Ok(Draft { key, row: row(delivery, about), start, gate_status })
}

/// What is known before anything becomes of it.
fn row(delivery: &Delivery, about: About) -> DeliveryRow {
    let About { by, secret, from, id, replay_of } = about;
    DeliveryRow {
        at: delivery.received,
        by: by.to_owned(),
        secret,
        from: from.map(|address| address.to_string()),
        id,
        signed: delivery.origin.signed,
        replay_of,
        body: delivery.digest(),
        size: delivery.body.len() as u64,
        outcome: String::new(),
        status: 0,
        code: None,
        flow: None,
        build: None,
        micros: 0,
    }
}

/// `response` with the name of the delivery that it answers.
pub(super) fn named(mut response: Response, key: DeliveryKey) -> Response {
    if let Ok(value) = HeaderValue::from_str(&key.to_string()) {
        response.headers_mut().insert(DELIVERY, value);
    }
    response
}
