//! Carries blobs to a place: read one after the other, sent several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use colophon_model::{Digest, Sha256};
use colophon_store::rows::ExportBlob;
use colophon_store::{Progress, Report, Store};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::envelope::Sealer;
use super::error::ExportError;
use super::layout;
use super::ledger::Ledger;
use super::upload::{Carrier, Put};

/// Memory for blobs on their way, in KiB; one that is larger goes alone.
const BUDGET: u32 = 48 << 10;
/// Blobs that are written down together as exported.
const BATCH: usize = 512;

/// What was carried.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Every blob that was asked for, as it lies there.
    pub(super) all: BTreeMap<Digest, ExportBlob>,
    /// Blobs that were written.
    pub(super) written: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// A blob that was read, as it is sent, with its share of the memory.
struct Read {
    digest: Digest,
    bytes: Bytes,
    sha256: Sha256,
    key: Option<String>,
    _room: OwnedSemaphorePermit,
}

/// Carries those of `digests` that are not known to be there as they are wanted: sealed with the key of `sealer`, or plain.
pub(super) fn carry(
    (runtime, carrier): (&Runtime, &Carrier<'_>),
    ledger: &Ledger<'_>,
    (digests, sealer): (&BTreeSet<Digest>, Option<&Sealer>),
    concurrency: usize,
    report: Report<'_>,
) -> Result<Carried, ExportError> {
    let key = sealer.map(|sealer| sealer.key().to_string());
    let mut all = ledger.known(digests.iter().copied())?;
    all.retain(|_, row| row.key == key);
    let mut there = Carried { all, ..Carried::default() };
    let wanted: Vec<Digest> =
        digests.iter().filter(|digest| !there.all.contains_key(digest)).copied().collect();
    if wanted.is_empty() {
        return Ok(there);
    }
    let (sender, receiver) = mpsc::channel(concurrency);
    std::thread::scope(|scope| {
        let (store, tenant, handle) = (ledger.store, ledger.tenant.uid, runtime.handle().clone());
        let (wanted, key) = (&wanted, &key);
        scope.spawn(move || {
            let room = Arc::new(Semaphore::new(BUDGET as usize));
            for digest in wanted {
                let read = read(store, tenant, *digest).and_then(|bytes| {
                    let share = u32::try_from(bytes.len() >> 10).unwrap_or(BUDGET).clamp(1, BUDGET);
                    let room = handle.block_on(room.clone().acquire_many_owned(share));
                    let room = room.map_err(|_| ExportError::Blob { digest: *digest })?;
                    let bytes = sealer.map_or_else(|| bytes.clone(), |sealer| sealer.seal(&bytes));
                    let (sha256, key) = (Sha256::of(&bytes), key.clone());
                    Ok(Read { digest: *digest, bytes, sha256, key, _room: room })
                });
                let last = read.is_err();
                // Nobody takes it any more when another one failed.
                if sender.blocking_send(read).is_err() || last {
                    return;
                }
            }
        });
        runtime.block_on(send(
            carrier,
            ledger,
            receiver,
            (concurrency, wanted.len() as u64),
            report,
            &mut there,
        ))
    })?;
    Ok(there)
}

fn read(
    store: &Store,
    tenant: colophon_model::TenantUid,
    digest: Digest,
) -> Result<Bytes, ExportError> {
    let lost = || ExportError::Blob { digest };
    Ok(store.view()?.read_blob(tenant, &digest)?.ok_or_else(lost)?.into())
}

async fn send(
    carrier: &Carrier<'_>,
    ledger: &Ledger<'_>,
    mut receiver: mpsc::Receiver<Result<Read, ExportError>>,
    (concurrency, total): (usize, u64),
    report: Report<'_>,
    there: &mut Carried,
) -> Result<(), ExportError> {
    let (mut sending, mut done, mut fresh, mut ended) =
        (FuturesUnordered::new(), 0, Vec::new(), false);
    let outcome = loop {
        tokio::select! {
            read = receiver.recv(), if !ended && sending.len() < concurrency => match read {
                Some(Ok(read)) => sending.push(one(carrier, read)),
                // What is not there any more of who was erased is no damage.
                Some(Err(error)) => break Err(ledger.check().err().unwrap_or(error)),
                None => ended = true,
            },
            Some(sent) = sending.next(), if !sending.is_empty() => {
                let (digest, row, put) = match sent {
                    Ok(sent) => sent,
                    Err(error) => break Err(error),
                };
                if put == Put::Written {
                    there.written += 1;
                    there.bytes += row.size;
                }
                fresh.push((digest, row));
                done += 1;
                // Of who is erased meanwhile nothing more is sent.
                if let Err(error) = ledger.check() {
                    break Err(error);
                }
                report(Progress { stage: "exporting blobs", done, total: Some(total) });
                if fresh.len() >= BATCH {
                    settle(ledger, &mut fresh, there)?;
                }
            }
            else => break Ok(()),
        }
    };
    // What is there is there, whatever failed beside it.
    settle(ledger, &mut fresh, there)?;
    outcome
}

fn settle(
    ledger: &Ledger<'_>,
    fresh: &mut Vec<(Digest, ExportBlob)>,
    there: &mut Carried,
) -> Result<(), ExportError> {
    ledger.exported(fresh)?;
    there.all.extend(fresh.drain(..));
    Ok(())
}

async fn one(carrier: &Carrier<'_>, read: Read) -> Result<(Digest, ExportBlob, Put), ExportError> {
    let row = ExportBlob { sha256: read.sha256, size: read.bytes.len() as u64, key: read.key };
    let put =
        carrier.bytes(&carrier.key(&layout::blob(&read.sha256)), read.bytes, read.sha256).await?;
    Ok((read.digest, row, put))
}
