//! The audit log of a sealed bag, as far as it is for everybody: what was done, when and by which kind of credential, and the
//! two hashes of each line that its chain and its Merkle root are made of. What a line names is left out: flows, tags and
//! tenants bear names that people gave them. So is the commitment to where it came from, whose salt keeps a line from being
//! guessed. The lines themselves lie beside it, sealed.

use colophon_model::Sha256;
use colophon_model::audit::{Action, Entry, Hashes, leaf};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An act without names. Members stand in the order of their names, so that the JSON is canonical (RFC 8785).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenAct {
    /// What was done.
    action: String,
    /// The kind of credential that it was done with.
    actor: String,
    /// How often.
    count: u64,
    /// The line's [`leaf`].
    leaf: Sha256,
    /// SHA-256 of the line, which the next one names.
    line: Sha256,
    /// What came of it.
    outcome: String,
    /// SHA-256 of the line before.
    prev: Sha256,
    /// The line's number.
    seq: u64,
    /// The kind of what it was done to.
    subject: String,
    /// When.
    time: String,
}

impl OpenAct {
    fn of(line: &str) -> Option<Self> {
        let Entry { seq, prev, count, time, .. } = serde_json::from_str(line).ok()?;
        let json: Value = serde_json::from_str(line).ok()?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            action: word(&json["action"])?,
            actor: word(&json["actor"]["kind"])?,
            count,
            leaf: leaf(line.as_bytes()),
            line: Sha256::of(line.as_bytes()),
            outcome: word(&json["outcome"])?,
            prev,
            seq,
            subject: word(&json["subject"]["kind"])?,
            time,
        })
    }

    /// When an erasure was given up, if it tells of that.
    pub(super) fn given_up(&self) -> Option<&str> {
        let is_one = self.action == Action::TenantErase.word() && self.outcome == GIVEN_UP;
        is_one.then_some(&self.time)
    }

    /// What binds the line to its chain.
    pub(super) const fn hashes(&self) -> Hashes {
        let Self { seq, prev, line, leaf, .. } = *self;
        Hashes { seq, prev, line, leaf }
    }
}

/// The outcome of what should have been possible, and was not.
const GIVEN_UP: &str = "failed";

/// A line for each of `lines`.
///
/// # Errors
/// The number, from 1 on, of the first that is no entry of a log.
pub(super) fn of_lines(lines: &str) -> Result<String, u64> {
    let mut text = String::new();
    for (at, line) in lines.lines().enumerate() {
        let act = OpenAct::of(line).and_then(|act| serde_json::to_string(&act).ok());
        text.push_str(&act.ok_or(at as u64 + 1)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::audit::{
        Act, Actor, ActorKind, Chain, ChainHead, Origin, Outcome, Subject, Walk,
    };
    use colophon_model::{TenantUid, UnixMillis};

    /// Names of people's things are not in it, nor what would let somebody guess them; the chain is.
    #[test]
    fn acts_bear_no_names_and_bind_the_lines() {
        let chain = Chain::Tenant(TenantUid::from_bytes([7; 16]));
        let origin = Origin {
            address: "192.0.2.1".to_owned(),
            agent: "curl/8".to_owned(),
            salt: "00".repeat(16),
            trace: String::new(),
        };
        let commitment = origin.commitment().to_string();
        let act = Act::done(
            Actor::new(ActorKind::Token, "tok-quagmire"),
            Action::FlowDelete,
            Subject::new("flow", "quagmire"),
        );
        let act = act.with("flow", "quagmire").with("tag", "v1-quagmire").from(Some(origin));
        let (mut text, mut head) = (String::new(), ChainHead::default());
        for n in 0..3 {
            let (line, after) = head.append(chain, &act, UnixMillis::new(1_795_262_400_000 + n));
            text.push_str(&(line + "\n"));
            head = after;
        }
        let open = of_lines(&text).unwrap();
        assert!(!open.contains("quagmire") && !open.contains(&commitment), "{open}");
        assert!(open.starts_with("{\"action\":\"flow.delete\",\"actor\":\"token\","), "{open}");
        let mut walk = Walk::new(chain);
        for line in open.lines() {
            let act: OpenAct = serde_json::from_str(line).unwrap();
            walk.step_hashed(&act.hashes()).unwrap();
        }
        assert!(walk.ends_at(&head));
        assert_eq!(of_lines("{}\n"), Err(1));
    }

    /// Whoever has no key still sees that an erasure which was begun came to nothing.
    #[test]
    fn an_erasure_that_was_given_up_is_told_without_names() {
        let chain = Chain::Tenant(TenantUid::from_bytes([7; 16]));
        let actor = Actor::new(ActorKind::Operator, "operator");
        let act = Act::done(actor, Action::TenantErase, Subject::new("tenant", "quagmire"));
        let failed = act.came_to(Outcome::Failed("export-keys-left".to_owned()));
        let time = UnixMillis::new(1_795_262_400_000);
        let (line, _) = ChainHead::default().append(chain, &failed, time);
        let act = OpenAct::of(&line).unwrap();
        assert_eq!(act.given_up(), Some(time.rfc3339().as_str()));
    }
}
