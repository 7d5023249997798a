//! Makes age files, the same from the same.
//!
//! Everything that `age` draws at random is derived here from the tenant's secret and the SHA-256 and length of the plaintext:
//! file key, ephemeral secret and nonce are 64 bytes of HKDF-SHA256 with a label of their own. Why that is safe:
//!
//! - Two different plaintexts have different digests, so their keys are independent: the payload key is derived from file key and
//!   nonce, and no (key, nonce) pair of ChaCha20-Poly1305 is ever used on two plaintexts. The digest is computed here, from the
//!   bytes that are sealed, and never taken from a caller: with a wrong one two plaintexts would share a key.
//! - Two equal plaintexts give equal files, which tells that they are equal and nothing else. Within a tenant that is wanted;
//!   between tenants the secrets differ. Nobody without the secret can test a guess at a plaintext.
//! - The secret serves two purposes, X25519 and HKDF's input. So does that of RFC 6979, which derives the nonce of ECDSA from
//!   the signing key by HMAC; the label keeps the two apart.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};

use axum::body::Bytes;
use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use data_encoding::BASE64_NOPAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Identity, KeyId};

/// Plaintext of a chunk (age v1, "Payload").
const CHUNK: usize = 64 << 10;
/// What encryption adds to a chunk, and to the file key.
const TAG: usize = 16;
/// Length of the header with one X25519 stanza.
const HEADER: usize = 168;
/// Length of the nonce before the payload.
const NONCE: usize = 16;
/// What keeps these derivations apart from any other.
const LABEL: &[u8] = b"colophon export envelope 1";

/// Seals what is exported with the key of one tenant.
#[derive(Clone)]
pub struct Sealer {
    id: KeyId,
    recipient: PublicKey,
    derive: Hkdf<Sha256>,
}

/// What a file is made with.
struct Drawn(Zeroizing<[u8; 64]>);

impl Drawn {
    fn file_key(&self) -> &[u8] {
        &self.0[..16]
    }

    fn ephemeral(&self) -> StaticSecret {
        let mut secret = [0; 32];
        secret.copy_from_slice(&self.0[16..48]);
        StaticSecret::from(secret)
    }

    fn nonce(&self) -> &[u8] {
        &self.0[48..]
    }
}

impl Sealer {
    /// Seals for `identity`.
    pub fn new(identity: &Identity) -> Self {
        let derive = Hkdf::new(Some(LABEL), identity.secret());
        Self { id: identity.id(), recipient: identity.public(), derive }
    }

    /// What names the key.
    pub const fn key(&self) -> &KeyId {
        &self.id
    }

    /// The length of what `length` bytes become.
    pub const fn sealed_len(length: u64) -> u64 {
        let chunks = if length == 0 { 1 } else { length.div_ceil(CHUNK as u64) };
        (HEADER + NONCE) as u64 + length + chunks * TAG as u64
    }

    /// Seals bytes.
    pub fn seal(&self, plain: &[u8]) -> Bytes {
        let drawn = self.draw(Sha256::digest(plain).into(), plain.len() as u64);
        let mut out = Vec::with_capacity(Self::sealed_len(plain.len() as u64) as usize);
        out.extend_from_slice(&self.begin(&drawn));
        let mut stream = Stream::new(&drawn);
        let mut chunks = plain.chunks(CHUNK).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let at = out.len();
            out.extend_from_slice(chunk);
            let tag = stream.seal(&mut out[at..], last);
            out.extend_from_slice(&tag);
            if last {
                return out.into();
            }
        }
    }

    /// Seals a file, from its beginning, into an empty one. It is read twice, in bounded memory.
    ///
    /// # Errors
    /// When one of them fails, or the file was changed in between: then what was written must not be used.
    pub fn seal_file(&self, from: &mut File, into: &mut File) -> io::Result<()> {
        let (digest, length) = measure(from)?;
        let drawn = self.draw(digest, length);
        into.write_all(&self.begin(&drawn))?;
        let (mut stream, mut hasher, mut left) = (Stream::new(&drawn), Sha256::new(), length);
        let mut buffer = vec![0; CHUNK];
        from.rewind()?;
        loop {
            let chunk = &mut buffer[..left.min(CHUNK as u64) as usize];
            from.read_exact(chunk)?;
            hasher.update(&*chunk);
            left -= chunk.len() as u64;
            // Nothing is let out under a key that was drawn for something else.
            if left == 0 && <[u8; 32]>::from(hasher.clone().finalize()) != digest {
                return Err(io::Error::other("a file was changed while it was sealed"));
            }
            let tag = stream.seal(chunk, left == 0);
            into.write_all(chunk)?;
            into.write_all(&tag)?;
            if left == 0 {
                return into.flush();
            }
        }
    }

    fn draw(&self, digest: [u8; 32], length: u64) -> Drawn {
        let mut drawn = Zeroizing::new([0; 64]);
        self.derive
            .expand_multi_info(&[b"file", &digest, &length.to_be_bytes()], &mut *drawn)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        Drawn(drawn)
    }

    /// The header and the nonce (age v1, "Header").
    fn begin(&self, drawn: &Drawn) -> Vec<u8> {
        let ephemeral = drawn.ephemeral();
        let share = PublicKey::from(&ephemeral);
        let shared = ephemeral.diffie_hellman(&self.recipient);
        let salt = [share.as_bytes().as_slice(), self.recipient.as_bytes()].concat();
        let wrap = hkdf(shared.as_bytes(), &salt, b"age-encryption.org/v1/X25519");
        let mut body = [0; 16 + TAG];
        body[..16].copy_from_slice(drawn.file_key());
        let tag = encrypt(&cipher(&wrap), [0; 12], &mut body[..16]);
        body[16..].copy_from_slice(&tag);
        let mut header = format!(
            "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
            BASE64_NOPAD.encode(share.as_bytes()),
            BASE64_NOPAD.encode(&body)
        );
        let key = hkdf(drawn.file_key(), &[], b"header");
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
        mac.update(header.as_bytes());
        header.push(' ');
        header.push_str(&BASE64_NOPAD.encode(&mac.finalize().into_bytes()));
        header.push('\n');
        [header.as_bytes(), drawn.nonce()].concat()
    }
}

/// Digest and length of a file.
fn measure(file: &mut File) -> io::Result<([u8; 32], u64)> {
    file.rewind()?;
    let (mut hasher, mut length, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher.finalize().into(), length));
        }
        hasher.update(&buffer[..count]);
        length += count as u64;
    }
}

/// Chunks under one key, each with its number and whether it is the last one as its nonce (STREAM,
/// <https://eprint.iacr.org/2015/189>).
struct Stream {
    cipher: ChaCha20Poly1305,
    next: u64,
}

impl Stream {
    fn new(drawn: &Drawn) -> Self {
        Self { cipher: cipher(&hkdf(drawn.file_key(), drawn.nonce(), b"payload")), next: 0 }
    }

    /// Encrypts a chunk in place; returns its tag.
    fn seal(&mut self, chunk: &mut [u8], last: bool) -> [u8; TAG] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.next.to_be_bytes());
        nonce[11] = u8::from(last);
        self.next += 1;
        encrypt(&self.cipher, nonce, chunk)
    }
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(Key::from_slice(key))
}

fn encrypt(cipher: &ChaCha20Poly1305, nonce: [u8; 12], bytes: &mut [u8]) -> [u8; TAG] {
    let tag = cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), &[], bytes);
    tag.expect("a chunk is below 256 GiB").into()
}

fn hkdf(secret: &[u8], salt: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(label, &mut *key)
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
    key
}
