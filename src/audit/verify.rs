//! The check of a chain, as an auditor does it.

use colophon_model::Sha256;
use colophon_model::audit::{Chain, ChainHead, Walk};
use colophon_store::rows::{AuditCheckpoint, AuditHead, AuditLine, AuditOrigin, SlugOf};
use colophon_store::{Error, View};
use colophon_trust::note::NoteVerifier;
use serde::{Deserialize, Serialize};

/// What the check of all chains has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Each chain.
    pub chains: Vec<ChainReport>,
}

/// What the check of one chain has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainReport {
    /// The chain: `system`, or a tenant's uid.
    pub chain: Chain,
    /// The tenant's name, when it is one's.
    pub tenant: Option<String>,
    /// How many lines are good.
    pub entries: u64,
    /// The root over them (RFC 6962 §2.1).
    pub root: Sha256,
    /// Checkpoints that fit.
    pub checkpoints: u64,
    /// How many lines the last one of them is over.
    pub signed_up_to: u64,
    /// Entries that say where they came from.
    pub origins: u64,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<String>,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.chains.iter().all(|chain| chain.problems.is_empty())
    }
}

/// Checks a chain of the store from its first line to its head: every link, every checkpoint against the root
/// of its time, every origin that is still kept against what the line commits to.
///
/// # Errors
/// When the store cannot be read. What is wrong with the chain is in the report.
pub fn verify(view: &View, chain: Chain, key: &NoteVerifier) -> Result<ChainReport, Error> {
    let uid = chain.uid();
    let tenant = view.get::<SlugOf>(&uid)?.map(|row| row.slug.to_string());
    let mut check = Check::new(chain, tenant, key);
    for row in view.scan::<AuditLine>(&uid) {
        let ((_, seq), AuditLine(line)) = row?;
        if !check.line(&line) {
            return Ok(check.report);
        }
        if let Some(kept) = view.get::<AuditOrigin>(&(uid, seq))? {
            check.origin(seq, &line, kept.origin.commitment());
        }
        if let Some(kept) = view.get::<AuditCheckpoint>(&(uid, seq))? {
            check.checkpoint(&kept.note);
        }
    }
    let newest = view.scan::<AuditCheckpoint>(&uid).descending().next().transpose()?;
    if let Some(((_, size), _)) = newest {
        check.reaches(size);
    }
    check.head(&view.get::<AuditHead>(&uid)?.unwrap_or_default().0);
    Ok(check.finish())
}

/// Checks lines that were exported, and the notes of checkpoints that came with them.
pub fn verify_lines<'a>(
    chain: Chain,
    lines: impl Iterator<Item = &'a str>,
    notes: &[String],
    key: &NoteVerifier,
) -> ChainReport {
    let mut check = Check::new(chain, None, key);
    let mut sizes: Vec<(u64, &String)> = Vec::new();
    for note in notes {
        match key.open(note) {
            Ok(signed) => sizes.push((signed.size, note)),
            Err(error) => check.problem(error.to_string()),
        }
    }
    for line in lines {
        if !check.line(line) {
            return check.report;
        }
        let size = check.walk.size();
        sizes.iter().filter(|(at, _)| *at == size).for_each(|(_, note)| check.checkpoint(note));
    }
    for (size, _) in &sizes {
        check.reaches(*size);
    }
    check.finish()
}

/// A check under way.
struct Check<'a> {
    walk: Walk,
    key: &'a NoteVerifier,
    origin: String,
    report: ChainReport,
}

impl<'a> Check<'a> {
    fn new(chain: Chain, tenant: Option<String>, key: &'a NoteVerifier) -> Self {
        let walk = Walk::new(chain);
        let report = ChainReport {
            chain,
            tenant,
            entries: 0,
            root: walk.root(),
            checkpoints: 0,
            signed_up_to: 0,
            origins: 0,
            problems: Vec::new(),
        };
        Self { origin: format!("{}/audit/{chain}", key.name()), walk, key, report }
    }

    fn problem(&mut self, text: String) {
        self.report.problems.push(text);
    }

    /// Whether the walk can go on.
    fn line(&mut self, line: &str) -> bool {
        match self.walk.step(line) {
            Ok(_) => {
                self.report.entries = self.walk.size();
                true
            }
            Err(broken) => {
                self.problem(broken.to_string());
                self.report.root = self.walk.root();
                false
            }
        }
    }

    fn origin(&mut self, seq: u64, line: &str, commitment: Sha256) {
        self.report.origins += 1;
        if !line.contains(&format!("\"origin\":\"{commitment}\"")) {
            self.problem(format!("where line {seq} came from is not what the line commits to"));
        }
    }

    fn checkpoint(&mut self, note: &str) {
        let size = self.walk.size();
        match self.key.open(note) {
            Ok(signed) if signed.origin != self.origin => {
                self.problem(format!("the checkpoint over {size} lines is of `{}`", signed.origin));
            }
            Ok(signed) if (signed.size, signed.root) != (size, self.walk.root()) => {
                self.problem(format!("the checkpoint over {size} lines has another root"));
            }
            Ok(_) => {
                self.report.checkpoints += 1;
                self.report.signed_up_to = size;
            }
            Err(error) => self.problem(format!("the checkpoint over {size} lines: {error}")),
        }
    }

    /// A chain that was cut is shorter than what was signed of it.
    fn reaches(&mut self, size: u64) {
        if size > self.walk.size() {
            self.problem(format!("a checkpoint is over {size} lines, and there are fewer"));
        }
    }

    fn head(&mut self, head: &ChainHead) {
        if !self.walk.ends_at(head) {
            self.problem(format!("the chain should end with line {}", head.seq));
        }
    }

    fn finish(mut self) -> ChainReport {
        self.report.root = self.walk.root();
        self.report
    }
}
