//! Taking something away for good: every version of it, and the marks that it was deleted.

use axum::http::Method;
use object_store::ObjectStoreExt as _;

use super::signed::Signed;
use super::{Answered, Failure, Place, Trouble};

/// What became of objects that were to be taken away.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Destroyed {
    /// How many objects, versions and marks were deleted.
    pub(crate) deleted: u64,
    /// What is there still, with the reason: it is locked, or may not be deleted.
    pub(crate) left: Vec<String>,
}

/// One version of an object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Found {
    key: String,
    version: String,
}

/// How many pages of versions are read; each has 1,000.
const PAGES: usize = 1000;

impl Place {
    /// Takes away every version of every object whose name begins with `prefix` and a slash, as far as `wanted` says so of its
    /// name below the place; then looks what is left.
    pub(crate) async fn destroy(
        &self,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Answered<Destroyed> {
        match &self.signed {
            Some(signed) => self.destroy_versions(signed, prefix, wanted).await,
            None => self.destroy_objects(prefix, wanted).await,
        }
    }

    /// The names, below the place, of what begins with `prefix` and a slash, or of everything when that is empty, and has a
    /// version or a mark that it was deleted; sorted. `None`: there are no versions here.
    pub(crate) async fn versioned(&self, prefix: &str) -> Answered<Option<Vec<String>>> {
        let Some(signed) = &self.signed else { return Ok(None) };
        let below = self.full("x")?.len() - 1;
        let all = self.full("x")?;
        let whole = if prefix.is_empty() {
            all[..below].to_owned()
        } else {
            format!("{}/", self.full(prefix)?)
        };
        let found = versions(signed, &whole).await?;
        let name = |found: &Found| found.key.get(below..).map(str::to_owned);
        let mut names: Vec<String> = found.iter().filter_map(name).collect();
        names.sort();
        names.dedup();
        Ok(Some(names))
    }

    async fn destroy_objects(
        &self,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Answered<Destroyed> {
        let mut done = Destroyed::default();
        for name in self.list(prefix).await?.into_iter().filter(|name| wanted(name)) {
            let deleted = self.store.delete(&self.path(&name)?).await;
            match deleted.map_err(|error| Failure::of(&name, &error)) {
                Ok(()) | Err(Failure::Missing) => done.deleted += 1,
                Err(failure) => done.left.push(failure.into_trouble(&name).text),
            }
        }
        Ok(done)
    }

    async fn destroy_versions(
        &self,
        signed: &Signed,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Answered<Destroyed> {
        let below = self.full("x")?.len() - 1;
        let of_ours = |found: &Found| found.key.get(below..).is_some_and(&wanted);
        let whole = format!("{}/", self.full(prefix)?);
        let all = match versions(signed, &whole).await {
            // Who cannot tell of versions keeps none.
            Err(Failure::Trouble(trouble)) if trouble.code == "export-unsupported" => {
                return self.destroy_objects(prefix, wanted).await;
            }
            all => all?,
        };
        let (mut done, mut why) = (Destroyed::default(), Vec::new());
        for Found { key, version } in all.into_iter().filter(of_ours) {
            let query = format!("?versionId={}", encoded(&version));
            let reply = signed.ask(Method::DELETE, &key, &query).await?;
            if reply.status.is_success() {
                done.deleted += 1;
                continue;
            }
            match reply.into_failure(&key) {
                // All of it is done again: what is deleted by then is not there to be listed.
                Failure::Trouble(trouble) if trouble.passing => {
                    return Err(Failure::Trouble(trouble));
                }
                failure => {
                    let text = failure.into_trouble(&key).text;
                    why.push((key, text));
                }
            }
        }
        // What a store says it has deleted is believed when it is not there any more.
        for Found { key, version } in versions(signed, &whole).await?.into_iter().filter(of_ours) {
            let said = why.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_str());
            let said = said.unwrap_or("it is there though it was said to be deleted");
            done.left.push(format!("version {version} of `{key}`: {said}"));
        }
        Ok(done)
    }
}

/// Every version and delete mark of what begins with `prefix` (`ListObjectVersions`).
async fn versions(signed: &Signed, prefix: &str) -> Answered<Vec<Found>> {
    let (mut all, mut marker) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let query = format!("?versions=&prefix={}{marker}", encoded(prefix));
        let reply = signed.ask(Method::GET, "", &query).await?;
        if !reply.status.is_success() {
            return Err(reply.into_failure(prefix));
        }
        all.extend(listed(&reply.body));
        if reply.element("IsTruncated") != Some("true") {
            return Ok(all);
        }
        let [key, version] = ["NextKeyMarker", "NextVersionIdMarker"]
            .map(|name| encoded(reply.element(name).unwrap_or_default()));
        marker = format!("&key-marker={key}&version-id-marker={version}");
    }
    // What was not listed is not known to be gone.
    let text = format!("`{prefix}` has more than {PAGES} pages of versions");
    Err(Failure::Trouble(Trouble::new("export-refused", text)))
}

/// The entries of an answer. Names are of letters, digits and `._-=/`, so nothing in them is quoted.
fn listed(body: &str) -> Vec<Found> {
    let entries = ["Version", "DeleteMarker"].map(|element| {
        body.split(&format!("<{element}>"))
            .skip(1)
            .filter_map(|rest| rest.split(&format!("</{element}>")).next())
            .filter_map(|entry| {
                let text = |name: &str| {
                    let (_, rest) = entry.split_once(&format!("<{name}>"))?;
                    rest.split_once("</").map(|(text, _)| text.to_owned())
                };
                Some(Found { key: text("Key")?, version: text("VersionId")? })
            })
            .collect::<Vec<_>>()
    });
    entries.concat()
}

/// Percent-encoded for a query (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_marks_are_found_in_an_answer() {
        let body = "<ListVersionsResult><IsTruncated>false</IsTruncated>\
            <Version><Key>v1/a</Key><VersionId>1</VersionId><IsLatest>false</IsLatest></Version>\
            <DeleteMarker><Key>v1/a</Key><VersionId>2</VersionId></DeleteMarker>\
            <Version><Key>v1/b</Key><VersionId>null</VersionId></Version></ListVersionsResult>";
        let found = listed(body);
        let found: Vec<_> =
            found.iter().map(|one| (one.key.as_str(), one.version.as_str())).collect();
        assert_eq!(found, [("v1/a", "1"), ("v1/b", "null"), ("v1/a", "2")]);
        assert_eq!(encoded("a/b=c"), "a%2Fb%3Dc");
    }
}
