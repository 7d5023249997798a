//! Checking a store: every row, every blob, and whether they agree with each other.
//!
//! Blobs are read in short snapshots, so a check of a large store does not keep deleted rows from
//! being reused. Rows are compared in one.

mod blobs;
mod rests;
mod tenant;

pub(crate) use blobs::stray_inline;
pub(crate) use rests::stray_rests;

use std::borrow::Cow;

use std::fmt::{Display, Write};

use colophon_model::{Digest, TenantUid};
use serde::{Deserialize, Serialize};

use crate::progress::{Progress, Report};
use crate::{Error, KeyRange, Pace, Store, Table, View, rows};

/// Problems listed at most; all are counted.
const LISTED: usize = 1000;

/// What a check looks at, and whether it repairs.
#[derive(Debug, Clone, Copy)]
pub struct FsckOptions {
    /// Read and hash every blob. Otherwise only look whether its bytes are where they should be.
    pub read_blobs: bool,
    /// Repair what can be repaired without loss.
    pub repair: bool,
    /// How much of the time it takes.
    pub pace: Pace,
}

/// Finds the bytes of a damaged blob elsewhere, such as in the Git log.
pub trait Heal {
    /// Bytes that may be those of `digest`, which `tenant` has. The store checks them.
    fn bytes(&self, view: &View, tenant: TenantUid, digest: &Digest) -> Option<Vec<u8>>;
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind, such as `E_BLOB_DAMAGED`. Stable.
    pub code: Cow<'static, str>,
    /// Where: a table and key, a digest, a tenant.
    pub place: String,
    /// What, in words.
    pub message: String,
    /// Whether it is no more.
    pub repaired: bool,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsckReport {
    /// Rows that were decoded.
    pub rows: u64,
    /// Tenants whose rows were compared.
    pub tenants: u64,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Bytes that were read and hashed.
    pub bytes: u64,
    /// Blobs that were damaged and are whole again.
    pub healed: u64,
    /// The first thousand problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub total_problems: u64,
    /// Those that are repaired.
    pub repaired: u64,
}

impl FsckReport {
    /// Whether nothing is wrong, or nothing any more.
    pub const fn is_clean(&self) -> bool {
        self.total_problems == self.repaired
    }

    /// Adds a problem that another check found.
    pub fn add(&mut self, problem: Problem) {
        self.total_problems += 1;
        self.repaired += u64::from(problem.repaired);
        if self.problems.len() < LISTED {
            self.problems.push(problem);
        }
    }

    fn problem(&mut self, code: &'static str, place: impl Display, message: impl Display) {
        let (place, message) = (place.to_string(), message.to_string());
        self.add(Problem { code: code.into(), place, message, repaired: false });
    }
}

impl Store {
    /// Checks the whole store. With `heal`, damaged blobs are repaired from what it finds.
    pub fn fsck(
        &self,
        options: &FsckOptions,
        heal: Option<&dyn Heal>,
        report: Report<'_>,
    ) -> Result<FsckReport, Error> {
        let _turn = self.maintenance()?;
        let mut found = FsckReport::default();
        report(Progress::begin("checking rows"));
        check_rows(&self.view()?, &mut found)?;
        if found.total_problems > 0 {
            return Ok(found);
        }
        report(Progress::begin("checking tenants"));
        tenant::check_all(&self.view()?, &mut found)?;
        blobs::check(self, *options, heal, report, &mut found)?;
        Ok(found)
    }
}

/// Decodes every row. Where one does not, the check ends: nothing can be concluded from the others.
fn check_rows(view: &View, found: &mut FsckReport) -> Result<(), Error> {
    for table in Table::ALL {
        let scanned = view.snapshot().visit(*table, &KeyRange::prefix(b""), &mut |key, value| {
            found.rows += 1;
            if let Err(error) = rows::decodes(*table, key, value) {
                found.problem("E_ROW", place(*table, key), error);
            }
            true
        });
        scanned.map_err(Error::Read)?;
    }
    Ok(())
}

fn place(table: Table, key: &[u8]) -> String {
    let mut place = format!("{table} ");
    for byte in key.iter().take(64) {
        let _ = write!(place, "{byte:02x}"); // a String takes all
    }
    place
}
