//! What differs between two builds, file by file, and in their lines if that is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use colophon_model::{ArtifactPath, BuildId, BuildRecord, Digest, FileMode, Target, TenantUid};
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::BuildFiles;

/// Largest file whose lines are compared, in bytes.
const FILE: u64 = 256 * 1024;
/// Text of all unified diffs of an answer, in bytes.
const ALL: usize = 1024 * 1024;
/// How long lines are compared. Past it a diff is correct and no longer the shortest, and files that were not
/// looked at are left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// What leads from one build to another.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diff {
    /// The build that it leads from.
    #[schema(value_type = String)]
    pub from: BuildId,
    /// The build that it leads to.
    #[schema(value_type = String)]
    pub to: BuildId,
    /// Files that differ, by path.
    pub files: Vec<DiffFile>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiffFile {
    /// Its path on the branch.
    #[schema(value_type = String)]
    pub path: ArtifactPath,
    /// How it differs.
    pub change: Change,
    /// As it was; left out when it was added.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Side>,
    /// As it is; left out when it was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Side>,
    /// Its lines as a unified diff. Only when asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unified: Option<String>,
    /// Why there is no unified diff, though it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub omitted: Option<Omitted>,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DiffChange)]
pub enum Change {
    /// Only the later build has it.
    Added,
    /// Its bytes or its mode are others.
    Changed,
    /// Only the earlier build has it.
    Removed,
}

/// A file of one of the two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DiffSide)]
pub struct Side {
    /// For which target it was made.
    #[schema(value_type = String)]
    pub target: Target,
    /// Its mode.
    #[schema(value_type = String)]
    pub mode: FileMode,
    /// BLAKE3 of its bytes.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

/// Why there is no unified diff of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Omitted {
    /// It is no text.
    Binary,
    /// It has more than 256 KiB.
    TooLarge,
    /// The answer has 1 MiB of diffs already.
    TooMuch,
    /// The time for diffs was over.
    TooSlow,
    /// Its bytes are not there.
    Gone,
}

impl Change {
    /// It in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// The letter that Git has for it.
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'M',
            Self::Removed => 'D',
        }
    }
}

impl Diff {
    /// The files that differ.
    pub fn of(before: &BuildRecord, after: &BuildRecord) -> Self {
        let (mut old, new) = (sides(before), sides(after));
        let mut files = Vec::new();
        for (path, side) in new {
            let was = old.remove(&path);
            if was.is_some_and(|was| (was.mode, was.digest) == (side.mode, side.digest)) {
                continue;
            }
            files.push(DiffFile::new(path, was, Some(side)));
        }
        files.extend(old.into_iter().map(|(path, was)| DiffFile::new(path, Some(was), None)));
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self { from: before.id, to: after.id, files }
    }

    /// Adds unified diffs with so many lines of context, as far as size and time allow.
    pub fn with_lines(
        mut self,
        view: &View,
        tenant: TenantUid,
        context: usize,
    ) -> Result<Self, Error> {
        let (end, mut left) = (Instant::now() + PATIENCE, ALL);
        for file in &mut self.files {
            match file.lines(view, tenant, (context, end, left))? {
                Ok(text) => {
                    left -= text.len();
                    file.unified = Some(text);
                }
                Err(omitted) => file.omitted = Some(omitted),
            }
        }
        Ok(self)
    }
}

impl DiffFile {
    fn new(path: ArtifactPath, before: Option<Side>, after: Option<Side>) -> Self {
        let change = match (&before, &after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        Self { path, change, before, after, unified: None, omitted: None }
    }

    fn lines(
        &self,
        view: &View,
        tenant: TenantUid,
        (context, end, left): (usize, Instant, usize),
    ) -> Result<Result<String, Omitted>, Error> {
        if Instant::now() >= end {
            return Ok(Err(Omitted::TooSlow));
        }
        let old = text(view, tenant, self.before)?;
        let new = text(view, tenant, self.after)?;
        let (old, new) = match (old, new) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(omitted), _) | (_, Err(omitted)) => return Ok(Err(omitted)),
        };
        let unified = unified(self, (&old, &new), context, end);
        Ok(if unified.len() > left { Err(Omitted::TooMuch) } else { Ok(unified) })
    }
}

fn sides(record: &BuildRecord) -> BTreeMap<ArtifactPath, Side> {
    let files = BuildFiles::of(record).files.into_iter();
    let side = |file: super::BuildFile| {
        let super::BuildFile { target, path, mode, digest, size } = file;
        (path, Side { target, mode, digest, size })
    };
    files.map(side).collect()
}

/// The text of a file; that of none is empty.
fn text(
    view: &View,
    tenant: TenantUid,
    side: Option<Side>,
) -> Result<Result<String, Omitted>, Error> {
    let Some(side) = side else { return Ok(Ok(String::new())) };
    if side.size > FILE {
        return Ok(Err(Omitted::TooLarge));
    }
    let Some(bytes) = view.read_blob(tenant, &side.digest)? else { return Ok(Err(Omitted::Gone)) };
    if bytes.contains(&0) {
        return Ok(Err(Omitted::Binary));
    }
    Ok(String::from_utf8(bytes).map_err(|_| Omitted::Binary))
}

fn unified(file: &DiffFile, (old, new): (&str, &str), context: usize, end: Instant) -> String {
    let none = "/dev/null".to_owned();
    let name = |side: &Option<Side>, letter: char| match side {
        Some(_) => format!("{letter}/{}", file.path),
        None => none.clone(),
    };
    let (before, after) = (name(&file.before, 'a'), name(&file.after, 'b'));
    let diff = TextDiff::configure().deadline(end).diff_lines(old, new);
    diff.unified_diff().context_radius(context).header(&before, &after).to_string()
}
