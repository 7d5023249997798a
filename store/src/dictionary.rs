//! Compression dictionaries: what blobs of a kind have in common, shipped in the program.
//!
//! A number means one file for ever, because stored blobs name it: a better dictionary is a new file
//! under a new number, and the old one stays for reading. They are trained on the project's own
//! templates and on made-up flows, never on a store, where a tenant's text would outlive its
//! erasure. `docs/compression.md` has the numbers, what they gain, and how to add one.

use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::sync::OnceLock;

/// Longest blob that is packed with a dictionary, in bytes. Longer ones pack better by themselves.
const MAX_LEN: usize = 128 << 10;
/// How much of a blob is looked at to tell text from binary data, in bytes.
const HEAD: usize = 512;

/// A dictionary that was shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dictionary {
    /// Generated Python, trees, README and YAML.
    Text1,
    /// Flows, manifests and signed metadata.
    Json1,
}

/// The file, and what zstd makes of it when it is first needed.
struct Shipped {
    bytes: &'static [u8],
    level: i32,
    encoder: OnceLock<EncoderDictionary<'static>>,
    decoder: OnceLock<DecoderDictionary<'static>>,
}

/// Level 3: 7 % smaller than level 1 at nearly its speed. Level 5 saves 8 % more at less than half
/// of it, and a build waits for it.
static TEXT_1: Shipped = Shipped::new(include_bytes!("../dictionaries/text-1.dict"), 3);
/// Level 3: at level 5 manifests, which every build writes anew, grow again.
static JSON_1: Shipped = Shipped::new(include_bytes!("../dictionaries/json-1.dict"), 3);

impl Dictionary {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Text1, Self::Json1];

    /// The number that frames and rows store as their codec.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Text1 => 2,
            Self::Json1 => 3,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Text1),
            3 => Some(Self::Json1),
            _ => None,
        }
    }

    /// The dictionary for a new blob, guessed from its first bytes. A wrong guess costs some bytes
    /// and nothing else.
    pub(crate) fn for_blob(raw: &[u8]) -> Option<Self> {
        if raw.len() > MAX_LEN {
            return None;
        }
        match raw.iter().find(|byte| !byte.is_ascii_whitespace())? {
            b'{' | b'[' => Some(Self::Json1),
            _ => looks_like_text(raw).then_some(Self::Text1),
        }
    }

    const fn shipped(self) -> &'static Shipped {
        match self {
            Self::Text1 => &TEXT_1,
            Self::Json1 => &JSON_1,
        }
    }

    /// The dictionary, ready for packing.
    pub(crate) fn encoder(self) -> &'static EncoderDictionary<'static> {
        let Shipped { bytes, level, encoder, .. } = self.shipped();
        encoder.get_or_init(|| EncoderDictionary::copy(bytes, *level))
    }

    /// The dictionary, ready for unpacking.
    pub(crate) fn decoder(self) -> &'static DecoderDictionary<'static> {
        let Shipped { bytes, decoder, .. } = self.shipped();
        decoder.get_or_init(|| DecoderDictionary::copy(bytes))
    }
}

impl Shipped {
    const fn new(bytes: &'static [u8], level: i32) -> Self {
        Self { bytes, level, encoder: OnceLock::new(), decoder: OnceLock::new() }
    }
}

/// Valid UTF-8 without zero bytes, as far as the head shows.
fn looks_like_text(raw: &[u8]) -> bool {
    let head = &raw[..raw.len().min(HEAD)];
    // A character that the head's end cuts is no fault.
    let valid = std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true);
    valid && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use colophon_model::Digest;

    use super::*;

    /// Blobs that were packed with a dictionary are lost without exactly these bytes.
    #[test]
    fn a_shipped_dictionary_never_changes() {
        let pinned = [
            (2, "e143ff20e204ed4b6eb8d376b9fdbf5a3de96296a023680dcadb2354833f5073"),
            (3, "c6c2790eb7f735986f0e53bfbeb1f12eddea9595690b989b6bb61a7ec43e57f1"),
        ];
        for (number, digest) in pinned {
            let dictionary = Dictionary::from_number(number).unwrap();
            let bytes = dictionary.shipped().bytes;
            assert_eq!(Digest::of(bytes).to_string(), digest, "dictionary of codec {number}");
        }
        assert_eq!(pinned.len(), Dictionary::ALL.len());
    }

    #[test]
    fn every_file_has_a_number_and_no_file_has_two() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/dictionaries");
        let files =
            fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        let shipped = Dictionary::ALL.map(|d| d.shipped().bytes.to_vec());
        assert_eq!(files.collect::<BTreeSet<_>>(), BTreeSet::from(shipped));
        for dictionary in Dictionary::ALL {
            assert_eq!(Dictionary::from_number(dictionary.number()), Some(dictionary));
        }
    }

    #[test]
    fn the_first_bytes_choose() {
        let long = "x".repeat(MAX_LEN);
        let cases: [(&[u8], Option<Dictionary>); 10] = [
            (b"{\"a\": 1}", Some(Dictionary::Json1)),
            (b"\n  [1]", Some(Dictionary::Json1)),
            (b"# Generated by colophon.\n", Some(Dictionary::Text1)),
            ("ärger = 1\n".as_bytes(), Some(Dictionary::Text1)),
            (long.as_bytes(), Some(Dictionary::Text1)),
            (&[long.as_bytes(), b"x"].concat(), None),
            (b"PK\x03\x04\0\0", None),
            (b"\xff\xfe\xfd", None),
            (b" \n", None),
            (b"", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(Dictionary::for_blob(raw), expected, "{:?}", raw.get(..20));
        }
    }

    /// The head may end inside a character; broken text is binary.
    #[test]
    fn a_character_may_be_cut_by_the_head() {
        for before in HEAD - 3..=HEAD {
            let text = format!("{}ä𝄞", "x".repeat(before));
            assert_eq!(Dictionary::for_blob(text.as_bytes()), Some(Dictionary::Text1));
        }
        let broken = [&b"x".repeat(HEAD - 10)[..], b"\xf0\x28\x8c\x28", b"x"].concat();
        assert_eq!(Dictionary::for_blob(&broken), None);
    }
}
