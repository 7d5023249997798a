//! A small tenant for fuzz targets, the drawing of requests from bytes, and damage to honest input.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use colophon_gitbridge::{
    Change, Ident, Message, NewCommit, NewTag, ObjectLog, Protocol, ReadError, Ref, TagName, Tags,
    UploadPack, append,
};
use colophon_model::{
    ArtifactPath, Digest, FileMode, LogEntry, Oid, Ordinal, TagObject, TenantBranch, TenantSlug,
    UnixMillis,
};

/// A log in memory.
#[derive(Debug, Default)]
pub struct MemoryLog {
    entries: Vec<LogEntry>,
    ordinals: HashMap<Oid, Ordinal>,
    tags: HashMap<Oid, TagObject>,
    refs: BTreeMap<String, Ref>,
}

impl ObjectLog for MemoryLog {
    fn len(&self) -> Result<u32, ReadError> {
        Ok(u32::try_from(self.entries.len())?)
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        Ok(self.ordinals.get(oid).copied())
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        Ok(self.entries.get(at.get() as usize).cloned())
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        Ok(self.tags.get(oid).cloned())
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        Ok(self.refs.values().filter(|r| r.name.starts_with(prefix)).cloned().collect())
    }

    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError> {
        Ok(self.refs("refs/tags/")?.into_iter().rev().take(most).collect())
    }
}

/// Seven builds of the tenant `acme`; the third is undone by the fifth.
pub static LOG: LazyLock<MemoryLog> = LazyLock::new(|| {
    let mut log = MemoryLog::default();
    for (n, version) in [0, 1, 2, 3, 1, 5, 6].into_iter().enumerate() {
        build(&mut log, n, version).expect("a tenant of our own making");
    }
    log
});

fn build(log: &mut MemoryLog, n: usize, version: usize) -> Result<(), Box<dyn std::error::Error>> {
    let branch = "refs/heads/tenant/acme";
    let texts = [
        ("app/flows/acme/flow_a.py".to_owned(), format!("version = {version}\n").repeat(30)),
        (format!("edge_scripts/{}/python/main.py", version % 3), "import x\n".repeat(version + 2)),
    ];
    let paths = texts.iter().map(|(path, _)| ArtifactPath::new(path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let changes = paths.iter().zip(&texts).map(|(path, (_, text))| Change::Put {
        path,
        mode: FileMode::Regular,
        bytes: text.as_bytes(),
        digest: Digest::of(text.as_bytes()),
    });
    let name = format!("bld/acme/{n:017}-cloud");
    let tag = NewTag { name: TagName::new(&name)?, message: Message::new("build", vec![])? };
    let new = NewCommit {
        parent: log.refs.get(branch).map(|found| found.oid),
        changes: &changes.collect::<Vec<_>>(),
        message: &Message::new(format!("feat(flow): build {n}"), vec![])?,
        author: &Ident::new("colophon", "builds@colophon.invalid")?,
        time: UnixMillis::new(1_000_000 + n as u64 * 1_000),
        tags: &[tag],
        signer: None,
    };
    let appended = append(&*log, &new)?;
    for (at, entry) in appended.entries {
        log.ordinals.insert(entry.oid, at);
        log.entries.push(entry);
    }
    let tip = Ref { name: branch.to_owned(), oid: appended.commit, peeled: None };
    log.refs.insert(branch.to_owned(), tip);
    for tag in appended.tags {
        let name = format!("refs/tags/{name}");
        let found = Ref { name: name.clone(), oid: tag.oid, peeled: Some(tag.target) };
        log.refs.insert(name, found);
        log.tags.insert(tag.oid, tag);
    }
    Ok(())
}

/// The tenant's branch.
///
/// # Panics
/// Never: the slug is a good one.
pub fn branch() -> TenantBranch {
    TenantBranch::new(TenantSlug::new("acme").expect("a slug"))
}

/// Answers `body` to its last byte. Anything that is not the client's fault is a finding, and so is
/// a pack that cannot be made.
///
/// # Panics
/// On a finding.
pub fn answer(protocol: Protocol, body: &[u8]) {
    let door = UploadPack {
        branch: branch(),
        agent: "colophon/fuzz",
        tags: Tags::Newest(3),
        ref_in_want: true,
        limits: colophon_gitbridge::Limits::default(),
    };
    let response = match door.answer(&*LOG, protocol, body) {
        Ok(response) => response,
        Err(error) => return assert!(error.is_clients(), "{error:?}"),
    };
    let Some(mut pack) = response.pack else { return };
    while pack.next(&*LOG).expect("a pack that was planned can be made").is_some() {}
}

/// Ids that mean something to the tenant, and one that does not.
pub fn oids() -> Vec<String> {
    let known = LOG.entries.iter().map(|entry| entry.oid).chain(LOG.tags.keys().copied());
    let mut known: Vec<_> = known.map(|oid| oid.to_string()).collect();
    known.sort();
    known.push("ab".repeat(20));
    known
}

/// An honest input with some of its bytes replaced. Three bytes a change: the place, and what is there instead.
pub fn patched(honest: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        match bytes.get_mut(at) {
            Some(byte) => *byte = change[2],
            None => bytes.truncate(at % honest.len()),
        }
    }
    bytes
}
