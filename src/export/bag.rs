//! A bag: payload, what is said of it, and checksums of all of it (BagIt 1.0, RFC 8493). Pure: the same content
//! gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use axum::body::Bytes;
use colophon_model::{Oid, Sha256, TenantSlug, UnixMillis};
use sha2::Digest as _;

use super::cursor::Cursor;
use super::envelope::KeyId;
use super::error::ExportError;
use super::guide;
use super::layout::{self, BagName};

/// What a file of a bag consists of.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file without a name.
    File(Arc<File>),
}

/// A file of a bag.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its path in the bag.
    pub path: String,
    /// What it consists of.
    pub body: Body,
    /// Its checksum.
    pub sha256: Sha256,
    /// Its length, in bytes.
    pub length: u64,
}

/// What a bag says of itself.
#[derive(Debug)]
pub struct Info<'a> {
    /// Whose.
    pub tenant: &'a TenantSlug,
    /// The time of the newest fact.
    pub time: UnixMillis,
    /// Where the bags before end.
    pub since: &'a Cursor,
    /// Where it ends.
    pub after: &'a Cursor,
    /// The bag before, and the SHA-256 of its tag manifest.
    pub previous: Option<(&'a BagName, Sha256)>,
    /// The id of the key that signs it.
    pub key: &'a str,
    /// The id of the key that signed the checkpoint in it.
    pub checkpoint: &'a str,
    /// The key that files of it are sealed with; none: they are plain.
    pub sealed: Option<&'a KeyId>,
    /// The public keys that lie beside the bags: path and text.
    pub keys: &'a [(String, String)],
}

/// A bag that is complete but for its signature.
#[derive(Debug)]
pub struct Bag {
    /// Its name.
    pub name: BagName,
    /// Its files in the order in which they are written: payload first, the tag manifest last.
    pub items: Vec<Item>,
    /// The tag manifest, which is signed.
    pub manifest: Bytes,
    /// Its SHA-256, by which the next bag names this one.
    pub sha256: Sha256,
}

impl Bag {
    /// Closes a bag with this payload, by paths that begin with `data/`.
    ///
    /// # Errors
    /// [`ExportError::Aside`] when a file of it cannot be read.
    pub fn close(info: &Info<'_>, payload: BTreeMap<String, Body>) -> Result<Self, ExportError> {
        let name = BagName::new(info.time, info.after.sequence);
        let mut items = Vec::with_capacity(payload.len() + 4);
        for (path, body) in payload {
            items.push(Item::new(path, body)?);
        }
        let oxum = (items.iter().map(|item| item.length).sum(), items.len());
        let manifest = checksums(&items);
        let mut tags = vec![
            text(layout::BAGIT, DECLARATION.to_owned())?,
            text(layout::INFO, info.text(&name, oxum))?,
            text(layout::MANIFEST, manifest)?,
        ];
        tags.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Bytes::from(checksums(&tags));
        items.append(&mut tags);
        let last = Item::new(layout::TAG_MANIFEST.to_owned(), Body::Bytes(manifest.clone()))?;
        let sha256 = last.sha256;
        items.push(last);
        Ok(Self { name, items, manifest, sha256 })
    }
}

/// RFC 8493 §2.1.1.
const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

fn text(path: &str, text: String) -> Result<Item, ExportError> {
    Item::new(path.to_owned(), Body::Bytes(text.into()))
}

/// A line for each file, as `sha256sum -c` reads them.
fn checksums(items: &[Item]) -> String {
    let mut text = String::new();
    for item in items {
        let _ = writeln!(text, "{}  {}", item.sha256, item.path); // a String takes all
    }
    text
}

impl Item {
    fn new(path: String, body: Body) -> Result<Self, ExportError> {
        let (sha256, length) = body.measure().map_err(ExportError::Aside)?;
        Ok(Self { path, body, sha256, length })
    }
}

impl Body {
    /// Checksum and length.
    fn measure(&self) -> io::Result<(Sha256, u64)> {
        match self {
            Self::Bytes(bytes) => Ok((Sha256::of(bytes), bytes.len() as u64)),
            Self::File(file) => {
                let mut file = &**file;
                file.rewind()?;
                let (mut hasher, mut length) = (sha2::Sha256::new(), 0);
                let mut buffer = vec![0; 1 << 16];
                loop {
                    let count = file.read(&mut buffer)?;
                    if count == 0 {
                        return Ok((Sha256::from_bytes(hasher.finalize().into()), length));
                    }
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                }
            }
        }
    }
}

impl Info<'_> {
    /// `bag-info.txt`: labels of RFC 8493 §2.2.2, then ours (docs/export-format.md). `-` stands for none.
    fn text(&self, name: &BagName, (octets, streams): (u64, usize)) -> String {
        let (since, after) = (self.since, self.after);
        let range =
            |from: u64, to: u64| if to > from { format!("{}-{to}", from + 1) } else { none() };
        let oid = |oid: Option<Oid>| oid.map_or_else(none, |oid| oid.to_string());
        let time = self.time.rfc3339();
        let lines = [
            ("Bag-Software-Agent", format!("colophon {}", env!("CARGO_PKG_VERSION"))),
            ("Bagging-Date", time[..10].to_owned()),
            ("External-Identifier", format!("{}/{name}", self.tenant)),
            ("Payload-Oxum", format!("{octets}.{streams}")),
            ("Export-Format", "1".to_owned()),
            ("Export-Sequence", after.sequence.to_string()),
            ("Export-Time", time.clone()),
            ("Previous-Export", self.previous.map_or_else(none, |(_, sha256)| sha256.to_string())),
            (layout::PREVIOUS_NAME, self.previous.map_or_else(none, |(name, _)| name.to_string())),
            ("Builds", range(since.builds, after.builds)),
            ("Last-Build", after.build.map_or_else(none, |id| id.to_string())),
            ("Audit-Lines", range(since.audit.seq, after.audit.seq)),
            ("Audit-Last", after.audit.last.to_string()),
            ("Audit-Root", after.audit.peaks.root().to_string()),
            ("Git-Previous-Tip", oid(since.tip)),
            ("Git-Tip", oid(after.tip)),
            ("Signing-Key", self.key.to_owned()),
            ("Checkpoint-Key", self.checkpoint.to_owned()),
        ];
        let key =
            |(path, text): &(String, String)| format!("{}  {path}", Sha256::of(text.as_bytes()));
        let sealed = self.sealed.map(|key| (layout::ENCRYPTION_KEY, key.to_string()));
        let keys = self.keys.iter().map(|named| (layout::PUBLIC_KEY, key(named)));
        let guide = (layout::GUIDE, format!("{}  {}", *guide::SHA256, guide::path()));
        let mut text = String::new();
        for (label, value) in lines.into_iter().chain(sealed).chain([guide]).chain(keys) {
            let _ = writeln!(text, "{label}: {value}"); // a String takes all
        }
        text
    }
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info<'a>(slug: &'a TenantSlug, since: &'a Cursor, after: &'a Cursor) -> Info<'a> {
        let time = UnixMillis::new(1_795_262_400_007);
        Info {
            tenant: slug,
            time,
            since,
            after,
            previous: None,
            key: "k1",
            checkpoint: "k2",
            sealed: None,
            keys: &[],
        }
    }

    /// Every byte of a bag is a function of its content: an export that was cut goes on with the same.
    #[test]
    fn a_bag_is_the_same_for_the_same_content_and_counts_what_is_in_it() {
        let slug: TenantSlug = "acme-inc".parse().unwrap();
        let (since, after) =
            (Cursor::default(), Cursor { sequence: 1, builds: 3, ..Cursor::default() });
        let payload = || {
            let bytes = |text: &'static str| Body::Bytes(text.into());
            [("data/b".to_owned(), bytes("bb")), ("data/a".to_owned(), bytes("a"))].into()
        };
        let bag = Bag::close(&info(&slug, &since, &after), payload()).unwrap();
        let again = Bag::close(&info(&slug, &since, &after), payload()).unwrap();
        assert_eq!((bag.sha256, &bag.manifest), (again.sha256, &again.manifest));
        let paths: Vec<&str> = bag.items.iter().map(|item| item.path.as_str()).collect();
        let expected = [
            "data/a",
            "data/b",
            "bag-info.txt",
            "bagit.txt",
            "manifest-sha256.txt",
            "tagmanifest-sha256.txt",
        ];
        assert_eq!(paths, expected, "payload first, the tag manifest last");
        let Body::Bytes(told) = &bag.items[2].body else { panic!() };
        let told = std::str::from_utf8(told).unwrap();
        for line in ["Payload-Oxum: 3.2", "Builds: 1-3", "Audit-Lines: -", "Previous-Export: -"] {
            assert!(told.lines().any(|one| one == line), "{told}");
        }
    }

    /// A file on the disk is hashed as bytes in memory are.
    #[test]
    fn files_are_measured_as_bytes_are() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = b"x".repeat(200_000);
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let measured = Body::File(Arc::new(file)).measure().unwrap();
        assert_eq!(measured, Body::Bytes(bytes.into()).measure().unwrap());
    }
}
