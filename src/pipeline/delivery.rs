//! A flow as it comes in.

use std::sync::OnceLock;

use axum::body::Bytes;
use colophon_compiler::{Limits, without_layout};
use colophon_model::{Digest, Target, UnixMillis};
use colophon_store::rows::TenantRow;

use super::BuildError;
use crate::intake::log::Draft;
use crate::progress::Watch;

/// A flow as delivered, from a tenant whose credential has been checked.
#[derive(Debug)]
pub struct Delivery {
    /// Whose flow.
    pub tenant: TenantRow,
    /// The JSON as received.
    pub body: Bytes,
    /// When.
    pub received: UnixMillis,
    /// What came with it.
    pub origin: Origin,
    /// BLAKE3 of `body`, taken once.
    digest: Digest,
    /// The same without layout, taken when it is asked for.
    shape: OnceLock<Option<Digest>>,
}

/// What comes with a delivery and tells it from others: earlier, later, or the same once more.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Digest of the name that the sender gave it, such as [`crate::intake::DeliveryId::claim`] makes. The
    /// build claims it.
    pub claim: Option<Digest>,
    /// When it was signed. Orders flows that have no revision.
    pub signed: Option<UnixMillis>,
    /// Whether content that was replaced is taken again when neither revision nor time orders it.
    pub repeats: bool,
    /// The only target that may be built for; `None`: every one.
    pub only: Option<Target>,
    /// What is written of it in the transaction of its build.
    pub log: Option<Draft>,
    /// Who is told of its stages.
    pub watch: Watch,
}

impl Delivery {
    /// A flow with nothing beside it.
    pub fn new(tenant: TenantRow, body: impl Into<Bytes>, received: UnixMillis) -> Self {
        let body = body.into();
        let digest = Digest::of(&body);
        Self::named(tenant, body, digest, received)
    }

    /// The same with a body of which the digest is known.
    pub(crate) fn named(
        tenant: TenantRow,
        body: Bytes,
        digest: Digest,
        received: UnixMillis,
    ) -> Self {
        let (origin, shape) = (Origin::default(), OnceLock::new());
        Self { tenant, body, received, origin, digest, shape }
    }

    /// The same with what came beside it.
    #[must_use]
    pub fn with(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// BLAKE3 of the body.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What is the same for bodies that differ in their layout alone, once one of them was read
    /// ([`without_layout`]).
    pub(super) fn shape(&self, limits: &Limits) -> Option<Digest> {
        *self.shape.get_or_init(|| without_layout(&self.body, limits))
    }

    /// When it was made, as far as it is known: signed, or received. What was signed before a flow's head
    /// was made must not replace it.
    pub fn made(&self) -> UnixMillis {
        self.origin.signed.unwrap_or(self.received)
    }

    /// Whether a flow with parts for these targets may be delivered so.
    pub(super) fn check(
        &self,
        mut targets: impl Iterator<Item = Target>,
    ) -> Result<(), BuildError> {
        match self.origin.only.filter(|only| targets.any(|target| target != *only)) {
            Some(only) => Err(BuildError::OtherTarget { only }),
            None => Ok(()),
        }
    }
}
