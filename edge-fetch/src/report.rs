//! What the server is told about this machine. Nothing depends on whether it listens.

use colophon_model::{Digest, FlowId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::activation::flow_state;
use crate::disk;
use crate::{Cache, Config, DeviceKey, Error, FlowState, HttpTransport, Platform};

/// The same report is sent again after this long, in milliseconds: an hour. It says that the machine
/// is there.
const AGAIN: u64 = 60 * 60 * 1000;

/// The body of a report.
#[derive(Debug, Serialize)]
struct Report<'a> {
    device: &'a str,
    name: &'a str,
    version: &'a str,
    os: &'a str,
    arch: &'a str,
    flows: Vec<ReportedFlow>,
    recipient: Option<String>,
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ReportedFlow {
    flow: FlowId,
    seq: u64,
    tree: Digest,
    state: &'static str,
    since: UnixMillis,
}

/// What was told last: `state/reported`.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    digest: Digest,
    at: UnixMillis,
}

/// Tells the server what runs here, unless it was told the same within the hour. True when a report
/// was sent.
///
/// # Errors
/// When the server did not take it. What runs here is not changed by that.
pub fn report(
    cache: &Cache,
    transport: &HttpTransport,
    platform: &Platform,
    now: UnixMillis,
    error: Option<&str>,
) -> Result<bool, Error> {
    let config = cache.config()?;
    let Some(body) = body(cache, &config, platform, error)? else { return Ok(false) };
    let digest = Digest::of(&body);
    let path = cache.dir().join("state").join("reported");
    let told = disk::read(&path)?.and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
    let recent = |told: &Told| now.get() < told.at.get().saturating_add(AGAIN);
    if told.is_some_and(|told| told.digest == digest && recent(&told)) {
        return Ok(false);
    }
    transport.post("edge/report", &body)?;
    disk::replace(&path, &json(&Told { digest, at: now }))?;
    Ok(true)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it has only string keys")
}

/// Nothing where enrolment has drawn no id.
fn body(
    cache: &Cache,
    config: &Config,
    platform: &Platform,
    error: Option<&str>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(device) = config.device.as_deref() else { return Ok(None) };
    let mut flows = Vec::new();
    for flow in cache.flows()? {
        flows.extend(reported(&flow_state(cache, &flow)?, flow));
    }
    let report = Report {
        device,
        name: config.name.as_deref().unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
        os: platform.os(),
        arch: platform.arch(),
        flows,
        // Without a key that can be used, the rest of the report still counts.
        recipient: DeviceKey::find(cache).ok().flatten().map(|key| key.recipient()),
        error,
    };
    Ok(Some(json(&report)))
}

fn reported(state: &FlowState, flow: FlowId) -> Option<ReportedFlow> {
    let current = state.current()?;
    let seq = current.generation.seq();
    let word = if state.pending.is_some() {
        "pending"
    } else if state.bad.iter().any(|bad| bad.seq > seq) {
        "rolled_back"
    } else {
        "active"
    };
    Some(ReportedFlow { flow, seq, tree: current.tree, state: word, since: current.since })
}
