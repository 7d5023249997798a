//! Texts that go into the headers and messages of commits and tags.

use colophon_model::UnixMillis;
use gix_object::bstr::ByteSlice;

use crate::Error;

/// Who made a commit or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    name: String,
    email: String,
}

impl Ident {
    /// Refuses empty parts, control characters, and `<` or `>`, which delimit the address.
    pub fn new(name: impl Into<String>, email: impl Into<String>) -> Result<Self, Error> {
        let (name, email) = (name.into(), email.into());
        let fits = |s: &str| is_line(s) && !s.contains(['<', '>']);
        if !fits(&name) {
            return Err(unusable("author name", &name));
        }
        if !fits(&email) || email.contains(' ') {
            return Err(unusable("author address", &email));
        }
        Ok(Self { name, email })
    }

    /// The signature at `time`, in whole seconds and UTC.
    pub(crate) fn signature(&self, time: UnixMillis) -> gix_actor::Signature {
        gix_actor::Signature {
            name: self.name.as_str().into(),
            email: self.email.as_str().into(),
            time: gix_date::Time {
                seconds: i64::try_from(time.seconds()).unwrap_or(i64::MAX),
                offset: 0,
            },
        }
    }
}

/// A subject line and trailers, as `git interpret-trailers` reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    subject: String,
    trailers: Vec<(&'static str, String)>,
}

impl Message {
    /// Refuses an empty subject or trailer value, control characters, space at either end, and keys
    /// other than `[A-Za-z][A-Za-z0-9-]*`.
    pub fn new(
        subject: impl Into<String>,
        trailers: Vec<(&'static str, String)>,
    ) -> Result<Self, Error> {
        let subject = subject.into();
        if !is_line(&subject) {
            return Err(unusable("subject", &subject));
        }
        for (key, value) in &trailers {
            if !is_key(key) {
                return Err(unusable("trailer key", key));
            }
            if !is_line(value) {
                return Err(unusable("trailer value", value));
            }
        }
        Ok(Self { subject, trailers })
    }

    /// The text as it stands in an object: the subject, an empty line, `Key: value` lines.
    pub(crate) fn render(&self) -> String {
        let gap = if self.trailers.is_empty() { "" } else { "\n" };
        let trailers = self.trailers.iter().map(|(key, value)| format!("{key}: {value}\n"));
        format!("{}\n{gap}{}", self.subject, trailers.collect::<String>())
    }
}

/// The short name of a tag, below `refs/tags/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagName(String);

const MAX_TAG_NAME: usize = 200;

impl TagName {
    /// Applies the rules of `git check-ref-format`, and refuses a leading dash and names over 200
    /// bytes, which not every file system takes.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        let full = format!("refs/tags/{name}");
        let valid = gix_validate::reference::name(full.as_bytes().as_bstr()).is_ok()
            && gix_validate::tag::name(name.as_bytes().as_bstr()).is_ok();
        if !valid || name.starts_with('-') || name.len() > MAX_TAG_NAME {
            return Err(unusable("tag name", &name));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is one non-empty line that a reader gets back as it was.
fn is_line(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn unusable(what: &'static str, text: &str) -> Error {
    let text = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    Error::Text { what, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_render_as_git_reads_them() {
        let plain = Message::new("chore(tenant): bootstrap acme", vec![]).unwrap();
        assert_eq!(plain.render(), "chore(tenant): bootstrap acme\n");
        let trailers = vec![("Flow", "a".to_owned()), ("Build-Id", "7".to_owned())];
        let full = Message::new("feat(flow): build a", trailers).unwrap();
        assert_eq!(full.render(), "feat(flow): build a\n\nFlow: a\nBuild-Id: 7\n");
    }

    /// A line break in a value would forge a second trailer or a header.
    #[test]
    fn texts_cannot_forge_lines() {
        for bad in ["", " a", "a ", "a\nb", "a\rb", "a\0b", "a\u{1b}[2J"] {
            assert!(Message::new(bad, vec![]).is_err(), "{bad:?}");
            assert!(Message::new("ok", vec![("Flow", bad.to_owned())]).is_err(), "{bad:?}");
            assert!(Ident::new(bad, "a@b").is_err(), "{bad:?}");
            assert!(Ident::new("a", bad).is_err(), "{bad:?}");
        }
        for bad in ["", "Bad Key", "1a", "a:b", "é"] {
            assert!(Message::new("ok", vec![(bad, "v".to_owned())]).is_err(), "{bad:?}");
        }
        assert!(Ident::new("a <b>", "a@b").is_err());
        assert!(Ident::new("a", "a@b> 0").is_err());
    }

    #[test]
    fn tag_names_follow_check_ref_format() {
        assert!(TagName::new("bld/acme/20261121120000007-cloud").is_ok());
        let bad =
            ["", "-a", "a..b", "a b", "a~1", "a^", "a:b", "a\\b", "a.lock", "/a", "a/", "a\n"];
        for bad in bad.into_iter().chain([&*"a".repeat(201)]) {
            assert!(TagName::new(bad).is_err(), "{bad:?}");
        }
    }
}
