//! What can go wrong with an attempt, and what follows from it.

use colophon_gitbridge::{Command, RemoteError, Report};

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer, or a cut one.
    Unreachable(String),
    /// An HTTP status that is no success.
    Status {
        status: u16,
        /// How long the remote asks us to wait, in milliseconds.
        retry_after: Option<u64>,
        /// The beginning of the body, when it is plain text.
        words: String,
    },
    /// A redirect: the credential is not sent to where it leads.
    Moved(String),
    /// The answer is of no use.
    Answer(RemoteError),
    /// The credential is not where it should be.
    Credential(String),
    /// The mirror cannot be used as it is set and configured.
    Settings(String),
    /// The remote took the push in and refused some of it: by a rule, which would refuse the same
    /// again, or for what may have passed the next time.
    Rejected { why: String, by_rule: bool },
    /// What is pushed cannot be read here.
    Local(String),
    /// The mirror was set anew or taken away, or the server stops.
    Obsolete,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Try again, no sooner than the remote asked for.
    Retry(Option<u64>),
    /// Try once more with the credential as it is then; after that, rest.
    Renew,
    /// Rest until somebody has looked at it.
    Park,
    /// Record nothing.
    Forget,
}

impl Fault {
    pub(super) fn consequence(&self) -> Consequence {
        match self {
            Self::Unreachable(_)
            | Self::Local(_)
            | Self::Rejected { by_rule: false, .. }
            | Self::Answer(
                RemoteError::Malformed(_) | RemoteError::TooLong(_) | RemoteError::Refused(_),
            ) => Consequence::Retry(None),
            Self::Status { status, retry_after, .. } => by_status(*status, *retry_after),
            Self::Credential(_) => Consequence::Renew,
            Self::Rejected { by_rule: true, .. }
            | Self::Settings(_)
            | Self::Moved(_)
            | Self::Answer(RemoteError::ObjectFormat(_)) => Consequence::Park,
            Self::Obsolete => Consequence::Forget,
        }
    }

    /// Whether another credential could help.
    pub(super) fn is_about_credential(&self) -> bool {
        self.consequence() == Consequence::Renew
    }

    /// What to tell an operator.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Unreachable(why) => format!("the remote cannot be reached: {why}"),
            Self::Status { status, words, .. } => {
                let told = if words.is_empty() { String::new() } else { format!(": {words}") };
                let hint = match status {
                    401 | 403 => " (is the credential valid, and may it write there?)",
                    404 => " (is the URL right, and does the credential reach the repository?)",
                    _ => "",
                };
                format!("the remote answered with status {status}{hint}{told}")
            }
            Self::Moved(to) => format!(
                "the remote has moved to `{to}`; set the mirror to where the repository is now"
            ),
            Self::Answer(error) => error.to_string(),
            Self::Credential(why) | Self::Settings(why) | Self::Local(why) => why.clone(),
            Self::Rejected { why, .. } => format!("the remote rejected the push: {why}"),
            Self::Obsolete => "the mirror has changed".to_owned(),
        }
    }
}

fn by_status(status: u16, retry_after: Option<u64>) -> Consequence {
    match status {
        408 | 425 | 429 | 500..=599 => Consequence::Retry(retry_after),
        // GitHub limits rates with 403 too, and then says how long.
        _ if retry_after.is_some() => Consequence::Retry(retry_after),
        401 | 403 | 404 => Consequence::Renew,
        _ => Consequence::Park,
    }
}

/// Why a push that did not land was refused, in the remote's words.
pub(super) fn rejection(report: &Report, commands: &[Command]) -> Fault {
    let unpack = report.unpack.as_deref();
    let mut by_rule = unpack.is_some_and(|why| is_rule(why, ""));
    let mut why: Vec<String> = unpack.map(|e| format!("unpack failed: {e}")).into_iter().collect();
    for Command { name, .. } in commands {
        if let Some(Err(reason)) = report.refs.get(name) {
            by_rule |= is_rule(reason, name);
            why.push(format!("{name}: {reason}"));
        }
    }
    if why.is_empty() {
        why.push("it has not moved its refs, and does not say why".to_owned());
    }
    if !report.messages.is_empty() {
        why.push(format!("it says: {}", report.messages));
    }
    Fault::Rejected { why: why.join("; "), by_rule }
}

/// Whether a reason is that of a rule or a hook, as Git and the forges put them: the same push would be
/// refused again. All else, such as `cannot lock ref`, `fetch first` or GitHub's bare `failed`, may
/// pass next time. The name of the ref, which may hold any word, does not count.
fn is_rule(reason: &str, name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "declined",
        "protected",
        "prohibited",
        "denied",
        "deny",
        "not allowed",
        "refusing",
        "hidden ref",
        "rule violation",
        "checked out",
    ];
    let reason = reason.replace(name, "").to_ascii_lowercase();
    WORDS.iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> Consequence {
        Fault::Status { status, retry_after, words: String::new() }.consequence()
    }

    #[test]
    fn statuses_mean_what_they_say() {
        for code in [500, 502, 503, 504, 429, 408] {
            assert_eq!(status(code, None), Consequence::Retry(None), "{code}");
            assert_eq!(status(code, Some(7)), Consequence::Retry(Some(7)), "{code}");
        }
        for code in [401, 403, 404] {
            assert_eq!(status(code, None), Consequence::Renew, "{code}");
        }
        assert_eq!(status(403, Some(7)), Consequence::Retry(Some(7)), "a rate limit");
        for code in [400, 410, 413, 422] {
            assert_eq!(status(code, None), Consequence::Park, "{code}");
        }
    }

    /// Reasons as git 2.47 and GitHub give them, for a ref whose name is a trap.
    #[test]
    fn rules_park_and_races_are_tried_again() {
        for reason in [
            "pre-receive hook declined",
            "protected branch hook declined",
            "hook declined",
            "push declined due to repository rule violations",
            "refusing to update checked out branch: refs/heads/x",
            "deletion prohibited",
            "deny updating a hidden ref",
        ] {
            assert_eq!(refused(reason).consequence(), Consequence::Park, "{reason}");
        }
        for reason in [
            "fetch first",
            "non-fast-forward",
            "failed to update ref",
            "cannot lock ref 'refs/heads/tenant/protected-co': is at 1 but expected 2",
            "reference already exists",
            "failed",
            "stale info",
        ] {
            assert_eq!(refused(reason).consequence(), Consequence::Retry(None), "{reason}");
        }
    }

    fn refused(reason: &str) -> Fault {
        let name = "refs/heads/tenant/protected-co".to_owned();
        let refs = [(name.clone(), Err(reason.to_owned()))].into();
        let messages = "no builds on fridays".to_owned();
        let report = Report { refs, messages, ..Report::default() };
        rejection(&report, &[Command { name, old: None, new: None }])
    }

    #[test]
    fn every_reason_is_told() {
        assert!(rejection(&Report::default(), &[]).text().contains("does not say why"));
        let text = refused("hook declined").text();
        let end = "refs/heads/tenant/protected-co: hook declined; it says: no builds on fridays";
        assert!(text.ends_with(end), "{text}");
        let full = Report { unpack: Some("disk full".to_owned()), ..Report::default() };
        assert!(rejection(&full, &[]).text().contains("unpack failed: disk full"));
    }
}
