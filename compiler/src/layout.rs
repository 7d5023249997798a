//! Which exports of LangFlow differ in nothing but where their nodes are drawn, told without parsing them.
//!
//! Whoever moves a node sends another body that leads to the same build. Here the numbers, booleans and nulls that
//! only the canvas reads are taken out of the text, and the rest is hashed. Say that a body was read and accepted as
//! an export of LangFlow. Another one with the same hash has the same text but for some scalars, each of plain form
//! and where the first one has a scalar too. So it is JSON as well, and leads to the same plan and the same
//! findings, for nothing looks at a scalar that the canonical flow does not keep. Of bodies that were never
//! accepted the hash says nothing.

use colophon_model::Digest;
use memchr::{memchr, memchr2, memchr3};

use crate::langflow::VERTEX;
use crate::policy::Limits;

/// Begins what is hashed. No JSON begins so.
const DOMAIN: &[u8] = b"colophon layout v1\0";
/// Stands where something was taken out. No JSON holds it.
const GAP: &[u8] = b"\0";

/// BLAKE3 of an export without its layout. `None`: it has none, or its text is not plain enough to tell.
pub fn without_layout(body: &[u8], limits: &Limits) -> Option<Digest> {
    if body.len() > limits.body || memchr(GAP[0], body).is_some() {
        return None;
    }
    let mut scan = Scan { body, at: 0, kept: 0, parts: vec![DOMAIN] };
    scan.value(Place::Export)?;
    if scan.kept == 0 {
        return None;
    }
    scan.parts.push(&body[scan.kept..]);
    Some(Digest::of_parts(&scan.parts))
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole.
    Export,
    /// The export's `data`.
    Data,
    /// The list of nodes.
    Nodes,
    /// One of them.
    Node,
    /// What only the canvas reads: a scalar, or an object of scalars.
    Layout,
    /// A member of such an object.
    Detail,
    /// Anything else.
    Other,
}

impl Place {
    /// What the member `name` of an object is.
    fn member(self, name: &[u8]) -> Self {
        match (self, name) {
            (Self::Export, b"data") => Self::Data,
            (Self::Data, b"nodes") => Self::Nodes,
            (Self::Data, b"viewport") => Self::Layout,
            (Self::Node, name) if !VERTEX.iter().any(|kept| kept.as_bytes() == name) => {
                Self::Layout
            }
            (Self::Layout, _) => Self::Detail,
            _ => Self::Other,
        }
    }
}

/// A walk over the text. It knows as much of JSON as it needs to find its way in one that is valid.
struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    /// End of what was taken out last.
    kept: usize,
    /// What is hashed.
    parts: Vec<&'a [u8]>,
}

impl<'a> Scan<'a> {
    /// Passes a value.
    fn value(&mut self, place: Place) -> Option<()> {
        use Place::{Data, Export, Layout, Node, Nodes};
        match (self.peek()?, place) {
            (b'"', _) => self.text().map(drop),
            (b'{', Export | Data | Node | Layout) => self.object(place),
            (b'[', Nodes) => self.list(),
            (b'{', _) => self.skip(b'{', b'}'),
            (b'[', _) => self.skip(b'[', b']'),
            _ => self.scalar(place),
        }
    }

    fn object(&mut self, place: Place) -> Option<()> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            (self.peek()? == b'"').then_some(())?;
            let name = self.text()?;
            // An escape may spell any name.
            if name.contains(&b'\\') {
                return None;
            }
            (self.peek()? == b':').then_some(())?;
            self.at += 1;
            self.value(place.member(name))?;
            if self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    fn list(&mut self) -> Option<()> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(Place::Node)?;
            if self.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Passes a comma, or the end. True: it was the end.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        (byte == b',' || byte == end).then_some(byte == end)
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.body[self.at..].iter().position(|byte| !is_space(byte))?;
        Some(self.body[self.at])
    }

    /// Passes a text, and returns what is between its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            end += memchr2(b'"', b'\\', self.body.get(end..)?)?;
            if self.body[end] == b'"' {
                break;
            }
            end += 2;
        }
        self.at = end + 1;
        Some(&self.body[start..end])
    }

    /// Passes what is between two brackets, and these. Others stand in pairs between them.
    fn skip(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.at += memchr3(b'"', open, close, &self.body[self.at..])?;
            match self.body[self.at] {
                b'"' => {
                    self.text()?;
                    continue;
                }
                byte if byte == open => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes a scalar that is no text, and takes it out when it is layout.
    fn scalar(&mut self, place: Place) -> Option<()> {
        let rest = &self.body[self.at..];
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        let length = rest.iter().position(is_end)?;
        if matches!(place, Place::Layout | Place::Detail) && is_plain(&rest[..length]) {
            self.parts.extend([&self.body[self.kept..self.at], GAP]);
            self.kept = self.at + length;
        }
        self.at += length;
        Some(())
    }
}

/// Whether this is a scalar of JSON (RFC 8259 §3 and §6) that no limit of ours refuses.
fn is_plain(scalar: &[u8]) -> bool {
    if matches!(scalar, b"true" | b"false" | b"null") {
        return true;
    }
    let (rest, whole) = digits(scalar.strip_prefix(b"-").unwrap_or(scalar));
    let (rest, part) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest),
        None => (rest, &b"0"[..]),
    };
    let (rest, power) = match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest),
        rest => (rest, &b"0"[..]),
    };
    let is_natural = whole == b"0" || whole.first().is_some_and(|first| *first != b'0');
    let fits = [(whole, 16), (part, 20), (power, 2)];
    rest.is_empty() && is_natural && fits.iter().all(|(d, most)| (1..=*most).contains(&d.len()))
}

/// What stands behind the digits at the beginning, and those.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    (rest, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Option<Digest> {
        without_layout(text.as_bytes(), &Limits::default())
    }

    fn export(node: &str, viewport: &str) -> String {
        format!(r#"{{"name":"a","data":{{"nodes":[{node}],"edges":[],"viewport":{viewport}}}}}"#)
    }

    fn placed(position: &str) -> String {
        let rest = r#""type":"genericNode","data":{"node":{"x":1,"y":[2,{"z":"}\""}]}}"#;
        export(&format!(r#"{{"id":"n","position":{position},{rest}}}"#), r#"{"x":1,"zoom":0.5}"#)
    }

    /// What is only drawn elsewhere is the same, however its numbers are written.
    #[test]
    fn places_do_not_count() {
        let one = shape(&placed(r#"{"x":1,"y":2}"#));
        assert!(one.is_some());
        for same in ["0", "-17.25", "1e-7", "-4.547473508864641e-13", "9007199254740991", "true"] {
            assert_eq!(shape(&placed(&format!(r#"{{"x":{same},"y":0}}"#))), one, "{same}");
        }
        let node = r#"{"id":"n","selected":false,"width":3,"measured":{"height":1}}"#;
        let other = r#"{"id":"n","selected":true,"width":4.5,"measured":{"height":-1}}"#;
        assert_eq!(shape(&export(node, r#"{"zoom":1}"#)), shape(&export(other, r#"{"zoom":2}"#)));
    }

    /// Everything else does: what the flow keeps, texts, names, and how the text is spaced.
    #[test]
    fn all_else_counts() {
        let one = placed(r#"{"x":1,"y":2}"#);
        for (part, other) in [
            (r#""n""#, r#""m""#),
            (r#""x":1,"y":["#, r#""x":2,"y":["#),
            ("[2,{", "[3,{"),
            (r#"{"z":"}\""}"#, r#"{"z":"}\\"}"#),
            (r#""position""#, r#""positions""#),
            (r#""y":2}"#, r#""y":"2"}"#),
            (r#""y":2}"#, r#""y": 2}"#),
            (r#""y":2}"#, r#""y":[2]}"#),
            (r#""name":"a""#, r#""name":1"#),
        ] {
            let changed = one.replacen(part, other, 1);
            assert_ne!(changed, one, "{part}");
            assert_ne!(shape(&changed), shape(&one), "{part}");
        }
        // A member that the flow keeps, and one of a node inside of it.
        for part in ["type", "data"] {
            let node = |n: u8| export(&format!(r#"{{"id":"n","x":0,"{part}":{n}}}"#), "{}");
            assert_ne!(shape(&node(1)), shape(&node(2)));
        }
    }

    /// A text that two readers may take for different things has no shape, or one of its own.
    #[test]
    fn what_is_not_plain_is_not_told() {
        let one = shape(&placed(r#"{"x":1,"y":2}"#));
        for bad in [
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e999",
            "1e",
            "12345678901234567890",
            "NaN",
            "\0",
            "tru",
            "",
        ] {
            assert_ne!(shape(&placed(&format!(r#"{{"x":{bad},"y":2}}"#))), one, "{bad:?}");
        }
        let gap = placed("{\"x\":\0,\"y\":\0}");
        assert_eq!(shape(&gap), None);
        assert_eq!(shape(&export(r#"{"id":"n","x":1,"\u0074ype":5}"#, "{}")), None);
        for cut in ["", "{", "[", "{}", "1", "\"", r#"{"data":{"nodes":[{"x":"#, r#"{"a":"\"#] {
            assert_eq!(shape(cut), None, "{cut}");
        }
        let small = Limits { body: 10, ..Limits::default() };
        assert_eq!(without_layout(placed("1").as_bytes(), &small), None);
    }

    /// Nesting costs no stack.
    #[test]
    fn a_deep_text_is_passed() {
        for open in ["[", r#"{"a":"#] {
            let deep = open.repeat(400_000);
            for text in
                [deep.clone(), export(&format!(r#"{{"x":{deep}"#), "{}"), export(&deep, "{}")]
            {
                assert_eq!(shape(&text), None);
            }
        }
    }
}
