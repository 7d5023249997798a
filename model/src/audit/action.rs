//! What can be done.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Declares the actions, their words and the list of all in one place.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $word:literal,)*) => {
        /// What was done: a noun and a verb. A word never gets another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$action => $word,)*
                }
            }
        }
    };
}

actions! {
    /// A flow was delivered and built, or refused.
    BuildMake = "build.make",
    /// A flow was delivered and is as it was.
    BuildNoop = "build.noop",
    /// Flows that stand were compiled again.
    BuildRebuild = "build.rebuild",
    /// A delivery was run again by hand.
    DeliveryReplay = "delivery.replay",
    /// A flow was deleted.
    FlowDelete = "flow.delete",
    /// A flow went back to an earlier build.
    FlowRollback = "flow.rollback",
    /// A flow's encrypted environment was set.
    EnvironmentSet = "environment.set",
    /// A flow's encrypted environment was removed.
    EnvironmentRemove = "environment.remove",
    /// A tenant was created.
    TenantCreate = "tenant.create",
    /// A tenant was suspended.
    TenantSuspend = "tenant.suspend",
    /// A suspended tenant was let in again.
    TenantResume = "tenant.resume",
    /// A tenant was made read-only.
    TenantArchive = "tenant.archive",
    /// An archived tenant was taken up again.
    TenantRestore = "tenant.restore",
    /// Settings of a tenant were changed.
    TenantChange = "tenant.change",
    /// A tenant was erased.
    TenantErase = "tenant.erase",
    /// What a tenant built was exported for its auditors.
    TenantExport = "tenant.export",
    /// A tenant was made from what was exported of it.
    TenantImport = "tenant.import",
    /// What was exported of a tenant was restored aside, for trial.
    ExportDrill = "export.drill",
    /// A tenant was put under legal hold: it may not be erased.
    TenantHold = "tenant.hold",
    /// A legal hold was lifted.
    TenantRelease = "tenant.release",
    /// A key was made that exports are sealed with.
    KeyCreate = "key.create",
    /// Such a key took the place of another.
    KeyRotate = "key.rotate",
    /// Copies of such a key were encrypted for operators and put elsewhere.
    KeyCopy = "key.copy",
    /// Such a key was handed out.
    KeyReveal = "key.reveal",
    /// A token was made.
    TokenCreate = "token.create",
    /// A token was replaced by another.
    TokenRotate = "token.rotate",
    /// A token was revoked.
    TokenRevoke = "token.revoke",
    /// A new webhook secret came into use.
    SecretRotate = "secret.rotate",
    /// A webhook secret was revoked.
    SecretRevoke = "secret.revoke",
    /// A hook was made.
    HookCreate = "hook.create",
    /// A hook was removed.
    HookDelete = "hook.delete",
    /// An endpoint for events was made.
    EndpointCreate = "endpoint.create",
    /// An endpoint was set anew.
    EndpointChange = "endpoint.change",
    /// An endpoint was removed.
    EndpointDelete = "endpoint.delete",
    /// An endpoint that failed for too long, or wants nothing more, was disabled.
    EndpointDisable = "endpoint.disable",
    /// A new secret of an endpoint came into use.
    EndpointRotate = "endpoint.rotate",
    /// A secret of an endpoint was revoked.
    EndpointRevoke = "endpoint.revoke",
    /// A test event was sent to an endpoint.
    EndpointTest = "endpoint.test",
    /// Events were sent to an endpoint again.
    EndpointReplay = "endpoint.replay",
    /// An upstream repository was set.
    MirrorSet = "mirror.set",
    /// An upstream repository was taken away.
    MirrorClear = "mirror.clear",
    /// A halted mirror was set going again.
    MirrorRetry = "mirror.retry",
    /// Edge metadata was signed anew.
    EdgeResign = "edge.resign",
    /// A key of the edge repository was replaced.
    EdgeRotate = "edge.rotate",
    /// Agents were sent back to an earlier bundle.
    EdgeRollback = "edge.rollback",
    /// The edge repository was archived.
    EdgeArchive = "edge.archive",
    /// The edge repository was taken up again.
    EdgeRestore = "edge.restore",
    /// A bundle was brought to the bucket for bundles.
    ArtifactUpload = "artifact.upload",
    /// A bundle that had ended was taken out of that bucket.
    ArtifactRemove = "artifact.remove",
    /// Roots were imported from a ceremony.
    RootsImport = "roots.import",
    /// Bundles, blobs or the repository were read.
    ContentRead = "content.read",
    /// The audit log was read or exported.
    AuditRead = "audit.read",
    /// Tags and bundles that had ended were purged.
    StorePurge = "store.purge",
    /// Garbage was collected.
    StoreCollect = "store.collect",
    /// The store was checked.
    StoreCheck = "store.check",
    /// A backup was made.
    StoreBackup = "store.backup",
    /// The store was made from a backup: what came after that is not in it.
    StoreRestore = "store.restore",
    /// Git objects were made anew.
    GitRebuild = "git.rebuild",
    /// A repository was exported.
    GitExport = "git.export",
    /// Somebody logged in at the console.
    ConsoleLogin = "console.login",
    /// A request had no good credential.
    AccessRefuse = "access.refuse",
    /// The server began to serve.
    ServerStart = "server.start",
    /// The server stopped in good order.
    ServerStop = "server.stop",
}

/// A word that names no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action")]
pub struct InvalidAction(String);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Action {
    type Err = InvalidAction;
    fn from_str(text: &str) -> Result<Self, InvalidAction> {
        let found = Self::ALL.iter().copied().find(|action| action.word() == text);
        found.ok_or_else(|| InvalidAction(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Action {
    type Error = InvalidAction;
    fn try_from(text: String) -> Result<Self, InvalidAction> {
        text.parse()
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.word().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_noun_and_a_verb_and_parse_back() {
        for action in Action::ALL {
            let (noun, verb) = action.word().split_once('.').unwrap();
            assert!([noun, verb].iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase())));
            assert_eq!(action.word().parse(), Ok(*action));
        }
        assert!("build.explode".parse::<Action>().is_err());
    }
}
