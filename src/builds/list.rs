//! Builds, newest first.

use colophon_model::{BuildId, BuildKey, BuildKind, BuildRecord, FlowId, Oid, Target, TenantUid};
use colophon_store::rows::BuildNumber;
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};

/// Builds in a page at most.
pub const PAGE: usize = 200;
/// Builds in a page, when nobody says how many.
const USUAL: usize = 50;
/// Records that one request looks at, whatever it filters.
const LOOKED_AT: usize = 2_000;

/// Which builds are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildFilter {
    /// At most so many, 1 to 200; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those before this one: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Those of one flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowId>,
    /// Those that were made, or that a gate refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Those that made something for this target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// What became of a build.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = BuildOutcome)]
pub enum Outcome {
    /// It was made
    Built,
    /// A gate refused it
    Failed,
}

/// What led to a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BuildKind)]
pub enum Kind {
    /// A flow was delivered.
    Delivery,
    /// The tenant's flows were compiled again.
    Rebuild,
    /// The flow was deleted.
    Deletion,
    /// Agents got an older bundle under a new number.
    Rollback,
    /// Somebody went back to an earlier build.
    Reverted,
}

/// A page of builds, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BuildPage {
    /// The builds.
    pub builds: Vec<BuildSummary>,
    /// `cursor` of the next page; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A build in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BuildSummary {
    /// Its id.
    #[schema(value_type = String)]
    pub id: BuildId,
    /// The tenant's count of builds, from 1.
    pub number: u64,
    /// Of which flow.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The flow's display name.
    pub name: String,
    /// What led to it.
    pub kind: Kind,
    /// What became of it.
    pub outcome: Outcome,
    /// The flow's revision, when it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Identity of the outputs.
    #[schema(value_type = String)]
    pub key: BuildKey,
    /// The commit; of a build that was refused, the tip that stayed.
    #[schema(value_type = String)]
    pub commit: Oid,
    /// The time in the tags and in the commit.
    pub built_at: String,
    /// For which targets something was made.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<Target>,
    /// The build that was gone back to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub reverted_to: Option<BuildId>,
}

impl BuildSummary {
    /// What `record` says.
    pub fn new(record: &BuildRecord) -> Self {
        let reverted_to = match record.kind {
            BuildKind::Reverted { to } => Some(to),
            _ => None,
        };
        Self {
            id: record.id,
            number: record.number,
            flow: record.flow.clone(),
            name: record.name.clone(),
            kind: Kind::of(record.kind),
            outcome: Outcome::of(record),
            revision: record.revision,
            key: record.key,
            commit: record.commit,
            built_at: record.stamp.time().rfc3339(),
            targets: record.outputs.iter().map(|output| output.target).collect(),
            reverted_to,
        }
    }
}

impl Kind {
    const fn of(kind: BuildKind) -> Self {
        match kind {
            BuildKind::Delivery => Self::Delivery,
            BuildKind::Rebuild { .. } => Self::Rebuild,
            BuildKind::Deletion => Self::Deletion,
            BuildKind::Rollback => Self::Rollback,
            BuildKind::Reverted { .. } => Self::Reverted,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Rebuild => "rebuild",
            Self::Deletion => "deletion",
            Self::Rollback => "rollback",
            Self::Reverted => "reverted",
        }
    }
}

impl Outcome {
    /// What became of the build with this record.
    pub const fn of(record: &BuildRecord) -> Self {
        if record.failure.is_some() { Self::Failed } else { Self::Built }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Failed => "failed",
        }
    }
}

impl BuildFilter {
    /// Whether `limit` is one that a page can have.
    pub fn is_sound(&self) -> bool {
        self.limit.is_none_or(|limit| (1..=PAGE).contains(&limit))
    }

    fn passes(&self, record: &BuildRecord) -> bool {
        let has = |target| record.outputs.iter().any(|output| output.target == target);
        self.flow.as_ref().is_none_or(|flow| *flow == record.flow)
            && self.outcome.is_none_or(|outcome| outcome == Outcome::of(record))
            && self.target.is_none_or(has)
    }
}

impl BuildPage {
    /// The builds of `tenant` that the filter lets through. A page may be short with more to come: one
    /// request looks at 2,000 records.
    pub fn read(view: &View, tenant: TenantUid, filter: &BuildFilter) -> Result<Self, Error> {
        let limit = filter.limit.unwrap_or(USUAL).clamp(1, PAGE);
        let mut numbers = view.scan::<BuildNumber>(&tenant).descending();
        if let Some(cursor) = filter.cursor {
            numbers = numbers.starting_at(&(tenant, cursor));
        }
        let (mut builds, mut last) = (Vec::new(), None);
        for (looked, row) in numbers.enumerate() {
            let ((_, number), BuildNumber { build }) = row?;
            if Some(number) == filter.cursor {
                continue;
            }
            // Only now: a page that is full has a next one when there is one more build.
            if builds.len() == limit || looked >= LOOKED_AT {
                return Ok(Self { builds, next: last.map(|number: u64| number.to_string()) });
            }
            last = Some(number);
            let record = view.get::<BuildRecord>(&(tenant, build))?;
            let record = record.filter(|record| filter.passes(record));
            builds.extend(record.as_ref().map(BuildSummary::new));
        }
        Ok(Self { builds, next: None })
    }
}
