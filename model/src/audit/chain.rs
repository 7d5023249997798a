//! Lines that are bound to each other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Act, Action, Actor, Outcome, Peaks, Subject};
use crate::{Sha256, TenantUid, UnixMillis};

/// Whose log: each tenant has a chain of its own, and what concerns none or many is in the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The server's own.
    System,
    /// That of a tenant.
    Tenant(TenantUid),
}

/// Stands for the system in keys: a tenant's uid is drawn at random and never this.
const SYSTEM: TenantUid = TenantUid::from_bytes([0; 16]);

impl Chain {
    /// The first part of the keys of its rows.
    pub const fn uid(self) -> TenantUid {
        match self {
            Self::System => SYSTEM,
            Self::Tenant(uid) => uid,
        }
    }

    /// The chain with that first part.
    pub fn of(uid: TenantUid) -> Self {
        if uid == SYSTEM { Self::System } else { Self::Tenant(uid) }
    }
}

impl Chain {
    /// How the system's chain calls a tenant: 32 hex digits of the SHA-256 of
    /// `colophon tenant in the audit log v1` and the uid. Erasing a tenant leaves no uid behind, and a chain
    /// cannot forget; whoever holds the report of the erasure can still find it.
    pub fn pseudonym(tenant: TenantUid) -> String {
        let named = [b"colophon tenant in the audit log v1".as_slice(), tenant.as_bytes()].concat();
        Sha256::of(&named).to_string()[..32].to_owned()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Tenant(uid) => uid.fmt(f),
        }
    }
}

impl FromStr for Chain {
    type Err = crate::InvalidUid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "system" { Ok(Self::System) } else { text.parse().map(Self::Tenant) }
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One line of a chain. Members stand in the order of their names and numbers stay below 2⁵³, so that the
/// JSON is canonical as in RFC 8785.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was done.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// Whose log this is in.
    pub chain: Chain,
    /// The stable code of the problem, when it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How often.
    pub count: u64,
    /// What else there is to know.
    pub detail: BTreeMap<String, String>,
    /// The commitment to where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Sha256>,
    /// `success`, `refused` or `failed`.
    pub outcome: Word,
    /// SHA-256 of the line before, without its line break; zeros in the first line.
    pub prev: Sha256,
    /// Its number in the chain, from 1 on.
    pub seq: u64,
    /// To what it was done.
    pub subject: Subject,
    /// When, RFC 3339 with milliseconds; never before the line before.
    pub time: String,
    /// Version of the form: 1.
    pub v: u32,
}

/// An outcome in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It was done.
    Success,
    /// It was not allowed or not possible.
    Refused,
    /// It should have been possible.
    Failed,
}

/// The form that lines are written in.
const VERSION: u32 = 1;

/// The end of a chain: all that the next line needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// How many lines there are.
    pub seq: u64,
    /// SHA-256 of the last one.
    pub last: Sha256,
    /// When that was written.
    pub time: UnixMillis,
    /// The tree over all of them.
    pub peaks: Peaks,
}

impl Default for ChainHead {
    /// That of an empty chain.
    fn default() -> Self {
        let last = Sha256::from_bytes([0; 32]);
        Self { seq: 0, last, time: UnixMillis::new(0), peaks: Peaks::default() }
    }
}

impl ChainHead {
    /// The line that writes `act` down at `now`, without a line break, and the head after it. A clock that
    /// steps back does not take the chain with it.
    pub fn append(&self, chain: Chain, act: &Act, now: UnixMillis) -> (String, Self) {
        let time = now.max(self.time);
        let (outcome, code) = match &act.outcome {
            Outcome::Success => (Word::Success, None),
            Outcome::Refused(code) => (Word::Refused, Some(code.clone())),
            Outcome::Failed(code) => (Word::Failed, Some(code.clone())),
        };
        let entry = Entry {
            action: act.action,
            actor: act.actor.clone(),
            chain,
            code,
            count: act.count,
            detail: act.detail.clone(),
            origin: act.origin.as_ref().map(super::Origin::commitment),
            outcome,
            prev: self.last,
            seq: self.seq + 1,
            subject: act.subject.clone(),
            time: time.rfc3339(),
            v: VERSION,
        };
        let line = entry.to_line();
        let after = self.follow(&line, time);
        (line, after)
    }

    /// The head after `line`, which was written at `time`. Whether it belongs there is for the caller to know.
    #[must_use]
    pub fn follow(&self, line: &str, time: UnixMillis) -> Self {
        let peaks = self.peaks.with(self.seq, line.as_bytes());
        Self { seq: self.seq + 1, last: Sha256::of(line.as_bytes()), time, peaks }
    }
}

impl Entry {
    /// The canonical JSON.
    fn to_line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// Why a line is not the next one of its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is no entry, or not in its canonical form.
    #[error("line {seq} is not an entry in its canonical form")]
    Form {
        /// Its number.
        seq: u64,
    },
    /// It belongs elsewhere: a line was taken out, put in, or moved.
    #[error("after line {after} comes one that says it is number {found} of chain {chain}")]
    Order {
        /// The line before.
        after: u64,
        /// What it says of itself.
        found: u64,
        /// The chain that it names.
        chain: Chain,
    },
    /// It does not name the hash of the line before: that one was changed.
    #[error("line {seq} names {named} as the hash of the line before, which is {is}")]
    Link {
        /// Its number.
        seq: u64,
        /// The hash that it names.
        named: Sha256,
        /// The hash of the line before.
        is: Sha256,
    },
    /// It is older than the line before.
    #[error("line {seq} is older than the line before")]
    Time {
        /// Its number.
        seq: u64,
    },
}

/// What binds a line to its chain, without the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashes {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of the line before.
    pub prev: Sha256,
    /// SHA-256 of the line.
    pub line: Sha256,
    /// Its [leaf](super::leaf).
    pub leaf: Sha256,
}

/// A walk along a chain from its first line, as whoever checks it does.
#[derive(Debug, Clone)]
pub struct Walk {
    chain: Chain,
    seq: u64,
    last: Sha256,
    time: String,
    peaks: Peaks,
}

impl Walk {
    /// Before the first line.
    pub fn new(chain: Chain) -> Self {
        let ChainHead { last, peaks, .. } = ChainHead::default();
        Self { chain, seq: 0, last, time: String::new(), peaks }
    }

    /// Takes the next line, without its line break.
    ///
    /// # Errors
    /// [`Broken`]; the walk cannot go on then.
    pub fn step(&mut self, line: &str) -> Result<Entry, Broken> {
        let form = Broken::Form { seq: self.seq + 1 };
        let entry: Entry = serde_json::from_str(line).map_err(|_| form.clone())?;
        if entry.v != VERSION || entry.to_line() != line {
            return Err(form);
        }
        if (entry.chain, entry.seq) != (self.chain, self.seq + 1) {
            let Entry { seq: found, chain, .. } = entry;
            return Err(Broken::Order { after: self.seq, found, chain });
        }
        if entry.prev != self.last {
            return Err(Broken::Link { seq: entry.seq, named: entry.prev, is: self.last });
        }
        // RFC 3339 in UTC with a fixed precision sorts as text.
        if entry.time < self.time {
            return Err(Broken::Time { seq: entry.seq });
        }
        self.peaks = self.peaks.with(self.seq, line.as_bytes());
        self.last = Sha256::of(line.as_bytes());
        self.seq = entry.seq;
        self.time.clone_from(&entry.time);
        Ok(entry)
    }

    /// Takes the next line of which only hashes are known.
    ///
    /// # Errors
    /// [`Broken`]; the walk cannot go on then.
    pub fn step_hashed(&mut self, hashes: &Hashes) -> Result<(), Broken> {
        let Hashes { seq, prev, line, leaf } = *hashes;
        if seq != self.seq + 1 {
            return Err(Broken::Order { after: self.seq, found: seq, chain: self.chain });
        }
        if prev != self.last {
            return Err(Broken::Link { seq, named: prev, is: self.last });
        }
        self.peaks = self.peaks.with_leaf(self.seq, leaf);
        (self.last, self.seq) = (line, seq);
        Ok(())
    }

    /// How many lines were taken.
    pub const fn size(&self) -> u64 {
        self.seq
    }

    /// The root over them.
    pub fn root(&self) -> Sha256 {
        self.peaks.root()
    }

    /// Whether `head` is the end of what was walked.
    pub fn ends_at(&self, head: &ChainHead) -> bool {
        (self.seq, self.last) == (head.seq, head.last) && self.peaks == head.peaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{ActorKind, Origin};

    fn act(n: u64) -> Act {
        let actor = Actor::new(ActorKind::Token, "0123456789ab");
        let act = Act::done(actor, Action::BuildMake, Subject::new("build", n));
        let origin = Origin {
            address: "192.0.2.1".to_owned(),
            agent: "curl/8".to_owned(),
            salt: "00".repeat(16),
            trace: String::new(),
        };
        act.with("flow", "order_intake").with("name", "say \"é\"\n").from(Some(origin))
    }

    fn chain() -> Chain {
        Chain::Tenant(TenantUid::from_bytes([7; 16]))
    }

    fn lines(count: u64) -> (Vec<String>, ChainHead) {
        let (mut lines, mut head) = (Vec::new(), ChainHead::default());
        for n in 0..count {
            let (line, after) =
                head.append(chain(), &act(n), UnixMillis::new(1_795_262_400_000 + n));
            lines.push(line);
            head = after;
        }
        (lines, head)
    }

    /// Whoever has only hashes comes to the same end, and sees what was taken out or put in.
    #[test]
    fn hashes_are_walked_as_lines_are() {
        let (lines, head) = lines(9);
        let hashes: Vec<Hashes> = lines
            .iter()
            .map(|line| {
                let Entry { seq, prev, .. } = serde_json::from_str(line).unwrap();
                let bytes = line.as_bytes();
                Hashes { seq, prev, line: Sha256::of(bytes), leaf: crate::audit::leaf(bytes) }
            })
            .collect();
        let mut walk = Walk::new(chain());
        for one in &hashes {
            walk.step_hashed(one).unwrap();
        }
        assert!(walk.ends_at(&head));
        let mut short = Walk::new(chain());
        assert!(short.step_hashed(&hashes[1]).is_err());
        short.step_hashed(&hashes[0]).unwrap();
        assert!(short.step_hashed(&Hashes { seq: 2, ..hashes[0] }).is_err());
        let mut other = Walk::new(chain());
        let changed = |one: &Hashes| Hashes { leaf: Sha256::of(b"x"), ..*one };
        for one in &hashes {
            other.step_hashed(&changed(one)).unwrap();
        }
        assert!(!other.ends_at(&head), "another root");
    }

    fn walk(lines: &[String]) -> Result<Walk, Broken> {
        let mut walk = Walk::new(chain());
        lines.iter().try_for_each(|line| walk.step(line).map(drop))?;
        Ok(walk)
    }

    /// Another form would break every chain that was written before.
    #[test]
    fn the_form_of_a_line_is_pinned() {
        let (lines, _) = lines(2);
        assert_eq!(
            lines[0],
            "{\"action\":\"build.make\",\"actor\":{\"id\":\"0123456789ab\",\"kind\":\"token\"},\
             \"chain\":\"07070707070707070707070707070707\",\"count\":1,\
             \"detail\":{\"flow\":\"order_intake\",\"name\":\"say \\\"é\\\"\\n\"},\
             \"origin\":\"8725138666e1e8780322c454333e4e49c2c9ff776cc4936caf9bdb9cd9f8a92f\",\
             \"outcome\":\"success\",\
             \"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
             \"seq\":1,\"subject\":{\"id\":\"0\",\"kind\":\"build\"},\
             \"time\":\"2026-11-21T12:00:00.000Z\",\"v\":1}"
        );
        assert!(lines[1].contains(&format!("\"prev\":\"{}\"", Sha256::of(lines[0].as_bytes()))));
    }

    #[test]
    fn an_untouched_chain_is_walked_to_its_head() {
        let (lines, head) = lines(20);
        let walk = walk(&lines).unwrap();
        assert!(walk.ends_at(&head));
        assert_eq!((walk.size(), walk.root()), (20, head.peaks.root()));
    }

    /// What an audit log is for: whoever changes, drops, adds or moves a line is seen.
    #[test]
    fn every_kind_of_change_breaks_the_chain() {
        let (good, head) = lines(6);
        let changed = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = good.clone();
            change(&mut lines);
            walk(&lines).map(|walk| walk.ends_at(&head))
        };
        assert_eq!(changed(&|_| ()), Ok(true));
        let edit = changed(&|lines| lines[2] = lines[2].replace("order_intake", "other_intake"));
        assert!(matches!(edit, Err(Broken::Link { seq: 4, .. })), "{edit:?}");
        let dropped = changed(&|lines| drop(lines.remove(2)));
        assert!(matches!(dropped, Err(Broken::Order { after: 2, found: 4, .. })), "{dropped:?}");
        let swapped = changed(&|lines| lines.swap(2, 3));
        assert!(matches!(swapped, Err(Broken::Order { .. })), "{swapped:?}");
        let twice = changed(&|lines| lines.insert(2, lines[1].clone()));
        assert!(matches!(twice, Err(Broken::Order { .. })), "{twice:?}");
        let spaced = changed(&|lines| lines[2] = lines[2].replace("\"v\":1", "\"v\": 1"));
        assert_eq!(spaced, Err(Broken::Form { seq: 3 }));
        let last = changed(&|lines| lines[5] = lines[5].replace("\"count\":1", "\"count\":2"));
        assert_eq!(last, Ok(false), "only the head, or a checkpoint, tells of the last line");
        let cut = changed(&|lines| lines.truncate(5));
        assert_eq!(cut, Ok(false), "and of a cut end");
    }

    #[test]
    fn a_line_of_another_chain_does_not_pass() {
        let (line, _) = ChainHead::default().append(Chain::System, &act(0), UnixMillis::new(5));
        assert!(matches!(Walk::new(chain()).step(&line), Err(Broken::Order { .. })));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_take_the_chain_with_it() {
        let (first, head) = ChainHead::default().append(chain(), &act(0), UnixMillis::new(9_000));
        let (second, head) = head.append(chain(), &act(1), UnixMillis::new(1_000));
        assert_eq!(head.time, UnixMillis::new(9_000));
        assert!(walk(&[first, second]).is_ok());
    }
}
