//! One bag, from what the store has to its place in the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use colophon_model::audit::Chain;
use colophon_model::{Digest, Sha256};
use colophon_store::rows::{ExportBlob, ExportPlace};
use colophon_store::{Progress, View};
use colophon_trust::note::Checkpoint;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::{Increment, Run, There};
use crate::audit::origin_of;
use crate::export::bag::{Bag, Body, Info};
use crate::export::blobs::carry;
use crate::export::cursor::Cursor;
use crate::export::envelope::Sealer;
use crate::export::error::ExportError;
use crate::export::guide;
use crate::export::head::Head;
use crate::export::increment::{Content, Until, collect};
use crate::export::layout;
use crate::export::ledger::reached;
use crate::export::place::{Failure, Version};
use crate::export::upload::Put;

impl Run<'_> {
    /// Makes one bag and moves `HEAD.json` to it.
    pub(super) fn increment(
        &self,
        there: &There,
        until: Until,
        row: &mut ExportPlace,
    ) -> Result<Increment, ExportError> {
        let (content, mirror, _lease) = {
            let view = self.press.store.view()?;
            let content = collect(&view, self.tenant, &there.cursor(), until)?;
            let mirror = self.mirror(&view, &content)?;
            (content, mirror, view.lease())
        };
        let digests: BTreeSet<Digest> = content.references.iter().map(|name| name.digest).collect();
        let sealer = self.sealer_of(row)?;
        let moving = (&self.runtime, &self.carrier);
        let wanted = (&digests, sealer);
        let carried = carry(moving, &self.ledger, wanted, self.config.concurrency, self.report)?;
        let mut payload = self.payload(&content, mirror, &carried.all)?;
        if let Some(sealer) = sealer {
            payload = self.seal(sealer, &content, payload, &carried.all)?;
        }
        let bag = Bag::close(
            &Info {
                tenant: &self.tenant.slug,
                time: content.time,
                since: &content.since,
                after: &content.after,
                previous: there.previous(),
                key: &self.public.bags,
                checkpoint: &self.public.checkpoints,
                sealed: sealer.map(Sealer::key),
                keys: &self.public.files,
            },
            payload,
        )?;
        let mut made = Increment {
            name: bag.name.clone(),
            builds: content.records.len() as u64,
            lines: content.after.audit.seq - content.since.audit.seq,
            blobs: carried.written,
            objects: carried.written,
            bytes: carried.bytes,
            tagmanifest: bag.sha256,
            key: sealer.map(|sealer| sealer.key().clone()),
        };
        self.ledger.check()?;
        self.runtime.block_on(self.send(&bag, row, &mut made))?;
        let head = self.runtime.block_on(self.conclude(there, &content.after, &bag))?;
        reached(row, &content.after);
        self.remember(row, &head);
        row.planned = None;
        row.sealed = row.sealed.max(self.ledger.place()?.sealed) + u64::from(sealer.is_some());
        self.ledger.set(row)?;
        Ok(made)
    }

    fn mirror(&self, view: &View, content: &Content) -> Result<Option<Body>, ExportError> {
        let Some(git) = &content.git else { return Ok(None) };
        let file = tempfile::tempfile_in(self.aside).map_err(ExportError::Aside)?;
        git.write(view, self.tenant, &file)?;
        Ok(Some(Body::File(Arc::new(file))))
    }

    /// The files below `data/`.
    fn payload(
        &self,
        content: &Content,
        mirror: Option<Body>,
        blobs: &BTreeMap<Digest, ExportBlob>,
    ) -> Result<BTreeMap<String, Body>, ExportError> {
        let mut files = BTreeMap::new();
        let mut put =
            |path: &str, text: String| files.insert(path.to_owned(), Body::Bytes(text.into()));
        if let Some(tenant) = &content.tenant {
            put(layout::TENANT, json(tenant) + "\n");
        }
        if !content.records.is_empty() {
            put(layout::BUILDS, content.records.iter().map(|record| json(record) + "\n").collect());
        }
        if !content.lines.is_empty() {
            put(&layout::audit(content.since.audit.seq + 1), content.lines.clone());
        }
        if let Some(edge) = &content.edge {
            put(layout::EDGE, json(edge) + "\n");
        }
        let chain = Chain::Tenant(self.tenant.uid);
        let end = &content.after.audit;
        let signed = Checkpoint {
            origin: origin_of(self.press, chain),
            size: end.seq,
            root: end.peaks.root(),
        };
        put(layout::CHECKPOINT, self.press.keys.note_key().sign(&signed));
        if !content.references.is_empty() {
            put(layout::BLOB_LIST, list(content, blobs)?);
        }
        if !content.omitted.is_empty() {
            let lines = content.omitted.iter().map(|(zip, what)| format!("{zip} {what} ended\n"));
            put(layout::OMITTED, lines.collect::<Vec<_>>().concat());
        }
        let view = self.press.store.view()?;
        for (path, digest) in &content.documents {
            let lost = || ExportError::Blob { digest: *digest };
            let bytes = view.read_blob(self.tenant.uid, digest)?.ok_or_else(lost)?;
            files.insert(path.clone(), Body::Bytes(bytes.into()));
        }
        files.extend(mirror.map(|body| (layout::MIRROR.to_owned(), body)));
        Ok(files)
    }

    /// Writes the files of a bag, its signature last.
    async fn send(
        &self,
        bag: &Bag,
        row: &mut ExportPlace,
        made: &mut Increment,
    ) -> Result<(), ExportError> {
        let beside = self.fingerprint();
        let mut count = |put: Put, length: u64| {
            if put == Put::Written {
                made.objects += 1;
                made.bytes += length;
            }
        };
        if row.keys != Some(beside) {
            let keys = self.public.files.iter().map(|(path, text)| (path.clone(), text.as_str()));
            for (path, text) in keys.chain([(guide::path(), guide::TEXT)]) {
                let (bytes, sha256) = (Bytes::from(text.to_owned()), Sha256::of(text.as_bytes()));
                let put = self.carrier.bytes(&self.carrier.key(&path), bytes, sha256).await?;
                count(put, text.len() as u64);
            }
            row.keys = Some(beside);
        }
        let total = Some(bag.items.len() as u64);
        let items = bag.items.iter().map(|item| async move {
            let key = self.carrier.key(&bag.name.file(&item.path));
            Ok::<_, ExportError>((self.carrier.item(&key, item).await?, item.length))
        });
        let mut sent = futures_util::stream::iter(items).buffer_unordered(self.config.concurrency);
        let mut done = 0;
        while let Some((put, length)) = sent.try_next().await? {
            done += 1;
            self.ledger.check()?;
            (self.report)(Progress { stage: "exporting files", done, total });
            count(put, length);
        }
        let signature = Bytes::copy_from_slice(&self.key.sign(&bag.manifest));
        let (sha256, length) = (Sha256::of(&signature), signature.len() as u64);
        let key = self.carrier.key(&bag.name.file(layout::SIGNATURE));
        count(self.carrier.bytes(&key, signature, sha256).await?, length);
        Ok(())
    }

    /// Tells what lies beside the bags, public keys and how to check, from what another version or master key puts there.
    fn fingerprint(&self) -> Sha256 {
        let parts = [self.public.fingerprint(), *guide::SHA256];
        Sha256::of(parts.map(|part| *part.as_bytes()).as_flattened())
    }

    /// Moves `HEAD.json`, if it is still what it was. Returns the version that it is then.
    async fn conclude(
        &self,
        there: &There,
        after: &Cursor,
        bag: &Bag,
    ) -> Result<Version, ExportError> {
        let head = Head::new(after.clone(), bag.name.clone(), bag.sha256, self.owner(), &self.key);
        let (key, bytes) = (self.carrier.key(layout::HEAD), head.sign(&self.key));
        let place = self.carrier.place;
        let mut over = there.version.clone();
        for attempt in 1.. {
            let write = async || place.replace(&key, bytes.clone(), over.as_ref()).await;
            match self.carrier.again(write).await {
                Ok(version) => return Ok(version),
                Err(Failure::There) => {}
                Err(failure) => return Err(failure.into_trouble(&key).into()),
            }
            // The answer to the write that moved it may have been lost; or nobody has moved it, and the store could not
            // decide between two (409).
            let found = self.carrier.find(&key).await?.map(|(_, version)| version);
            if let Some(version) = found.as_ref().filter(|found| *found.bytes() == bytes) {
                return Ok(version.clone());
            }
            let same = found.as_ref().map(Version::bytes) == over.as_ref().map(Version::bytes);
            if !same || attempt >= self.config.attempts {
                break;
            }
            // It says what it said; only its name may be another than was remembered.
            over = found;
            self.carrier.pause(attempt).await;
        }
        Err(ExportError::Overtaken(bag.name.clone()))
    }
}

/// A line for each name of a blob: SHA-256, size, BLAKE3, key, and the name.
fn list(content: &Content, blobs: &BTreeMap<Digest, ExportBlob>) -> Result<String, ExportError> {
    let mut text = String::new();
    for name in &content.references {
        let digest = name.digest;
        let ExportBlob { sha256, size, key } =
            blobs.get(&digest).ok_or(ExportError::Blob { digest })?;
        let key = key.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{sha256} {size} {digest} {key} {}", name.path); // a String takes all
    }
    Ok(text)
}

/// JSON with sorted members and without white space.
fn json(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap_or_default().to_string()
}
