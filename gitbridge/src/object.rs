//! Git objects: their bytes and their ids.

use colophon_model::{GitKind, Oid, SshSignature, UnixMillis};
use gix_object::WriteTo;

use crate::signature::{self, HEADER};
use crate::{Error, Ident, Message, NewTag, Signer};

/// An object with its id.
pub(crate) struct Object {
    pub(crate) oid: Oid,
    pub(crate) kind: GitKind,
    pub(crate) bytes: Vec<u8>,
}

impl Object {
    /// An object with the id of its bytes.
    pub(crate) fn new(kind: GitKind, bytes: Vec<u8>) -> Result<Self, Error> {
        Ok(Self { oid: Self::id(kind, &bytes)?, kind, bytes })
    }

    /// Its id, kind and bytes.
    pub(crate) fn parts(&self) -> (Oid, GitKind, &[u8]) {
        (self.oid, self.kind, &self.bytes)
    }

    /// Hashes `<kind> <size>\0<bytes>`. Tenants choose the bytes, so the hash detects collision
    /// attacks.
    pub(crate) fn id(kind: GitKind, bytes: &[u8]) -> Result<Oid, Error> {
        let mut hasher = sha1dc::Hasher::new();
        hasher.update(format!("{} {}\0", kind.as_str(), bytes.len()).as_bytes());
        hasher.update(bytes);
        let digest = hasher.finalize().map_err(|_| Error::Collision)?;
        Ok(Oid::from_bytes(digest.to_bytes()))
    }

    pub(crate) fn tree(mut entries: Vec<gix_object::tree::Entry>) -> Result<Self, Error> {
        entries.sort();
        Self::new(GitKind::Tree, encoded(&gix_object::Tree { entries })?)
    }

    /// A commit whose author is also its committer, with its signature if it is signed.
    pub(crate) fn commit(
        tree: Oid,
        parent: Option<Oid>,
        author: &Ident,
        time: UnixMillis,
        message: &Message,
        signer: Option<&dyn Signer>,
    ) -> Result<(Self, Option<SshSignature>), Error> {
        let mut commit = gix_object::Commit {
            tree: to_gix(tree),
            parents: parent.map(to_gix).into_iter().collect(),
            author: author.signature(time),
            committer: author.signature(time),
            encoding: None,
            message: message.render().into(),
            extra_headers: Vec::new(),
        };
        let signature = match signer {
            None => None,
            Some(signer) => Some(signer.sign(&encoded(&commit)?)),
        };
        let header = |signature: &SshSignature| (HEADER.into(), signature.as_str().into());
        commit.extra_headers.extend(signature.as_ref().map(header));
        Ok((Self::new(GitKind::Commit, encoded(&commit)?)?, signature))
    }

    /// An annotated tag of a commit, with its signature if it is signed.
    pub(crate) fn tag(
        target: Oid,
        tag: &NewTag,
        tagger: &Ident,
        time: UnixMillis,
        signer: Option<&dyn Signer>,
    ) -> Result<(Self, Option<SshSignature>), Error> {
        let mut bytes = encoded(&gix_object::Tag {
            target: to_gix(target),
            target_kind: gix_object::Kind::Commit,
            name: tag.name.as_str().into(),
            tagger: Some(tagger.signature(time)),
            message: tag.message.render().into(),
            signature: None,
        })?;
        let signature = signer.map(|signer| signer.sign(&bytes));
        if let Some(signature) = &signature {
            signature::append_to_tag(&mut bytes, signature);
        }
        Ok((Self::new(GitKind::Tag, bytes)?, signature))
    }
}

fn encoded(object: &impl WriteTo) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    object.write_to(&mut bytes).map_err(Error::Encoding)?;
    Ok(bytes)
}

/// What the headers of a commit say of its place in history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommitHead {
    pub(crate) tree: Oid,
    /// The first parent; there is never a second.
    pub(crate) parent: Option<Oid>,
    /// When it was committed, in seconds since 1970.
    pub(crate) time: i64,
}

impl CommitHead {
    /// Reads the bytes of a commit.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let commit = gix_object::CommitRef::from_bytes(bytes, gix_hash::Kind::Sha1).ok()?;
        let parent = commit.parents().next().map(|oid| from_gix(&oid));
        Some(Self {
            tree: from_gix(&commit.tree())?,
            parent: match parent {
                Some(parent) => Some(parent?),
                None => None,
            },
            time: commit.committer().ok()?.seconds(),
        })
    }
}

pub(crate) const fn to_gix(oid: Oid) -> gix_hash::ObjectId {
    gix_hash::ObjectId::Sha1(*oid.as_bytes())
}

/// The id in a SHA-1 tree entry.
pub(crate) fn from_gix(oid: &gix_hash::oid) -> Option<Oid> {
    Oid::from_slice(oid.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git hash-object` of the same bytes.
    #[test]
    fn ids_are_those_of_git() {
        let blob = Object::new(GitKind::Blob, b"hello\n".to_vec()).unwrap();
        assert_eq!(blob.oid.to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        let tree = Object::tree(vec![]).unwrap();
        assert_eq!(tree.oid.to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn a_commit_names_its_place_in_history() {
        let tree = Object::tree(vec![]).unwrap().oid;
        let who = Ident::new("colophon", "colophon@example.com").unwrap();
        let message = Message::new("a", vec![]).unwrap();
        let time = UnixMillis::new(1_500);
        let commit = Object::commit(tree, Some(tree), &who, time, &message, None).unwrap().0;
        assert_eq!(
            CommitHead::parse(&commit.bytes),
            Some(CommitHead { tree, parent: Some(tree), time: 1 })
        );
        let text = String::from_utf8(commit.bytes).unwrap();
        assert!(text.contains("\nauthor colophon <colophon@example.com> 1 +0000\n"), "{text}");
        assert_eq!(CommitHead::parse(b"blob"), None);
    }
}
