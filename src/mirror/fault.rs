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
    /// The remote took the push in and refused some of it.
    Rejected(String),
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
            Self::Rejected(why) if is_policy(why) => Consequence::Park,
            Self::Unreachable(_)
            | Self::Local(_)
            | Self::Rejected(_)
            | Self::Answer(
                RemoteError::Malformed(_) | RemoteError::TooLong(_) | RemoteError::Refused(_),
            ) => Consequence::Retry(None),
            Self::Status { status, retry_after, .. } => by_status(*status, *retry_after),
            Self::Credential(_) => Consequence::Renew,
            Self::Settings(_) | Self::Moved(_) | Self::Answer(RemoteError::ObjectFormat(_)) => {
                Consequence::Park
            }
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
            Self::Rejected(why) => format!("the remote rejected the push: {why}"),
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
    let mut why: Vec<String> =
        report.unpack.iter().map(|e| format!("unpack failed: {e}")).collect();
    let refused = |command: &Command| {
        let reason = report.refs.get(&command.name)?.as_ref().err()?;
        Some(format!("{}: {reason}", command.name))
    };
    why.extend(commands.iter().filter_map(refused));
    if why.is_empty() {
        why.push("it has not moved its refs, and does not say why".to_owned());
    }
    if !report.messages.is_empty() {
        why.push(format!("it says: {}", report.messages));
    }
    Fault::Rejected(why.join("; "))
}

/// Words of a rule or a hook, as Git and the forges put them: the same push would be refused again.
/// All else, such as `cannot lock ref`, `fetch first` or GitHub's bare `failed`, may pass next time.
fn is_policy(why: &str) -> bool {
    const WORDS: [&str; 11] = [
        "declined",
        "protected",
        "prohibited",
        "denied",
        "deny",
        "not allowed",
        "refusing",
        "hidden ref",
        "gh0",
        "rule violation",
        "checked out",
    ];
    let why = why.to_ascii_lowercase();
    WORDS.iter().any(|word| why.contains(word))
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

    /// Reasons as git 2.47 and GitHub give them.
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
            "failed; it says: GH013: Repository rule violations found",
        ] {
            let fault = Fault::Rejected(reason.to_owned());
            assert_eq!(fault.consequence(), Consequence::Park, "{reason}");
        }
        for reason in [
            "fetch first",
            "non-fast-forward",
            "failed to update ref",
            "cannot lock ref 'refs/heads/x': is at 1 but expected 2",
            "reference already exists",
            "failed",
            "stale info",
        ] {
            let fault = Fault::Rejected(reason.to_owned());
            assert_eq!(fault.consequence(), Consequence::Retry(None), "{reason}");
        }
    }

    #[test]
    fn every_reason_is_told() {
        let name = "refs/heads/x".to_owned();
        let commands = [Command { name: name.clone(), old: None, new: None }];
        let mut report = Report::default();
        assert!(rejection(&report, &commands).text().contains("does not say why"));
        report.refs.insert(name, Err("hook declined".to_owned()));
        report.messages = "no builds on fridays".to_owned();
        let text = rejection(&report, &commands).text();
        assert!(
            text.ends_with("refs/heads/x: hook declined; it says: no builds on fridays"),
            "{text}"
        );
    }
}
