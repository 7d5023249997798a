//! Whether a place refuses what it must refuse. A store that takes a condition or a lock and does not heed it looks
//! like one that does, until something is lost; so each is tried once before anything is trusted to it.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::error::{ExportError, Trouble};
use super::place::{Failure, Lock, LockMode, Place, Reply, Signed};
use super::upload::{Carrier, Retry};
use crate::keys::random_bytes;

/// Writers at once, of which one may win.
const RACERS: usize = 4;
/// For how long the probe of locks locks its object.
const MOMENT: Duration = Duration::from_mins(1);

/// What a place can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Conditional writes hold, also in a race.
    pub conditional: bool,
    /// Versions are kept. Not asked for where nothing is locked.
    pub versions: Option<bool>,
    /// Locks hold. Not asked for where nothing is locked.
    pub locks: Option<bool>,
}

/// Whether the place answers, and lets itself be read; each request is made once. Nothing is written.
///
/// # Errors
/// Why it cannot be exported to.
pub fn reach(place: &Place) -> Result<(), ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let once = Retry { attempts: 1, first: Duration::ZERO };
    let carrier = Carrier::new(place, String::new(), 0, once);
    runtime.map_err(ExportError::Aside)?.block_on(async {
        bucket(&carrier).await?;
        carrier.find("v1/.probe/nothing").await.map(drop)
    })
}

/// Tries the place. Trouble is what keeps it from being used as it is configured.
pub(super) async fn probe(
    carrier: &Carrier<'_>,
    allow_unconditional: bool,
) -> Result<Probe, ExportError> {
    let place = carrier.place;
    let name = format!("v1/.probe/{}", hex::encode(random_bytes::<8>().unwrap_or_default()));
    bucket(carrier).await?;
    let conditional = match conditions(carrier, &name).await? {
        Ok(()) => true,
        Err(failed) if place.lock().is_some() => {
            return Err(worm(&failed).into());
        }
        Err(failed) if !allow_unconditional => {
            let text = format!("{} has no conditional writes: {failed}", place.url());
            return Err(Trouble::new("export-unconditional", text)
                .hint("two exporters at once could write over each other; with `--allow-unconditional` you say that there is one only")
                .into());
        }
        Err(_) => false,
    };
    let (versions, locks) = match place.lock() {
        Some(_) => {
            locks(carrier, &format!("{name}-lock")).await?.map_err(|failed| worm(&failed))?;
            (Some(true), Some(true))
        }
        None => (None, None),
    };
    Ok(Probe { conditional, versions, locks })
}

fn worm(failed: &str) -> Trouble {
    Trouble::new("export-no-worm", format!("the place does not keep what is locked: {failed}"))
        .hint(
            "make the bucket with object lock, on a store that has it; or take `export.lock` away",
        )
}

/// Makes sure that there is a bucket: some stores make one for whoever writes to it.
async fn bucket(carrier: &Carrier<'_>) -> Result<(), ExportError> {
    let place = carrier.place;
    let Some(signed) = &place.signed else { return Ok(()) };
    let name = place.url().to_string();
    let listed = carrier
        .again(async || {
            let reply = signed.ask(Method::GET, "", "?list-type=2&max-keys=1").await?;
            if reply.status.is_success() { Ok(()) } else { Err(reply.into_failure(&name)) }
        })
        .await;
    Ok(listed.map_err(|failure| failure.into_trouble(&name))?)
}

/// What a probe found: nothing wrong, or which one failed.
type Found = Result<(), String>;

async fn conditions(carrier: &Carrier<'_>, name: &str) -> Result<Found, ExportError> {
    let place = carrier.place;
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let answered = |failure: Failure| ExportError::from(failure.into_trouble(name));
    carrier.again(async || place.put_unlocked(name, bytes("one")).await).await.map_err(answered)?;
    match carrier.again(async || place.put_unlocked(name, bytes("two")).await).await {
        Err(Failure::There) => {}
        Ok(()) => {
            return Ok(Err(
                "probe `create`: a write with `If-None-Match: *` went over what was there"
                    .to_owned(),
            ));
        }
        Err(failure) => return Err(answered(failure)),
    }
    if place.has_versions_of_etag() {
        match carrier
            .again(async || {
                place.put_over(name, bytes("two"), "\"0123456789abcdef0123456789abcdef\"").await
            })
            .await
        {
            Err(Failure::There) => {}
            Ok(()) => {
                return Ok(Err(
                    "probe `swap`: a write with `If-Match` went over another version".to_owned()
                ));
            }
            Err(failure) => return Err(answered(failure)),
        }
    }
    let race = format!("{name}-race");
    let racers = (0..RACERS).map(|_| place.put_unlocked(&race, bytes("one")));
    let won = join_all(racers).await.iter().filter(|done| done.is_ok()).count();
    for name in [name, &race] {
        place.forget(name).await;
    }
    if won > 1 {
        return Ok(Err(format!(
            "probe `race`: {won} of {RACERS} writers at once were told that theirs is there"
        )));
    }
    Ok(Ok(()))
}

async fn locks(carrier: &Carrier<'_>, name: &str) -> Result<Found, ExportError> {
    let place = carrier.place;
    let Some(signed) = &place.signed else {
        return Ok(Err(format!("probe `lock`: {} has no locks", place.url())));
    };
    let answered = |failure: Failure| ExportError::from(failure.into_trouble(name));
    let versioning = asked(carrier, signed, (Method::GET, "", "?versioning=")).await;
    let versioning = versioning.map_err(answered)?;
    if versioning.element("Status") != Some("Enabled") {
        return Ok(Err("probe `versioning`: the bucket keeps no versions".to_owned()));
    }
    let enabled = match asked(carrier, signed, (Method::GET, "", "?object-lock=")).await {
        Ok(configured) => configured.element("ObjectLockEnabled") == Some("Enabled"),
        // `ObjectLockConfigurationNotFoundError`.
        Err(Failure::Missing) => false,
        Err(failure) => return Err(answered(failure)),
    };
    if !enabled {
        return Ok(Err("probe `object-lock`: the bucket was made without object lock".to_owned()));
    }
    let key = place.full(name).map_err(answered)?;
    let lock = Lock { mode: LockMode::Governance, keep: MOMENT };
    let written = carrier
        .again(async || signed.put_locked(&key, Bytes::from_static(b"probe"), lock).await)
        .await;
    match written {
        // A repeated request finds what the first one wrote.
        Ok(()) | Err(Failure::There) => {}
        Err(failure) => return Err(answered(failure)),
    }
    let told = asked(carrier, signed, (Method::HEAD, &key, "")).await.map_err(answered)?;
    let header = |name: &str| told.headers.get(name).and_then(|value| value.to_str().ok());
    if header("x-amz-object-lock-mode") != Some(lock.mode.word()) {
        return Ok(Err("probe `lock`: a lock that was asked for is not on the object".to_owned()));
    }
    let Some(version) = header("x-amz-version-id") else {
        return Ok(Err("probe `lock`: the object has no version".to_owned()));
    };
    let query = format!("?versionId={version}");
    match asked(carrier, signed, (Method::DELETE, &key, &query)).await {
        Ok(_) => Ok(Err("probe `delete`: an object that is locked was deleted".to_owned())),
        // A store that fails has refused nothing.
        Err(Failure::Trouble(trouble)) if trouble.passing => Err(trouble.into()),
        Err(_) => Ok(Ok(())),
    }
}

/// Asks until there is an answer that stands, which is a success.
async fn asked(
    carrier: &Carrier<'_>,
    signed: &Signed,
    (method, key, query): (Method, &str, &str),
) -> Result<Reply, Failure> {
    let work = async || {
        let reply = signed.ask(method.clone(), key, query).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(reply.into_failure(key)) }
    };
    carrier.again(work).await
}
