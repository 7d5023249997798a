//! Pushes to `git receive-pack` itself: what it takes, and what we keep away from.

use std::collections::BTreeMap;

use colophon_gitbridge::{
    Advertisement, Divergence, Error, Mirror, ObjectLog as _, PackStream, Push, Report, Step,
};
use colophon_model::{Oid, TenantBranch, TenantSlug};
use proptest::prelude::*;

use crate::support::tenant::BRANCH;
use crate::support::{Git, Tenant};

/// A bare repository and what we know of it.
struct Upstream {
    git: Git,
    pushed: BTreeMap<String, Oid>,
    tags_per_push: usize,
}

impl Upstream {
    fn new() -> Self {
        let git = Git::new(0);
        std::fs::create_dir(git.path("up")).unwrap();
        git.run("up", &["init", "--quiet", "--bare", "."]);
        Self { git, pushed: BTreeMap::new(), tags_per_push: 3 }
    }

    fn seen(&self) -> Advertisement {
        Advertisement::parse(&self.git.receive_pack_refs("up")).unwrap()
    }

    fn mirror<'a>(&'a self, branch: &'a TenantBranch) -> Mirror<'a> {
        let Self { pushed, tags_per_push, .. } = self;
        Mirror { branch, pushed, tags_per_push: *tags_per_push, agent: "colophon/test" }
    }

    fn step(&self, tenant: &Tenant, seen: &Advertisement) -> Result<Step, Error> {
        self.mirror(&branch()).step(&tenant.log, seen)
    }

    fn push(&self, tenant: &Tenant) -> Box<Push> {
        match self.step(tenant, &self.seen()).unwrap() {
            Step::Push(push) => push,
            other => panic!("{other:?}"),
        }
    }

    /// Sends it; gives the size of what was sent, and the answer.
    fn send(&mut self, tenant: &Tenant, push: Push) -> (usize, Report) {
        for command in push.commands() {
            self.pushed.extend(command.new.map(|oid| (command.name.clone(), oid)));
        }
        let side_band = push.side_band();
        let body = body(tenant, push);
        let report = Report::parse(&self.git.receive_pack("up", &body), side_band).unwrap();
        (body.len(), report)
    }

    /// Pushes until there is nothing to do; gives the number of commands of each push.
    fn settle(&mut self, tenant: &Tenant) -> Vec<usize> {
        let mut counts = Vec::new();
        while let Step::Push(push) = self.step(tenant, &self.seen()).unwrap() {
            let commands = push.commands().to_vec();
            counts.push(commands.len());
            let (_, report) = self.send(tenant, *push);
            assert!(report.refs.values().all(Result::is_ok), "{report:?}");
            assert!(self.seen().shows(&commands));
            assert!(counts.len() < 100, "it ends");
        }
        self.git.run("up", &["fsck", "--strict", "--full"]);
        counts
    }

    fn refs(&self) -> BTreeMap<String, String> {
        let text = self.git.run("up", &["for-each-ref", "--format=%(refname) %(objectname)"]);
        text.lines()
            .map(|l| l.split_once(' ').unwrap())
            .map(|(n, o)| (n.into(), o.into()))
            .collect()
    }
}

fn branch() -> TenantBranch {
    TenantBranch::new(TenantSlug::new("acme").unwrap())
}

fn body(tenant: &Tenant, push: Push) -> Vec<u8> {
    let request = push.request();
    let mut body = request.head;
    if let Some(mut pack) = request.pack {
        drain(tenant, &mut pack, &mut body);
    }
    body
}

fn drain(tenant: &Tenant, pack: &mut PackStream, body: &mut Vec<u8>) {
    while let Some(piece) = pack.next(&tenant.log).unwrap() {
        body.extend(piece);
    }
}

fn here(tenant: &Tenant) -> BTreeMap<String, String> {
    let refs = tenant.log.refs("refs/").unwrap();
    refs.into_iter().map(|found| (found.name, found.oid.to_string())).collect()
}

/// The branch first, with the oldest tags; then three tags at a time, until all are there.
#[test]
fn an_empty_repository_is_filled() {
    let (tenant, mut up) = (Tenant::with_builds(6), Upstream::new());
    let first = up.push(&tenant);
    let names: Vec<_> = first.commands().iter().map(|command| command.name.clone()).collect();
    let tag = |n: usize| format!("refs/tags/bld/acme/{n:017}-cloud");
    assert_eq!(names, [BRANCH.to_owned(), tag(0), tag(1), tag(2)]);
    assert_eq!(up.settle(&tenant), [4, 3, 1]);
    assert_eq!(up.refs(), here(&tenant));
}

/// The remote's tip is known, so the next push holds the new objects only, as deltas against what
/// is there.
#[test]
fn the_next_build_is_small() {
    let (mut tenant, mut up) = (Tenant::with_builds(40), Upstream::new());
    up.tags_per_push = 1_000;
    up.settle(&tenant);
    let before = tenant.log.len().unwrap();
    tenant.build();
    let push = up.push(&tenant);
    assert_eq!(push.commands()[0].old, Some(tenant.commits[40]), "a lease on what was seen");
    let added = tenant.log.len().unwrap() - before;
    assert_eq!(push.objects(), added as usize + 1, "the log's new entries and a tag");
    let (bytes, _) = up.send(&tenant, *push);
    assert!(bytes < 1_600, "{bytes}");
    assert_eq!(up.settle(&tenant), [0_usize; 0]);
    assert_eq!(up.refs(), here(&tenant));
}

/// A push whose answer was lost has happened all the same; sent again, it changes nothing.
#[test]
fn a_push_that_came_through_is_not_repeated() {
    let (tenant, mut up) = (Tenant::with_builds(1), Upstream::new());
    let (first, again) = (up.push(&tenant), up.push(&tenant));
    up.send(&tenant, *first);
    let refs = up.refs();
    assert!(matches!(up.step(&tenant, &up.seen()), Ok(Step::UpToDate)));
    let (_, report) = up.send(&tenant, *again);
    assert!(report.refs.values().all(Result::is_err), "the lease is over: {report:?}");
    assert_eq!(up.refs(), refs);
}

/// Tags that are purged here go there too, without a pack; tags of others stay, and so does one of
/// ours that somebody has moved.
#[test]
fn only_our_own_tags_are_deleted() {
    let (mut tenant, mut up) = (Tenant::with_builds(3), Upstream::new());
    up.settle(&tenant);
    let tag = |n: usize| format!("refs/tags/bld/acme/{n:017}-cloud");
    up.git.run("up", &["tag", "v1", &tenant.tip().to_string()]);
    up.git.run("up", &["tag", "--force", &tag(1)["refs/tags/".len()..], &tenant.tip().to_string()]);
    for n in [0, 1] {
        tenant.log.purge(&tag(n));
    }
    let push = up.push(&tenant);
    assert_eq!(push.commands().len(), 1, "the moved one is not ours");
    assert_eq!((push.commands()[0].name.clone(), push.commands()[0].new), (tag(0), None));
    assert_eq!(push.objects(), 0);
    up.settle(&tenant);
    let names: Vec<String> = up.refs().into_keys().collect();
    assert_eq!(names, [BRANCH.to_owned(), tag(1), tag(2), tag(3), "refs/tags/v1".to_owned()]);
    let ours = up.mirror(&branch()).ours(&tenant.log, &up.seen()).unwrap();
    assert_eq!(ours.keys().cloned().collect::<Vec<_>>(), [tag(2), tag(3)]);
}

/// Somebody committed there, or put a tag under a name of ours: both objects are named, nothing is
/// sent.
#[test]
fn a_remote_that_went_its_own_way_is_left_alone() {
    let (tenant, mut up) = (Tenant::with_builds(2), Upstream::new());
    up.settle(&tenant);
    let args = ["commit-tree", "-p", BRANCH, "-m", "mine", &format!("{BRANCH}^{{tree}}")];
    let theirs = up.git.run("up", &args);
    up.git.run("up", &["update-ref", BRANCH, &theirs]);
    let expected =
        Divergence { name: BRANCH.into(), ours: tenant.tip(), theirs: theirs.parse().unwrap() };
    match up.step(&tenant, &up.seen()).unwrap() {
        Step::Diverged(found) => assert_eq!(found, expected),
        other => panic!("{other:?}"),
    }
    let tag = "refs/tags/bld/acme/00000000000000001-cloud";
    up.git.run("up", &["update-ref", BRANCH, &tenant.tip().to_string()]);
    up.git.run("up", &["update-ref", tag, &tenant.tip().to_string()]);
    let step = up.step(&tenant, &up.seen()).unwrap();
    assert!(matches!(&step, Step::Diverged(found) if found.name == tag), "{step:?}");
    // A tree of ours is no commit of ours.
    let tree = up.git.run("up", &["rev-parse", &format!("{BRANCH}^{{tree}}")]);
    let line = format!("{tree} {BRANCH}\0report-status");
    let body = format!("001f# service=git-receive-pack\n0000{:04x}{line}0000", line.len() + 4);
    let step = up.step(&tenant, &Advertisement::parse(body.as_bytes()).unwrap()).unwrap();
    assert!(matches!(step, Step::Diverged(_)), "{step:?}");
}

/// A commit that the remote got in between is not overwritten.
#[test]
fn a_remote_that_moves_under_a_push_refuses_it() {
    let (mut tenant, mut up) = (Tenant::with_builds(1), Upstream::new());
    up.settle(&tenant);
    tenant.build();
    let push = up.push(&tenant);
    let args = ["commit-tree", "-p", BRANCH, "-m", "mine", &format!("{BRANCH}^{{tree}}")];
    let theirs = up.git.run("up", &args);
    up.git.run("up", &["update-ref", BRANCH, &theirs]);
    let (_, report) = up.send(&tenant, *push);
    assert!(report.refs[BRANCH].is_err(), "{report:?}");
    assert_eq!(up.refs()[BRANCH], theirs);
}

/// Having a commit does not mean having its ancestors, so nothing rests on them.
#[test]
fn a_shallow_remote_gets_everything() {
    let (mut tenant, mut up) = (Tenant::with_builds(8), Upstream::new());
    up.settle(&tenant);
    up.git.run("up", &["symbolic-ref", "HEAD", BRANCH]);
    let url = format!("file://{}", up.git.path("up").display());
    up.git.run("", &["clone", "--quiet", "--mirror", "--depth=1", &url, "shallow"]);
    std::fs::remove_dir_all(up.git.path("up")).unwrap();
    std::fs::rename(up.git.path("shallow"), up.git.path("up")).unwrap();
    assert_eq!(up.git.run("up", &["rev-list", "--count", BRANCH]), "1");
    tenant.build();
    let push = up.push(&tenant);
    assert_eq!(push.commands()[0].old, Some(tenant.commits[8]));
    assert!(push.objects() > tenant.log.len().unwrap() as usize);
    up.settle(&tenant);
    assert_eq!(up.refs()[BRANCH], tenant.tip().to_string());
}

/// What a hook prints comes with the refusal.
#[cfg(unix)]
#[test]
fn a_hook_is_heard() {
    use std::os::unix::fs::PermissionsExt as _;
    let (tenant, mut up) = (Tenant::with_builds(1), Upstream::new());
    let hook = up.git.path("up").join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'no builds on fridays' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let push = up.push(&tenant);
    let (_, report) = up.send(&tenant, *push);
    assert_eq!(report.refs[BRANCH], Err("pre-receive hook declined".to_owned()));
    assert!(report.messages.contains("no builds on fridays"), "{report:?}");
}

/// A remote that can do very little still gets its refs.
#[test]
fn a_bare_remote_is_spoken_to_in_its_own_words() {
    let (tenant, up) = (Tenant::with_builds(2), Upstream::new());
    let line = format!("{} capabilities^{{}}\0no-thin", "0".repeat(40));
    let body = format!("001f# service=git-receive-pack\n0000{:04x}{line}0000", line.len() + 4);
    let seen = Advertisement::parse(body.as_bytes()).unwrap();
    let Step::Push(push) = up.step(&tenant, &seen).unwrap() else { panic!("there is a lot to do") };
    assert!(!push.side_band());
    let request = push.request();
    let head = String::from_utf8(request.head).unwrap();
    assert_eq!(head.lines().count(), 1);
    assert!(head.contains(&format!("{BRANCH}\0")) && !head.contains("report-status"), "{head}");
}

/// What may stand under a name: nothing, mostly; what belongs there; or any object, ours or not.
fn named(tenant: &Tenant, name: &str) -> impl Strategy<Value = Option<Oid>> + use<> {
    let ours = tenant.log.refs(name).unwrap().first().map(|found| found.oid);
    // What is there must often be complete: tags are deleted when nothing is left to add.
    let (none, right, any) = if ours.is_some() { (2, 16, 1) } else { (2, 2, 2) };
    let belongs = ours.unwrap_or(Oid::from_bytes([9; 20]));
    let ours = tenant.log.entries.iter().map(|entry| entry.oid).chain(tenant.log.tag_oids());
    let all: Vec<Oid> = ours.chain([Oid::from_bytes([7; 20])]).collect();
    prop_oneof![
        none => Just(None),
        right => Just(Some(belongs)),
        any => (0..all.len()).prop_map(move |n| Some(all[n])),
    ]
}

/// Refs by name; those of a tenant of three builds, and three that are not there.
fn some_refs() -> impl Strategy<Value = BTreeMap<String, Oid>> {
    let tenant = Tenant::with_builds(3);
    let tags = (0..6).map(|n| format!("refs/tags/bld/acme/{n:017}-cloud"));
    let names: Vec<String> = tags.chain([BRANCH.into(), "refs/tags/v1".into()]).collect();
    let picks: Vec<_> = names.iter().map(|name| named(&tenant, name)).collect();
    picks.prop_map(move |oids| {
        let refs = names.iter().cloned().zip(oids);
        refs.filter_map(|(name, oid)| Some((name, oid?))).collect()
    })
}

fn advertisement(refs: &BTreeMap<String, Oid>) -> Advertisement {
    let caps = "\0report-status delete-refs ofs-delta";
    let mut lines: Vec<String> = refs.iter().map(|(name, oid)| format!("{oid} {name}")).collect();
    if lines.is_empty() {
        lines.push(format!("{} capabilities^{{}}", "0".repeat(40)));
    }
    lines[0].push_str(caps);
    let packets = lines.iter().map(|line| format!("{:04x}{line}", line.len() + 4));
    let body = format!("001f# service=git-receive-pack\n0000{}0000", packets.collect::<String>());
    Advertisement::parse(body.as_bytes()).unwrap()
}

proptest! {
    /// Whatever a remote holds, a push moves no ref but ours, never away from what we did not put
    /// there, and deletes only what we pushed and no longer have.
    #[test]
    fn no_step_is_forced(remote in some_refs(), pushed in some_refs()) {
        let tenant = Tenant::with_builds(3);
        let seen = advertisement(&remote);
        let branch = branch();
        let mirror = Mirror { branch: &branch, pushed: &pushed, tags_per_push: 1, agent: "a/b" };
        let ours: BTreeMap<String, Oid> = tenant.log.refs("refs/").unwrap().into_iter()
            .map(|found| (found.name, found.oid)).collect();
        let is_foreign = |name: &str, oid: &Oid| match ours.get(name) {
            Some(mine) if name == BRANCH => oid != mine && !tenant.commits.contains(oid),
            Some(mine) => oid != mine,
            None => false,
        };
        let foreign = remote.iter().any(|(name, oid)| is_foreign(name, oid));
        match mirror.step(&tenant.log, &seen).unwrap() {
            Step::Diverged(found) => {
                prop_assert!(is_foreign(&found.name, &found.theirs));
                prop_assert_eq!(remote.get(&found.name), Some(&found.theirs));
            }
            Step::UpToDate => {
                prop_assert!(!foreign);
                prop_assert!(ours.iter().all(|(name, oid)| remote.get(name) == Some(oid)));
            }
            Step::Push(push) => {
                prop_assert!(!foreign);
                let made = push.commands().iter().filter(|c| c.name != BRANCH && c.new.is_some());
                prop_assert!(made.count() <= 1);
                for command in push.commands() {
                    prop_assert_eq!(command.old, remote.get(&command.name).copied(), "a lease");
                    prop_assert_eq!(command.new, ours.get(&command.name).copied());
                    if command.new.is_none() {
                        prop_assert_eq!(command.old, pushed.get(&command.name).copied());
                        prop_assert!(ours.iter().all(|(name, oid)| remote.get(name) == Some(oid)));
                    }
                }
            }
        }
    }
}
