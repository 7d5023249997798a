//! What is wrong with a place that objects are kept at, as its store says it.

/// What is wrong with a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    /// A stable code.
    pub code: &'static str,
    /// What is wrong, and with what.
    pub text: String,
    /// What helps.
    pub hint: Option<&'static str>,
    /// Whether it may help to try again.
    pub passing: bool,
}

impl Trouble {
    /// Trouble that stays until somebody does something.
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None, passing: false }
    }

    /// The same with what helps.
    #[must_use]
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What became of a request at `path`. Whether something was there or not is for the caller to know before.
    pub(crate) fn of(path: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        let text = format!("`{path}`: {}", told(error));
        let answer = Answer::of(error);
        if let Some(known) = Self::known(&answer.text, &text) {
            return known;
        }
        match error {
            Error::Unauthenticated { .. } => {
                Self::new("export-credentials", text).hint(CREDENTIALS)
            }
            Error::PermissionDenied { .. } => Self::new("export-denied", text).hint(DENIED),
            Error::NotFound { .. } => Self::new("export-missing", text),
            Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                Self::new("export-conflict", text).passing()
            }
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                Self::new("export-unsupported", text)
            }
            Error::Generic { .. } => match answer.status {
                Some(status) => Self::answered(status, text),
                None => Self::new("export-unreachable", text).passing(),
            },
            _ => Self::new("export-refused", text),
        }
    }

    /// What a status says that is no success, beside what its body says.
    pub(crate) fn of_status(status: u16, body: &str, text: String) -> Self {
        Self::known(body, &text).unwrap_or_else(|| Self::answered(status, text))
    }

    fn answered(status: u16, text: String) -> Self {
        match status {
            401 | 403 => Self::new("export-denied", text).hint(DENIED),
            501 | 505 => Self::new("export-unsupported", text),
            408 | 425 | 429 | 500.. => Self::new("export-unreachable", text).passing(),
            _ => Self::new("export-refused", text),
        }
    }

    /// Trouble that a word in what was said tells; mostly codes of S3 ("Error responses").
    fn known(said: &str, text: &str) -> Option<Self> {
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let new = |code| Self::new(code, text);
        if says(&["RequestTimeTooSkewed"]) {
            Some(
                new("export-clock")
                    .hint("the clocks of this machine and of the store differ; set this one"),
            )
        } else if says(&["NoSuchBucket"]) {
            Some(new("export-no-bucket").hint("make the bucket, or name another"))
        } else if says(&[
            "incorrectly configured region",
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "IllegalLocationConstraint",
        ]) {
            Some(new("export-region").hint("set `export.region`, or `--region`, to the bucket's"))
        } else if says(&["RequestTimeout", "IncompleteBody"]) {
            // S3 says so with a 400 when a body stops coming.
            Some(new("export-unreachable").passing())
        } else if says(&[
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "TokenRefreshRequired",
            "169.254.169.254",
        ]) {
            // The last is where a machine's role would be found: nobody said anything else.
            Some(new("export-credentials").hint(CREDENTIALS))
        } else if says(&["BadDigest", "SHA256Mismatch", "ChecksumMismatch"]) {
            Some(new("export-changed-on-its-way").passing())
        } else {
            None
        }
    }

    fn passing(mut self) -> Self {
        self.passing = true;
        self
    }
}

const DENIED: &str = "docs/export.md has the policy that the exporter's credentials need";
const CREDENTIALS: &str = "credentials are found as AWS tools find them: AWS_ACCESS_KEY_ID and \
                           AWS_SECRET_ACCESS_KEY, a web identity, or the machine's role; or see `export.secret_key`";

/// An error with its causes, as far as they say more, without line breaks.
fn told(error: &object_store::Error) -> String {
    let mut text = crate::http::chain(error);
    if let Some(at) = text.char_indices().nth(600) {
        text.truncate(at.0);
    }
    text.replace(['\n', '\r'], " ")
}

/// What a store answered; its types do not say, so it is read from the error's text.
struct Answer {
    text: String,
    status: Option<u16>,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let text = crate::http::chain(error);
        let status = text.split("status code: ").nth(1).and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        Self { text, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    /// What may pass is tried again, what stays is not; and each has a code of its own.
    #[test]
    fn trouble_is_told_apart_by_what_a_store_says() {
        for (said, code, passing) in [
            (
                "Server returned non-2xx status code: 503 Service Unavailable: SlowDown",
                "export-unreachable",
                true,
            ),
            (
                "Server returned non-2xx status code: 500 Internal Server Error: ",
                "export-unreachable",
                true,
            ),
            (
                "Server returned non-2xx status code: 429 Too Many Requests: ",
                "export-unreachable",
                true,
            ),
            ("HTTP error: error sending request", "export-unreachable", true),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>BadDigest</Code>",
                "export-changed-on-its-way",
                true,
            ),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>InvalidArgument</Code>",
                "export-refused",
                false,
            ),
            (
                "Server returned non-2xx status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>",
                "export-clock",
                false,
            ),
            (
                "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>",
                "export-denied",
                false,
            ),
            (
                "Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>",
                "export-no-bucket",
                false,
            ),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>RequestTimeout</Code>",
                "export-unreachable",
                true,
            ),
            (
                "Server returned non-2xx status code: 400 Bad Request: <Code>ExpiredToken</Code>",
                "export-credentials",
                false,
            ),
            (
                "Server returned non-2xx status code: 501 Not Implemented: ",
                "export-unsupported",
                false,
            ),
            (
                "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
                "export-region",
                false,
            ),
            (
                "Error performing PUT http://169.254.169.254/latest/api/token",
                "export-credentials",
                false,
            ),
        ] {
            let trouble = Trouble::of("HEAD.json", &generic(said));
            assert_eq!((trouble.code, trouble.passing), (code, passing), "{said}");
            assert!(trouble.text.starts_with("`HEAD.json`: "), "{trouble}");
        }
        let long = Trouble::of("x", &generic(&"a\n".repeat(10_000))).text;
        assert!(long.len() < 700 && !long.contains('\n'), "{}", long.len());
    }
}
