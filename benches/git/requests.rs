//! What is asked: requests of protocol version 2 (gitprotocol-v2) as stock git 2.47 sends them,
//! recorded with `GIT_TRACE_PACKET` and filled in with the ids of this content.

use std::path::Path;

use anyhow::Context as _;

use crate::content::{TENANT, git};

/// Haves in the first round of stock git.
const HAVES: usize = 16;

/// What a row asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// `git ls-remote origin <branch>`.
    Branch,
    /// What a clone asks first, of a repository that shows the newest tags only. Stock git shows all.
    Newest,
    /// The same of one that shows all tags.
    AllTags,
    /// `git fetch` of somebody who is so many builds behind.
    Behind(usize),
    /// `git clone --depth 1`.
    Depth,
    /// `git clone --single-branch --filter=blob:none`, without what its checkout asks then.
    Blobless,
    /// `git clone --single-branch`: the branch with the tags of all its commits.
    Clone,
}

impl Row {
    pub(crate) const ALL: [Self; 8] = [
        Self::Branch,
        Self::Newest,
        Self::AllTags,
        Self::Behind(1),
        Self::Behind(10),
        Self::Depth,
        Self::Blobless,
        Self::Clone,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Branch => "ls-refs, one branch".to_owned(),
            Self::Newest => "ls-refs, newest tags".to_owned(),
            Self::AllTags => "ls-refs, heads and tags".to_owned(),
            Self::Behind(1) => "fetch +1 build".to_owned(),
            Self::Behind(builds) => format!("fetch +{builds} builds"),
            Self::Depth => "depth 1".to_owned(),
            Self::Blobless => "blob:none".to_owned(),
            Self::Clone => "full clone".to_owned(),
        }
    }

    /// Whether the answer holds a pack.
    pub(crate) const fn has_pack(self) -> bool {
        !matches!(self, Self::Branch | Self::Newest | Self::AllTags)
    }

    /// Whether both sides say the same, so that bytes can be compared.
    pub(crate) fn is_same_answer(self) -> bool {
        self != Self::Newest
    }

    /// The product's route that is asked.
    pub(crate) fn own_route(self) -> String {
        let all = if self == Self::AllTags { "+all" } else { "" };
        format!("/git/{TENANT}{all}.git")
    }

    /// The body of the request.
    pub(crate) fn body(self, history: &History) -> Vec<u8> {
        let tip = history.commits[0].clone();
        match self {
            Self::Branch => ls_refs(&[&format!("ref-prefix {}", history.branch)]),
            Self::Newest | Self::AllTags => {
                ls_refs(&["ref-prefix HEAD", "ref-prefix refs/heads/", "ref-prefix refs/tags/"])
            }
            Self::Behind(builds) => {
                let haves = history.commits.iter().skip(builds).take(HAVES);
                let mut lines = vec![format!("want {tip}")];
                lines.extend(history.tag.iter().map(|tag| format!("want {tag}")));
                lines.extend(haves.map(|oid| format!("have {oid}")));
                fetch(&lines)
            }
            Self::Depth => {
                fetch(&["deepen 1".to_owned(), format!("want {tip}"), "done".to_owned()])
            }
            Self::Blobless => {
                fetch(&["filter blob:none".to_owned(), format!("want {tip}"), "done".to_owned()])
            }
            Self::Clone => fetch(&[format!("want {tip}"), "done".to_owned()]),
        }
    }
}

/// The ids that requests name.
pub(crate) struct History {
    pub(crate) branch: String,
    /// Newest first.
    pub(crate) commits: Vec<String>,
    /// The tag object of the newest commit.
    tag: Option<String>,
}

impl History {
    pub(crate) fn read(bare: &Path) -> anyhow::Result<Self> {
        let branch = git(bare, &["symbolic-ref", "HEAD"])?.trim().to_owned();
        let commits: Vec<String> =
            git(bare, &["rev-list", "HEAD"])?.lines().map(str::to_owned).collect();
        let tip = commits.first().context("no commit")?;
        let at = format!("--points-at={tip}");
        let tags = git(bare, &["for-each-ref", "--format=%(objectname)", &at, "refs/tags/"])?;
        let tag = tags.lines().next().map(str::to_owned);
        Ok(Self { branch, commits, tag })
    }
}

fn ls_refs(prefixes: &[&str]) -> Vec<u8> {
    let mut lines = vec!["peel", "symrefs", "unborn"];
    lines.extend(prefixes);
    command("ls-refs", &lines)
}

fn fetch(lines: &[String]) -> Vec<u8> {
    let mut all = vec!["thin-pack", "no-progress", "include-tag", "ofs-delta"];
    all.extend(lines.iter().map(String::as_str));
    command("fetch", &all)
}

fn command(name: &str, arguments: &[&str]) -> Vec<u8> {
    let mut body = String::new();
    for line in [&format!("command={name}"), "agent=git/2.47.3", "object-format=sha1"] {
        packet(&mut body, line);
    }
    body.push_str("0001");
    for line in arguments {
        packet(&mut body, line);
    }
    body.push_str("0000");
    body.into_bytes()
}

fn packet(out: &mut String, line: &str) {
    let length = line.len() + 5;
    out.extend([&format!("{length:04x}"), line, "\n"]);
}
