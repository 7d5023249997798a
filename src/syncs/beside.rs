//! What an agent needs of a bundle beside its files: secrets, and who made it from what.

use colophon_model::Sha256;
use colophon_store::View;
use colophon_store::rows::{BundleAlias, Document, FlowHead, TenantRow};
use colophon_trust::EnvName;
use colophon_trust::sync::{Answer, Answers, Changed};

use super::SyncError;

/// Most files of either kind in a frame, and most bytes of both together: the others are asked for one by
/// one.
const FILES: usize = 32;
const BYTES: usize = 256 * 1024;

/// What an agent asks for with `with=`. One that does not say it gets neither: it would not use them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct With {
    /// `env`: encrypted environments that are others by now.
    pub env: bool,
    /// `provenance`: the envelopes about bundles that are others by now.
    pub provenance: bool,
}

impl With {
    /// Reads words with commas between them. Those of newer agents are left out.
    pub fn parse(text: &str) -> Self {
        let has = |word| text.split(',').any(|one| one == word);
        Self { env: has("env"), provenance: has("provenance") }
    }
}

/// Adds what is wanted of the bundles that changed, and is as its own path would give it.
pub(super) fn add(
    view: &View,
    tenant: &TenantRow,
    with: With,
    changed: &[Changed],
    answers: &mut Answers,
) -> Result<(), SyncError> {
    let mut room = BYTES;
    let mut put = |path: &str, bytes: Option<Vec<u8>>| {
        let Some(bytes) = bytes.filter(|bytes| bytes.len() <= room) else { return };
        let length = bytes.len();
        if answers.add(path, Answer::File(bytes)) {
            room -= length;
        }
    };
    let envs = changed.iter().filter_map(|one| one.env.as_ref()).filter(|_| with.env);
    for (name, sha256) in envs.take(FILES) {
        put(&format!("targets/{}", name.file_name(sha256)), env(view, tenant, name, sha256)?);
    }
    let attested = changed.iter().filter_map(|one| one.attested).filter(|_| with.provenance);
    for zip in attested.take(FILES) {
        put(&format!("bundles/{zip}/provenance.json"), provenance(view, tenant, &zip)?);
    }
    Ok(())
}

/// The ciphertext, while it is the current one.
fn env(
    view: &View,
    tenant: &TenantRow,
    name: &EnvName,
    sha256: &Sha256,
) -> Result<Option<Vec<u8>>, SyncError> {
    let head = view.get::<FlowHead>(&(tenant.uid, name.flow().clone()))?;
    let env = head.and_then(|head| head.env).filter(|env| env.sha256 == *sha256);
    Ok(env.map(|env| view.read_blob(tenant.uid, &env.digest)).transpose()?.flatten())
}

fn provenance(view: &View, tenant: &TenantRow, zip: &Sha256) -> Result<Option<Vec<u8>>, SyncError> {
    let alias = view.get::<BundleAlias>(&(tenant.uid, *zip))?;
    let digest = alias.and_then(|alias| alias.documents.get(&Document::Provenance).copied());
    Ok(digest.map(|digest| view.read_blob(tenant.uid, &digest)).transpose()?.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_newer_agents_are_left_out() {
        let (env, provenance) = (true, true);
        assert_eq!(With::parse(""), With::default());
        assert_eq!(With::parse("env"), With { env, provenance: false });
        assert_eq!(With::parse("sbom,provenance,,env"), With { env, provenance });
        assert_eq!(With::parse("envs,Provenance"), With::default());
    }
}
