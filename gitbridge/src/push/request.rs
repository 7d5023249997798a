//! The body of a push.

use colophon_model::Oid;

use super::Advertisement;
use crate::framing::Framing;
use crate::protocol::PackOptions;
use crate::select::Plan;
use crate::stream::PackStream;
use crate::{Error, pkt};

/// Moves one ref of the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The ref's full name.
    pub name: String,
    /// Where the remote said it stands: the command fails if it has moved. `None`: nowhere.
    pub old: Option<Oid>,
    /// Where it is to stand; `None` deletes it.
    pub new: Option<Oid>,
}

/// One push: commands, and the objects that the remote needs for them.
#[derive(Debug)]
pub struct Push {
    commands: Vec<Command>,
    /// What of the remote's capabilities is used.
    capabilities: String,
    side_band: bool,
    /// `None` when refs are deleted only: then no pack may follow.
    pack: Option<PackStream>,
}

/// The body of `POST git-receive-pack` (`application/x-git-receive-pack-request`): `head` first, then
/// the pieces of `pack`, when there is one.
#[derive(Debug)]
pub struct PushRequest {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The rest.
    pub pack: Option<PackStream>,
}

impl Push {
    pub(super) fn new(
        remote: &Advertisement,
        agent: &str,
        commands: Vec<Command>,
        pack: Option<Plan>,
    ) -> Result<Self, Error> {
        let options = PackOptions {
            thin: !remote.has("no-thin") && !remote.is_shallow(),
            ofs_delta: remote.has("ofs-delta"),
        };
        let stream = |plan| PackStream::new(plan, options, Framing::Raw);
        let pack = pack.map(stream).transpose()?;
        Ok(Self { pack, ..Self::deletions(remote, agent, commands) })
    }

    pub(super) fn deletions(remote: &Advertisement, agent: &str, commands: Vec<Command>) -> Self {
        let (capabilities, side_band) = capabilities(remote, agent);
        Self { commands, capabilities, side_band, pack: None }
    }

    /// What it does.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// How many objects it sends.
    pub fn objects(&self) -> usize {
        self.pack.as_ref().map_or(0, PackStream::objects)
    }

    /// Whether the answer comes in a side band, as [`super::Report::parse`] must know.
    pub const fn side_band(&self) -> bool {
        self.side_band
    }

    /// The body to send.
    pub fn request(self) -> PushRequest {
        let mut head = Vec::new();
        let mut capabilities = Some(self.capabilities);
        for Command { name, old, new } in &self.commands {
            let mut line = format!("{} {} {name}", hex(*old), hex(*new));
            if let Some(list) = capabilities.take() {
                line.push('\0');
                line.push_str(&list);
            }
            pkt::put(&mut head, line);
        }
        head.extend_from_slice(pkt::FLUSH);
        PushRequest { head, pack: self.pack }
    }
}

/// `atomic` is not asked for: it would answer with one reason for all refs and hide the real one.
fn capabilities(remote: &Advertisement, agent: &str) -> (String, bool) {
    let mut used = String::new();
    for name in ["report-status", "side-band-64k", "quiet"] {
        if remote.has(name) {
            used.push(' ');
            used.push_str(name);
        }
    }
    if remote.value("object-format").is_some() {
        used.push_str(" object-format=sha1");
    }
    if remote.value("agent").is_some() {
        used.push_str(" agent=");
        used.push_str(agent);
    }
    (used, remote.has("side-band-64k"))
}

/// An object's id; forty zeros stand for none.
fn hex(oid: Option<Oid>) -> String {
    oid.map_or_else(|| "0".repeat(40), |oid| oid.to_string())
}
