//! Signed notes and checkpoints of logs, as transparency logs write them.
//!
//! Formats: <https://c2sp.org/signed-note> with Ed25519 (signature type 1) and <https://c2sp.org/tlog-checkpoint>.

use std::fmt;

use colophon_model::Sha256;
use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;

use crate::Seed;
use crate::dsse::PublicKey;

/// How many lines a log had, and the root over them (RFC 6962 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log, in one line without white space at its ends.
    pub origin: String,
    /// How many lines.
    pub size: u64,
    /// The root.
    pub root: Sha256,
}

/// The key with which a server signs checkpoints.
pub struct NoteKey {
    name: String,
    secret: SigningKey,
}

/// A key to verify checkpoints with, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    public: VerifyingKey,
}

/// Why a note is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// It is not text, an empty line, and lines of signatures.
    #[error("this is not a signed note")]
    Note,
    /// No signature of the key fits.
    #[error("the note is not signed by `{0}`")]
    Unsigned(String),
    /// The text is not that of a checkpoint.
    #[error("the note is not a checkpoint")]
    Checkpoint,
    /// The key is not written as verifiers are.
    #[error("this is not the public key of a signed note")]
    Key,
}

/// The type of Ed25519 among signatures of notes.
const ED25519: u8 = 1;
/// Before each signature: an em dash and a space.
const MARK: &str = "\u{2014} ";

impl NoteKey {
    /// Derives the key by HKDF-SHA256 (RFC 5869): salt `colophon note v1`, the seed as input keying
    /// material, and as info `ed25519`. It is called `colophon-` and 16 hex digits of the SHA-256 of its
    /// public half.
    pub fn derive(seed: &Seed) -> Self {
        let secret = SigningKey::from_bytes(&secret(seed));
        Self { name: name(&secret.verifying_key()), secret }
    }

    /// The half that everyone may know.
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier { name: self.name.clone(), public: self.secret.verifying_key() }
    }

    /// Signs a checkpoint. The same values give the same note.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let signature = self.secret.sign(text.as_bytes()).to_bytes();
        let signature = [self.verifier().id().as_slice(), &signature].concat();
        format!("{text}\n{MARK}{} {}\n", self.name, BASE64.encode(&signature))
    }
}

fn name(public: &VerifyingKey) -> String {
    format!("colophon-{}", &Sha256::of(public.as_bytes()).to_string()[..16])
}

fn secret(seed: &Seed) -> [u8; 32] {
    let mut secret = [0; 32];
    Hkdf::<sha2::Sha256>::new(Some(b"colophon note v1"), seed.as_bytes())
        .expand(b"ed25519", &mut secret)
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
    secret
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoteKey(..)")
    }
}

impl NoteVerifier {
    /// The verifier of a server's key, called as [`NoteKey::derive`] calls it; `None` for a key of another kind.
    pub fn of(key: &crate::attest::PublicKey) -> Option<Self> {
        let crate::attest::PublicKey::Ed25519(public) = *key else { return None };
        Some(Self { name: name(&public), public })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key as other programs take it.
    pub const fn public(&self) -> PublicKey {
        PublicKey::of(self.public)
    }

    /// The first bytes of the SHA-256 of name, line break, type and key.
    fn id(&self) -> [u8; 4] {
        let named =
            [self.name.as_bytes(), b"\n", &[ED25519], self.public.as_bytes().as_slice()].concat();
        let [a, b, c, d, ..] = *Sha256::of(&named).as_bytes();
        [a, b, c, d]
    }

    /// As `name+id+key`, the form in which programs for signed notes take it.
    pub fn to_vkey(&self) -> String {
        let key = [&[ED25519], self.public.as_bytes().as_slice()].concat();
        format!("{}+{}+{}", self.name, hex::encode(self.id()), BASE64.encode(&key))
    }

    /// Reads that form.
    ///
    /// # Errors
    /// [`InvalidNote::Key`].
    pub fn parse(vkey: &str) -> Result<Self, InvalidNote> {
        let mut parts = vkey.splitn(3, '+');
        let mut next = || parts.next().ok_or(InvalidNote::Key);
        let (name, id, key) = (next()?, next()?, next()?);
        let key = BASE64.decode(key.as_bytes()).map_err(|_| InvalidNote::Key)?;
        let Some((&ED25519, key)) = key.split_first() else { return Err(InvalidNote::Key) };
        let key = key.try_into().map_err(|_| InvalidNote::Key)?;
        let public = VerifyingKey::from_bytes(key).map_err(|_| InvalidNote::Key)?;
        let verifier = Self { name: name.to_owned(), public };
        if hex::encode(verifier.id()) == id { Ok(verifier) } else { Err(InvalidNote::Key) }
    }

    /// The checkpoint in `note`, when this key signed it.
    ///
    /// # Errors
    /// [`InvalidNote`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, InvalidNote> {
        // The last empty line ends the text: there may be others in it.
        let end = note.rfind("\n\n").ok_or(InvalidNote::Note)? + 1;
        let (text, signatures) = (&note[..end], &note[end + 1..]);
        if !signatures.ends_with('\n') {
            return Err(InvalidNote::Note);
        }
        let mut signed = false;
        for line in signatures.lines() {
            let (name, signature) =
                line.strip_prefix(MARK).and_then(|l| l.split_once(' ')).ok_or(InvalidNote::Note)?;
            signed |= name == self.name && self.verifies(text, signature);
        }
        if signed { Checkpoint::parse(text) } else { Err(InvalidNote::Unsigned(self.name.clone())) }
    }

    fn verifies(&self, text: &str, signature: &str) -> bool {
        let Ok(bytes) = BASE64.decode(signature.as_bytes()) else { return false };
        let Some((id, signature)) = bytes.split_first_chunk::<4>() else { return false };
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        *id == self.id() && self.public.verify_strict(text.as_bytes(), &signature).is_ok()
    }
}

impl Checkpoint {
    fn text(&self) -> String {
        let Self { origin, size, root } = self;
        format!("{origin}\n{size}\n{}\n", BASE64.encode(root.as_bytes()))
    }

    /// Reads the text; lines after the third are extensions that are none of ours, and refused.
    fn parse(text: &str) -> Result<Self, InvalidNote> {
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(InvalidNote::Checkpoint);
        let (origin, size, root) = (next()?, next()?, next()?);
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|root| Sha256::from_slice(&root));
        let size = size.parse().map_err(|_| InvalidNote::Checkpoint)?;
        let root = root.ok_or(InvalidNote::Checkpoint)?;
        let checkpoint = Self { origin: origin.to_owned(), size, root };
        // One text for one checkpoint: no leading zeros, no lines after it.
        if checkpoint.text() == text { Ok(checkpoint) } else { Err(InvalidNote::Checkpoint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> NoteKey {
        NoteKey::derive(&Seed::new([1; 32]))
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log".to_owned(), size: 7, root: Sha256::of(b"") }
    }

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let (note, verifier) = (key().sign(&checkpoint()), key().verifier());
        assert_eq!(verifier.open(&note), Ok(checkpoint()));
        let other = NoteKey::derive(&Seed::new([2; 32])).verifier();
        assert_eq!(other.open(&note), Err(InvalidNote::Unsigned(other.name.clone())));
        for (from, to) in [("\n7\n", "\n8\n"), ("log\n", "log2\n"), ("47DE", "47DF")] {
            assert!(note.contains(from));
            let changed = note.replacen(from, to, 1);
            assert_eq!(verifier.open(&changed), Err(InvalidNote::Unsigned(verifier.name.clone())));
        }
        for cut in 0..note.len() {
            if note.is_char_boundary(cut) {
                assert!(verifier.open(&note[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    /// A witness adds a signature of its own, and ours still counts.
    #[test]
    fn signatures_of_others_do_not_disturb() {
        let note = key().sign(&checkpoint());
        let witness = NoteKey::derive(&Seed::new([2; 32])).sign(&checkpoint());
        let line = witness.lines().last().unwrap();
        let both = format!("{note}{line}\n");
        assert_eq!(key().verifier().open(&both), Ok(checkpoint()));
    }

    /// The example of the Go package `golang.org/x/mod/sumdb/note`, which the specification was written
    /// from: another program's key, read and written back.
    #[test]
    fn keys_are_read_as_other_programs_write_them() {
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let verifier = NoteVerifier::parse(vkey).unwrap();
        assert_eq!((verifier.name(), verifier.to_vkey().as_str()), ("PeterNeumann", vkey));
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        assert!(verifier.verifies(text, signature));
        assert!(!verifier.verifies(&text.replace("problem", "answer"), signature));
        for bad in ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
        {
            assert_eq!(NoteVerifier::parse(bad), Err(InvalidNote::Key));
        }
    }

    /// Another key or name would make every checkpoint that was signed before worthless.
    #[test]
    fn the_key_is_pinned() {
        let vkey = key().verifier().to_vkey();
        assert_eq!(NoteVerifier::parse(&vkey), Ok(key().verifier()));
        assert_eq!(
            vkey,
            "colophon-d906a57525ed5bac+9a0668ec+AW2FTQj5sv7COKuNWHjPKLZzDFXoovjCbDK8qXTNtxXl"
        );
        assert_eq!(format!("{:?}", key()), "NoteKey(..)");
    }
}
