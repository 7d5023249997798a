//! Where a place is, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The URL of a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PlaceUrl {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every name begins with; without slashes at its ends, and may be empty.
        prefix: String,
    },
    /// `file:///absolute/folder`.
    File(PathBuf),
    /// `memory://name`: gone with the process.
    Memory(String),
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place to export to: write `s3://bucket/prefix` or `file:///absolute/folder`, with letters, digits and `._-=` between slashes"
)]
pub struct InvalidPlace(String);

impl PlaceUrl {
    /// Whether one of two places is inside the other, or they are the same. Of two stores it is not known whether they are
    /// one, so buckets of the same name count as one.
    pub fn overlaps(&self, other: &Self) -> bool {
        let within = |a: &str, b: &str| {
            let inside = |long: &str, short: &str| {
                short.is_empty() || long == short || long.starts_with(&format!("{short}/"))
            };
            inside(a, b) || inside(b, a)
        };
        match (self, other) {
            (Self::S3 { bucket, prefix }, Self::S3 { bucket: other, prefix: theirs }) => {
                bucket == other && within(prefix, theirs)
            }
            (Self::File(a), Self::File(b)) => a.starts_with(b) || b.starts_with(a),
            (Self::Memory(a), Self::Memory(b)) => a == b,
            _ => false,
        }
    }

    /// The bucket, of one that has.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::S3 { bucket, .. } => Some(bucket),
            _ => None,
        }
    }
}

impl FromStr for PlaceUrl {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let invalid = || InvalidPlace(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        let rest = rest.trim_end_matches('/');
        match scheme {
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/');
                let good = prefix.is_empty() || prefix.split('/').all(is_name);
                let [bucket, prefix] = [bucket, prefix].map(str::to_owned);
                if is_bucket(&bucket) && good {
                    Ok(Self::S3 { bucket, prefix })
                } else {
                    Err(invalid())
                }
            }
            "file" => {
                let path = PathBuf::from(rest);
                let plain = path.components().all(|part| part != std::path::Component::ParentDir);
                if path.is_absolute() && plain { Ok(Self::File(path)) } else { Err(invalid()) }
            }
            "memory" if is_name(rest) => Ok(Self::Memory(rest.to_owned())),
            _ => Err(invalid()),
        }
    }
}

/// Names of buckets (Amazon S3, "General purpose bucket naming rules"), and the older ones that other stores take.
fn is_bucket(name: &str) -> bool {
    (3..=255).contains(&name.len()) && is_name(name) && !name.contains('=')
}

/// A name that needs no quoting in a URL, and leads nowhere else.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=".contains(c);
    !name.is_empty() && name.chars().all(plain) && name.chars().any(|c| c != '.')
}

impl fmt::Display for PlaceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Memory(name) => write!(f, "memory://{name}"),
        }
    }
}

impl TryFrom<String> for PlaceUrl {
    type Error = InvalidPlace;
    fn try_from(text: String) -> Result<Self, InvalidPlace> {
        text.parse()
    }
}

impl From<PlaceUrl> for String {
    fn from(url: PlaceUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that lie beside what they open are no protection.
    #[test]
    fn places_inside_each_other_overlap() {
        let overlap = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|url| url.parse::<PlaceUrl>().unwrap());
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(overlap("s3://one/a", "s3://one/a/b") && overlap("s3://one", "s3://one/a"));
        assert!(overlap("file:///a", "file:///a/b") && overlap("memory://a", "memory://a"));
        assert!(!overlap("s3://one/a", "s3://one/ab") && !overlap("s3://one", "s3://two"));
        assert!(!overlap("file:///a", "file:///ab") && !overlap("memory://a", "memory://b"));
    }

    #[test]
    fn urls_are_read_and_written_back() {
        for good in ["s3://evidence", "s3://evidence/a/b-c", "file:///srv/evidence", "memory://one"]
        {
            assert_eq!(good.parse::<PlaceUrl>().unwrap().to_string(), good);
            assert_eq!(format!("{good}/").parse::<PlaceUrl>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "s3://",
            "s3://ab",
            "s3://evidence/a//b",
            "s3://evidence/../b",
            "s3://evi dence",
            "file://a",
            "file:///a/../b",
            "https://evidence",
            "memory://",
            "s3://evidence/a?b",
            "evidence",
        ] {
            assert!(bad.parse::<PlaceUrl>().is_err(), "{bad}");
        }
    }
}
