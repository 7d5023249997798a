//! Random histories and requests, answered by us and by `git upload-pack` on the same repository:
//! the same shallow lines, and of the objects that Git sends all that the client lacks, no more.

use std::collections::BTreeSet;

use colophon_gitbridge::Protocol;
use colophon_model::FileMode;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::tenant::Edit;
use crate::support::{Answer, Git, Server, Tenant, ask, body};

/// Few paths and few contents, so that old files and old trees come back.
fn edit() -> impl Strategy<Value = Edit> {
    let path = prop::sample::select(vec!["a", "b", "x/a", "x/b", "x/y/a", "x/y/b", "z/a"]);
    (path, 0..4_usize).prop_map(|(path, content)| {
        let text = format!("{content}\n").repeat(content * 40 + 1);
        (path.to_owned(), Some((FileMode::Regular, text.into_bytes())))
    })
}

/// A commit: edits of distinct paths, and removals of some that are there.
fn history() -> impl Strategy<Value = Vec<(Vec<Edit>, Option<Index>)>> {
    vec((vec(edit(), 1..4), prop::option::weighted(0.2, any::<Index>())), 1..9)
}

fn tenant(history: Vec<(Vec<Edit>, Option<Index>)>) -> Tenant {
    let mut tenant = Tenant::default();
    for (mut edits, removal) in history {
        edits.sort_by(|a, b| a.0.cmp(&b.0));
        edits.dedup_by(|a, b| a.0 == b.0);
        let others = tenant.files.keys().filter(|path| edits.iter().all(|(p, _)| p != *path));
        let others: Vec<_> = others.cloned().collect();
        if let Some(at) = removal.filter(|_| !others.is_empty()) {
            edits.push((at.get(&others).clone(), None));
        }
        tenant.commit(&edits).unwrap();
    }
    tenant
}

#[derive(Debug, Clone)]
enum Deepen {
    No,
    To(u32),
    Relative(u32),
    Since(Index),
    Not(Index),
    All,
}

fn deepen() -> impl Strategy<Value = Deepen> {
    prop_oneof![
        3 => Just(Deepen::No),
        3 => (1_u32..6).prop_map(Deepen::To),
        1 => (1_u32..4).prop_map(Deepen::Relative),
        1 => any::<Index>().prop_map(Deepen::Since),
        1 => any::<Index>().prop_map(Deepen::Not),
        1 => Just(Deepen::All),
    ]
}

/// A request, in positions of a history that is not known yet.
#[derive(Debug, Clone)]
struct Shape {
    version: u8,
    commits: Vec<Index>,
    tags: Vec<Index>,
    objects: Vec<Index>,
    /// What the client has: stretches of history, each cut off at its lower end or not.
    has: Vec<(Index, Index, bool)>,
    deepen: Deepen,
    filter: &'static str,
    include_tag: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let filters = ["", "", "blob:none", "blob:limit=100", "tree:0", "tree:1", "tree:2", "tree:3"];
    // With `combine` and `tree` together, Git leaves out too much where an object lies at several
    // depths: whether it comes along depends on where Git meets it first.
    let filters = [&filters[..], &["combine:blob:limit=9+blob:limit=1k", "combine:blob:none"]];
    let indices = |most| vec(any::<Index>(), 0..most);
    (
        prop::sample::select(vec![0_u8, 2]),
        (vec(any::<Index>(), 1..3), indices(3), indices(2)),
        vec((any::<Index>(), any::<Index>(), any::<bool>()), 0..3),
        deepen(),
        prop::sample::select(filters.concat()),
        any::<bool>(),
    )
        .prop_map(|(version, (commits, tags, objects), has, deepen, filter, include_tag)| {
            Shape { version, commits, tags, objects, has, deepen, filter, include_tag }
        })
}

/// A request for a certain tenant, and the commits that its client has.
struct Request {
    lines: Vec<String>,
    has: BTreeSet<usize>,
}

impl Request {
    fn new(shape: &Shape, tenant: &Tenant) -> Self {
        let commits = &tenant.commits;
        let tags: Vec<_> = tenant.log.tag_oids().collect::<BTreeSet<_>>().into_iter().collect();
        let mut wants: Vec<_> = shape.commits.iter().map(|at| *at.get(commits)).collect();
        wants.extend(shape.tags.iter().map(|at| *at.get(&tags)));
        // How deep a tree lies that is wanted by id and belongs to a wanted commit as well depends on
        // where Git meets it first.
        if !shape.filter.contains("tree:") {
            wants.extend(shape.objects.iter().map(|at| at.get(&tenant.log.entries).oid));
        }
        let (mut depth, mut haves, mut has) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (a, b, cut) in &shape.has {
            let (a, b) = (a.index(commits.len()), b.index(commits.len()));
            let low = if *cut { a.min(b) } else { 0 };
            if *cut {
                depth.push(format!("shallow {}", commits[low]));
            }
            haves.push(format!("have {}", commits[a.max(b)]));
            has.extend(low..=a.max(b));
        }
        // A cut is one only where nothing else that the client has goes on below it.
        let whole = shape.has.iter().filter(|(_, _, cut)| !cut);
        let whole = whole.map(|(a, b, _)| a.index(commits.len()).max(b.index(commits.len()))).max();
        depth.retain(|line| {
            let at = commits.iter().position(|oid| line.ends_with(&oid.to_string())).unwrap();
            whole.is_none_or(|whole| at > whole) && (at == 0 || !has.contains(&(at - 1)))
        });
        let relative = matches!(shape.deepen, Deepen::Relative(_));
        depth.extend(match &shape.deepen {
            Deepen::No => None,
            Deepen::To(depth) | Deepen::Relative(depth) => Some(format!("deepen {depth}")),
            Deepen::Since(at) => {
                Some(format!("deepen-since {}", 1_795_262_400 + at.index(commits.len())))
            }
            Deepen::Not(at) => {
                let n = at.index(commits.len());
                Some(format!("deepen-not refs/tags/bld/acme/{n:017}-cloud"))
            }
            Deepen::All => Some("deepen 2147483647".to_owned()),
        });
        let wants: Vec<_> = wants.iter().map(|oid| format!("want {oid}")).collect();
        let options = Options { relative, filter: shape.filter, include_tag: shape.include_tag };
        let lines = match shape.version {
            0 => version_0(wants, depth, haves, &options),
            _ => version_2(wants, depth, haves, &options),
        };
        Self { lines, has }
    }
}

struct Options {
    relative: bool,
    filter: &'static str,
    include_tag: bool,
}

fn version_0(
    mut wants: Vec<String>,
    depth: Vec<String>,
    haves: Vec<String>,
    options: &Options,
) -> Vec<String> {
    wants[0].push_str(" multi_ack_detailed side-band-64k ofs-delta filter");
    for (set, name) in
        [(options.relative, " deepen-relative"), (options.include_tag, " include-tag")]
    {
        wants[0].push_str(if set { name } else { "" });
    }
    let filter = (!options.filter.is_empty()).then(|| format!("filter {}", options.filter));
    let needs = wants.into_iter().chain(depth).chain(filter);
    needs.chain(["0000".to_owned()]).chain(haves).chain(["done".to_owned()]).collect()
}

fn version_2(
    wants: Vec<String>,
    depth: Vec<String>,
    haves: Vec<String>,
    options: &Options,
) -> Vec<String> {
    let head = ["command=fetch", "0001", "ofs-delta", "no-progress"].map(str::to_owned);
    let filter = (!options.filter.is_empty()).then(|| format!("filter {}", options.filter));
    let flags = [(options.relative, "deepen-relative"), (options.include_tag, "include-tag")];
    let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
    let lines = head.into_iter().chain(flags).chain(wants).chain(depth).chain(filter);
    lines.chain(haves).chain(["done", "0000"].map(str::to_owned)).collect()
}

/// A bare repository with the tenant's content, for Git to serve.
fn mirror(tenant: &Tenant) -> Git {
    let (git, server) = (Git::new(2), Server::start(tenant.clone()));
    git.run("", &["clone", "-q", "--mirror", &server.url, "r"]);
    for setting in ["allowAnySHA1InWant", "allowFilter"] {
        git.run("r", &["config", &format!("uploadpack.{setting}"), "true"]);
    }
    git
}

/// Every object that the commits in `has` hold, and their tags: Git sends some commits that the
/// client has, and the tags of these along with them.
fn objects_of(git: &Git, tenant: &Tenant, has: &BTreeSet<usize>) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for at in has {
        let commit = tenant.commits[*at].to_string();
        let root = git.run("r", &["rev-parse", &format!("{commit}^{{tree}}")]);
        let names = git.run("r", &["ls-tree", "-r", "-t", "--format=%(objectname)", &commit]);
        let tag = git.run("r", &["rev-parse", &format!("refs/tags/bld/acme/{at:017}-cloud")]);
        held.extend(names.lines().map(str::to_owned).chain([root, commit, tag]));
    }
    held
}

fn compare(tenant: &Tenant, shapes: &[Shape]) -> Result<(), TestCaseError> {
    let git = mirror(tenant);
    for shape in shapes {
        let request = Request::new(shape, tenant);
        let lines: Vec<_> = request.lines.iter().map(String::as_str).collect();
        let protocol = if shape.version == 0 { Protocol::V0 } else { Protocol::V2 };
        let theirs = git.upload_pack("r", shape.version, &body(&lines));
        let Ok(ours) = ask(&tenant.log, protocol, &lines) else {
            prop_assert!(Answer::parse(&theirs).pack.is_empty(), "only we refuse {lines:#?}");
            continue;
        };
        let (ours, theirs) = (Answer::parse(&ours), Answer::parse(&theirs));
        prop_assert!(!theirs.pack.is_empty(), "only Git refuses {lines:#?}");
        prop_assert_eq!(&ours.shallow, &theirs.shallow, "{:#?}", &lines);
        let held = objects_of(&git, tenant, &request.has);
        let sent = git.objects("r", &ours.pack);
        let expected: BTreeSet<_> = git.objects("r", &theirs.pack);
        let wanted: BTreeSet<_> =
            lines.iter().filter_map(|line| line.strip_prefix("want ")).collect();
        let is_wanted = |oid: &String| wanted.iter().any(|want| want.starts_with(oid.as_str()));
        let lacked: BTreeSet<_> = expected.difference(&held).cloned().collect();
        let surplus: Vec<_> = sent.difference(&lacked).filter(|oid| !is_wanted(oid)).collect();
        let missing: Vec<_> = lacked.difference(&sent).collect();
        prop_assert!(missing.is_empty(), "lacks {missing:?} for {lines:#?}");
        prop_assert!(surplus.is_empty(), "has too much: {surplus:?} for {lines:#?}");
    }
    Ok(())
}

/// Each case is a repository and several runs of Git, so there are few unless `PROPTEST_CASES` says
/// otherwise.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(16);
    ProptestConfig { cases, max_shrink_iters: 100, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_are_answered_as_git_does(history in history(), shapes in vec(shape(), 8)) {
        compare(&tenant(history), &shapes)?;
    }
}
