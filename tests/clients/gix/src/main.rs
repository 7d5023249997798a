//! gix as a Git client: the commands of `../README.md`. Its token is a header in Git's settings, which
//! the environment holds: gix sends no password without TLS.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use gix::progress::Discard;
use gix::remote::Direction;
use gix::remote::fetch::{Shallow, Tags};

static NEVER: AtomicBool = AtomicBool::new(false);

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["clone", url, dir] => clone(url, dir, Shallow::NoChange, None),
        ["fetch", dir] => fetch(dir, Shallow::NoChange),
        ["shallow", url, dir, depth] => clone(url, dir, at(depth)?, None),
        ["deepen", dir, depth] => fetch(dir, at(depth)?),
        ["tag", url, dir, name] => clone(url, dir, Shallow::NoChange, Some(name)),
        ["ls", url] => ls(url),
        _ => bail!("unknown command: {args:?}"),
    }
}

fn at(depth: &str) -> anyhow::Result<Shallow> {
    let depth: NonZeroU32 = depth.parse().context("a depth is a number from 1")?;
    Ok(Shallow::DepthAtRemote(depth))
}

fn clone(url: &str, dir: &str, shallow: Shallow, name: Option<&str>) -> anyhow::Result<()> {
    let mut prepared = gix::prepare_clone(url, dir)?.with_shallow(shallow).with_ref_name(name)?;
    let (mut checkout, _) = prepared.fetch_then_checkout(Discard, &NEVER)?;
    checkout.main_worktree(Discard, &NEVER)?;
    Ok(())
}

fn fetch(dir: &str, shallow: Shallow) -> anyhow::Result<()> {
    let repository = gix::open(dir)?;
    let remote = repository.find_remote("origin")?.with_fetch_tags(Tags::All);
    let prepared = remote.connect(Direction::Fetch)?.prepare_fetch(Discard, Default::default())?;
    prepared.with_shallow(shallow).receive(Discard, &NEVER)?;
    Ok(())
}

fn ls(url: &str) -> anyhow::Result<()> {
    let repository = gix::init_bare(".")?;
    let remote = repository.remote_at(url)?.with_fetch_tags(Tags::None);
    let remote = remote.with_refspecs(Some("refs/heads/*:refs/heads/*"), Direction::Fetch)?;
    let (map, _) = remote.connect(Direction::Fetch)?.ref_map(Discard, Default::default())?;
    for found in &map.remote_refs {
        let (name, target, _) = found.unpack();
        if name.starts_with(b"refs/heads/") {
            println!("{} {name}", target.context("an unborn branch")?);
        }
    }
    Ok(())
}
