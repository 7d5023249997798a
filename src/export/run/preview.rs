//! What a run would write.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{Digest, Sha256};
use colophon_store::rows::ExportPlace;
use colophon_store::{Progress, View};

use super::{Exported, Increment, Run, There};
use crate::export::envelope::Sealer;
use crate::export::error::ExportError;
use crate::export::increment::{Content, NAMES, collect, fitting, until};
use crate::export::layout::{self, BagName};

impl Run<'_> {
    /// What would be written, with one look at the place.
    pub(super) fn preview(&self, done: &mut Exported) -> Result<(), ExportError> {
        let mut row = self.ledger.place()?;
        let there = self.look_only(&mut row)?;
        let view = self.press.store.view()?;
        let mut since = there.cursor();
        done.sequence = since.sequence;
        let mut seen = BTreeSet::new();
        while let Some(mut next) = until(&view, self.tenant, &since, self.limits())? {
            next.builds = fitting(&view, self.tenant, (since.builds, next.builds), NAMES)?;
            let content = collect(&view, self.tenant, &since, next)?;
            let made = self.estimate(&view, &content, &mut seen, there.head.is_some())?;
            (self.report)(Progress { stage: "looking", done: next.builds, total: None });
            done.bags.push(made);
            since = content.after;
        }
        Ok(())
    }

    /// As [`Self::look`], and changes nothing.
    fn look_only(&self, row: &mut ExportPlace) -> Result<There, ExportError> {
        let found = self.runtime.block_on(self.carrier.find(&self.carrier.key(layout::HEAD)))?;
        match found {
            Some(_) => self.look(row),
            None => Ok(There { head: None, version: None }),
        }
    }

    fn estimate(
        &self,
        view: &View,
        content: &Content,
        seen: &mut BTreeSet<Digest>,
        begun: bool,
    ) -> Result<Increment, ExportError> {
        let digests: BTreeSet<Digest> = content.references.iter().map(|name| name.digest).collect();
        let known =
            if begun { self.ledger.known(digests.iter().copied())? } else { BTreeMap::new() };
        let key = self.key_of_next()?;
        let named = key.as_ref().map(ToString::to_string);
        let mut made = Increment {
            name: BagName::new(content.time, content.after.sequence),
            builds: content.records.len() as u64,
            lines: content.after.audit.seq - content.since.audit.seq,
            blobs: 0,
            objects: 0,
            bytes: content.lines.len() as u64,
            tagmanifest: Sha256::from_bytes([0; 32]),
            key: key.clone(),
        };
        for digest in digests {
            let there = known
                .get(&digest)
                .is_some_and(|row| row.key == named && row.key.is_some() == self.config.encrypt);
            if there || !seen.insert(digest) {
                continue;
            }
            let bytes =
                view.read_blob(self.tenant.uid, &digest)?.ok_or(ExportError::Blob { digest })?;
            made.blobs += 1;
            let length = bytes.len() as u64;
            made.bytes += if self.config.encrypt { Sealer::sealed_len(length) } else { length };
        }
        // Files of every bag: declaration, info, two manifests, signature, checkpoint.
        let usual = [
            content.tenant.is_some(),
            !content.records.is_empty(),
            !content.lines.is_empty(),
            !content.references.is_empty(),
            content.git.is_some(),
            // What is said of a sealed bag to everybody.
            self.config.encrypt && !content.lines.is_empty(),
            self.config.encrypt && !content.references.is_empty(),
        ];
        made.objects = made.blobs
            + 6
            + usual.iter().filter(|is| **is).count() as u64
            + content.documents.len() as u64;
        Ok(made)
    }
}
