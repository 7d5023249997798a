//! Where the signature of a commit or a tag stands in its bytes.

use std::fmt::Debug;

use colophon_model::{GitKind, SshSignature};

/// Signs commits and tags, or gives back what was signed before.
pub trait Signer: Debug {
    /// The signature of `payload`: the bytes of an object without its signature.
    fn sign(&self, payload: &[u8]) -> SshSignature;
}

/// The header of a commit that holds its signature (gitformat-signature, "Commit signatures").
pub(crate) const HEADER: &str = "gpgsig";

/// An object taken apart into what was signed and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The bytes without the signature.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: SshSignature,
}

/// Takes a commit or a tag apart. `None` when it has no SSH signature.
pub fn signed(kind: GitKind, bytes: &[u8]) -> Option<Signed> {
    match kind {
        GitKind::Commit => signed_commit(bytes),
        GitKind::Tag => signed_tag(bytes),
        GitKind::Tree | GitKind::Blob => None,
    }
}

/// The bytes of a tag with its signature, which follows the message.
pub(crate) fn append_to_tag(tag: &mut Vec<u8>, signature: &SshSignature) {
    tag.extend_from_slice(signature.as_str().as_bytes());
    tag.push(b'\n');
}

/// The header's further lines begin with a space.
fn signed_commit(bytes: &[u8]) -> Option<Signed> {
    let (mut payload, mut value, mut inside) = (Vec::with_capacity(bytes.len()), None, false);
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")? + 1;
    for line in bytes[..end].split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line).ok()?;
        let first = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix(' '));
        let next = text.strip_prefix(' ').filter(|_| inside);
        inside = first.is_some() || next.is_some();
        match first.or(next) {
            Some(part) => value.get_or_insert_with(String::new).push_str(part),
            None => payload.extend_from_slice(line),
        }
    }
    payload.extend_from_slice(&bytes[end..]);
    let signature = SshSignature::new(value?.trim_end_matches('\n')).ok()?;
    Some(Signed { payload, signature })
}

fn signed_tag(bytes: &[u8]) -> Option<Signed> {
    let text = std::str::from_utf8(bytes).ok()?;
    let at = text.rfind("\n-----BEGIN SSH SIGNATURE-----\n")? + 1;
    let signature = SshSignature::new(text[at..].strip_suffix('\n')?).ok()?;
    Some(Signed { payload: bytes[..at].to_vec(), signature })
}

#[cfg(test)]
mod tests {
    use colophon_model::{Oid, UnixMillis};

    use super::*;
    use crate::object::Object;
    use crate::{Ident, Message, NewTag, TagName};

    #[derive(Debug)]
    struct Fixed;

    impl Signer for Fixed {
        fn sign(&self, payload: &[u8]) -> SshSignature {
            SshSignature::armor(&"A".repeat(payload.len())).unwrap()
        }
    }

    fn message() -> Message {
        Message::new("feat(flow): build a", vec![("Flow", "gpgsig a".to_owned())]).unwrap()
    }

    fn author() -> Ident {
        Ident::new("colophon", "colophon@example.com").unwrap()
    }

    fn commit(signer: Option<&dyn Signer>) -> (Vec<u8>, Option<SshSignature>) {
        let tree = Object::tree(vec![]).unwrap().oid;
        let time = UnixMillis::new(0);
        let made = Object::commit(tree, Some(tree), &author(), time, &message(), signer).unwrap();
        (made.0.bytes, made.1)
    }

    #[test]
    fn what_was_signed_is_the_commit_without_its_signature() {
        let (unsigned, none) = commit(None);
        assert_eq!((none, signed(GitKind::Commit, &unsigned)), (None, None));
        let (bytes, signature) = commit(Some(&Fixed));
        let expected = Signed { payload: unsigned, signature: signature.unwrap() };
        assert_eq!(signed(GitKind::Commit, &bytes), Some(expected));
        assert_eq!(signed(GitKind::Blob, &bytes), None);
    }

    #[test]
    fn what_was_signed_is_the_tag_without_its_signature() {
        let tag = NewTag { name: TagName::new("a").unwrap(), message: message() };
        let make = |signer: Option<&dyn Signer>| {
            Object::tag(Oid::from_bytes([1; 20]), &tag, &author(), UnixMillis::new(0), signer)
        };
        let (unsigned, _) = make(None).unwrap();
        assert_eq!(signed(GitKind::Tag, &unsigned.bytes), None);
        let (object, signature) = make(Some(&Fixed)).unwrap();
        let expected = Signed { payload: unsigned.bytes, signature: signature.unwrap() };
        assert_eq!(signed(GitKind::Tag, &object.bytes), Some(expected));
    }

    /// Bytes of a damaged store come here too.
    #[test]
    fn headers_that_only_look_like_signatures_are_none() {
        for text in ["", "gpgsig a", "tree\ngpgsig x\n\nm\n", "a\n\n\ngpgsig x\n", "gpgsigx y\n\n"]
        {
            assert_eq!(signed(GitKind::Commit, text.as_bytes()), None, "{text:?}");
        }
    }
}
