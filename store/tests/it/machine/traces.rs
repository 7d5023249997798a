//! Looking for many texts in a file, in one pass.

use std::collections::HashMap;

/// Bytes that are looked at together.
const CHUNK: usize = 8;

/// Texts of at least 15 bytes, so that each covers a whole chunk wherever it begins.
pub(super) struct Traces {
    /// Each text with the offset of a chunk in it, by that chunk.
    chunks: HashMap<[u8; CHUNK], Vec<(Vec<u8>, usize)>>,
    /// Whether any chunk begins with these two bytes, which is quicker to ask.
    sieve: Vec<bool>,
}

impl Traces {
    pub(super) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut traces = Self { chunks: HashMap::new(), sieve: vec![false; 1 << 16] };
        for text in texts {
            assert!(text.len() >= 2 * CHUNK - 1, "a trace that could be missed: {text:?}");
            for offset in 0..CHUNK {
                let chunk: [u8; CHUNK] = text[offset..offset + CHUNK].try_into().unwrap();
                traces.sieve[beginning(&chunk)] = true;
                traces.chunks.entry(chunk).or_default().push((text.clone(), offset));
            }
        }
        traces
    }

    /// A text that lies in `bytes`.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<&[u8]> {
        let chunks = bytes.chunks_exact(CHUNK).enumerate();
        let mut likely = chunks.filter(|(_, chunk)| self.sieve[beginning(chunk)]);
        likely.find_map(|(n, chunk)| {
            let mut texts = self.chunks.get(chunk)?.iter();
            let is_at = |offset| bytes.get((n * CHUNK).checked_sub(offset)?..);
            let found = texts.find(|(text, at)| is_at(*at).is_some_and(|b| b.starts_with(text)));
            found.map(|(text, _)| text.as_slice())
        })
    }
}

fn beginning(chunk: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([chunk[0], chunk[1]]))
}

#[test]
fn a_text_is_found_wherever_it_lies() {
    let texts = [b"a text of nobody".to_vec(), b"a text of some body".to_vec()];
    let traces = Traces::new(texts.clone());
    for text in &texts {
        for before in 0..20 {
            let bytes = [&vec![b'a'; before], text.as_slice(), b"bbbbbbb"].concat();
            assert_eq!(traces.find(&bytes), Some(text.as_slice()), "{before}");
            assert_eq!(traces.find(&bytes[..bytes.len() - 8]), None, "{before}");
        }
    }
}
