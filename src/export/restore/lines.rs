//! The audit log, byte for byte.

use colophon_model::UnixMillis;
use colophon_model::audit::{Action, Chain, ChainHead, Walk};
use colophon_store::rows::{AuditCheckpoint, AuditHead, AuditLine};
use colophon_store::{Progress, Report};

use super::error::content;
use super::source::Source;
use super::writer::Writer;
use super::{RestoreError, Surveyed, check};
use crate::audit::origin_of;
use crate::export::layout;
use crate::pipeline::Press;

/// Writes every line, and the checkpoints that this server's key has signed. Returns how often a webhook secret
/// was replaced.
pub(super) async fn lines(
    press: &Press,
    source: &Source<'_>,
    from: &Surveyed,
    report: Report<'_>,
) -> Result<u32, RestoreError> {
    let (uid, end) = (from.tenant.uid, &from.proven.head.cursor.audit);
    let chain = Chain::Tenant(uid);
    let (mut walk, mut head) = (Walk::new(chain), ChainHead::default());
    let mut rotations = 0;
    let mut writer = Writer::new(&press.store, uid);
    let verifier = press.keys.note_key().verifier();
    for bag in &from.proven.bags {
        let path = layout::audit(walk.size() + 1);
        for line in source.text(bag, &path).await?.lines() {
            let at = || bag.name.file(&path);
            let entry = walk.step(line).map_err(|error| content(at(), error.to_string()))?;
            let time = time(&entry.time).ok_or_else(|| content(at(), "has a time that is none"))?;
            head = head.follow(line, time);
            rotations += u32::from(entry.action == Action::SecretRotate);
            writer.put(&(uid, head.seq), &AuditLine(line.to_owned()))?;
            report(Progress {
                stage: "restoring the audit log",
                done: head.seq,
                total: Some(end.seq),
            });
        }
        let note = source.text(bag, layout::CHECKPOINT).await?;
        // Notes of another key stay evidence at the place; here they would be of a stranger.
        let own = verifier.open(&note);
        if own
            .is_ok_and(|signed| signed.size == head.seq && signed.origin == origin_of(press, chain))
        {
            writer.put(&(uid, head.seq), &AuditCheckpoint { at: head.time, note })?;
        }
    }
    check(head == *end, layout::HEAD, "names another end of the audit log")?;
    writer.put(&uid, &AuditHead(head))?;
    writer.flush()?;
    Ok(rotations)
}

/// Milliseconds of the RFC 3339 time of a line.
fn time(text: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(UnixMillis::new)
}
