//! The search for a target through the delegations (specification §5.6.7), without any I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use colophon_model::UnixMillis;
use serde::Deserialize as _;

use super::delegation::{Delegations, RoleName};
use super::envelope::Document;
use super::{MetaFile, Role, RoleKeys, Target, Targets, TrustedSnapshot, percent_encoded};
use crate::Error;
use crate::limits::MAX_DELEGATIONS;

/// A walk in pre-order, depth first: [`Self::wanted`] names the next file, [`Self::supply`] takes it,
/// until [`Self::found`] has the target or nothing is wanted.
#[derive(Debug)]
pub struct Search {
    snapshot: TrustedSnapshot,
    path: String,
    found: Option<Target>,
    visited: BTreeSet<RoleName>,
    /// The next role is the last one.
    ahead: Vec<Pending>,
}

/// A role that may have the target, and whose word that is.
#[derive(Debug)]
struct Pending {
    role: RoleName,
    grant: RoleKeys,
    delegator: Arc<Delegations>,
}

/// A file that the search needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the role, percent-encoded.
    pub role: String,
    /// The name of its file, relative to the repository's URL of metadata.
    pub file: String,
    /// The most bytes that it may have.
    pub limit: u64,
}

impl Search {
    pub(super) fn new(
        snapshot: TrustedSnapshot,
        targets: &Targets,
        path: &str,
    ) -> Result<Self, Error> {
        let (path, visited) = (path.to_owned(), BTreeSet::new());
        let mut search = Self { snapshot, path, found: None, visited, ahead: Vec::new() };
        search.visit(targets)?;
        Ok(search)
    }

    /// What the delegations say about the target; `None` while nobody has named it.
    pub const fn found(&self) -> Option<&Target> {
        self.found.as_ref()
    }

    /// The next file to get, or `None` at the end of the search.
    ///
    /// # Errors
    /// [`Error::TooManyDelegations`], and [`Error::Unlisted`] for a role that the snapshot leaves out.
    pub fn wanted(&mut self) -> Result<Option<Wanted>, Error> {
        // The same role may be trusted by two others: what it says the first time holds.
        while self.ahead.pop_if(|next| self.visited.contains(&next.role)).is_some() {}
        let Some(next) = self.ahead.last() else { return Ok(None) };
        if self.visited.len() == MAX_DELEGATIONS {
            return Err(Error::TooManyDelegations);
        }
        let (role, meta) = (percent_encoded(next.role.as_str()), self.announced(&next.role)?);
        let file = self.snapshot.versioned(&role, meta.version);
        Ok(Some(Wanted { file, limit: meta.limit(Role::Targets)?, role }))
    }

    /// Takes the bytes of the file that [`Self::wanted`] named.
    ///
    /// # Errors
    /// As for every file, within [`Error::Delegated`]. The search is as before then, so that other
    /// bytes may be tried.
    pub fn supply(&mut self, bytes: &[u8], now: UnixMillis) -> Result<(), Error> {
        let Some(next) = self.ahead.last() else { return Ok(()) };
        let meta = self.announced(&next.role)?;
        let within = |source| Error::Delegated {
            name: next.role.as_str().to_owned(),
            source: Box::new(source),
        };
        let document = Document::<Targets>::announced(bytes, meta, now, |document| {
            document.verify(&next.delegator.keys, &next.grant)
        })
        .map_err(within)?;
        let role = next.role.clone();
        self.ahead.pop();
        self.visited.insert(role);
        self.visit(&document.signed.body)
    }

    fn announced(&self, role: &RoleName) -> Result<&MetaFile, Error> {
        self.snapshot.listed().of(role.as_str())
    }

    fn visit(&mut self, targets: &Targets) -> Result<(), Error> {
        if let Some(json) = targets.targets.get(&self.path) {
            let target = Target::deserialize(json)
                .map_err(|source| Error::Malformed { role: Role::Targets, source })?;
            self.found = Some(target);
            self.ahead.clear();
            return Ok(());
        }
        if let Some(delegations) = &targets.delegations {
            self.delegate(delegations);
        }
        Ok(())
    }

    fn delegate(&mut self, delegations: &Delegations) {
        let delegator = Arc::new(delegations.clone());
        let mut children = Vec::new();
        for delegate in delegations.for_path(&self.path) {
            let (role, grant) = (delegate.name, delegate.grant.clone());
            children.push(Pending { role, grant, delegator: Arc::clone(&delegator) });
            if delegate.terminating {
                self.ahead.clear();
                break;
            }
        }
        self.ahead.extend(children.into_iter().rev());
    }
}
