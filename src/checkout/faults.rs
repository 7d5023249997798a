//! Deaths and full disks at every step of a switch. Only for tests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use colophon_gitbridge::{Part, Taken};
use colophon_model::{FlowId, GitKind, Oid};

use super::{Checkout, Event, Exit, Fault, Folder, Keep, Outcome, Owner, Pin, Source, Tip, status};

/// What happens to steps on the disk.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// This many work, and then none does: what is on the disk is what a kill leaves.
    Kill(u32),
    /// This many work, then the disk is full for all that need space.
    Full(u32),
}

thread_local! {
    static TROUBLE: Cell<Trouble> = const { Cell::new(Trouble::None) };
    static SYNCS: Cell<u32> = const { Cell::new(0) };
}

/// Called when all that was written is made durable.
pub(super) fn synced_all() {
    SYNCS.set(SYNCS.get() + 1);
}

/// Called before each step; `grows` when it needs space.
pub(super) fn step(grows: bool) -> io::Result<()> {
    TROUBLE.with(|trouble| {
        let (next, result) = match trouble.get() {
            Trouble::None => (Trouble::None, Ok(())),
            Trouble::Kill(0) => (Trouble::Kill(0), Err(io::Error::other("killed"))),
            Trouble::Kill(left) => (Trouble::Kill(left - 1), Ok(())),
            Trouble::Full(0) if grows => (Trouble::Full(0), Err(io::ErrorKind::StorageFull.into())),
            Trouble::Full(0) => (Trouble::Full(0), Ok(())),
            Trouble::Full(left) => (Trouble::Full(left - 1), Ok(())),
        };
        trouble.set(next);
        result
    })
}

/// A server in memory.
#[derive(Default)]
struct Shop {
    objects: Vec<(GitKind, Vec<u8>)>,
    tip: Option<Oid>,
    /// Blobs that were sent.
    sent: Rc<Cell<usize>>,
}

type Files<'a> = &'a [(&'a str, &'a str)];

impl Shop {
    fn add(&mut self, kind: GitKind, bytes: Vec<u8>) -> Oid {
        let oid = Taken::default().add(kind, bytes.clone()).unwrap();
        self.objects.push((kind, bytes));
        oid
    }

    fn tree(&mut self, files: &BTreeMap<String, String>) -> Oid {
        let mut folders: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for (path, text) in files {
            if let Some((folder, rest)) = path.split_once('/') {
                let folder = folders.entry(folder.to_owned()).or_default();
                folder.insert(rest.to_owned(), text.clone());
            } else {
                let oid = self.add(GitKind::Blob, text.clone().into_bytes());
                let mode = if text.starts_with("#!") { "100755" } else { "100644" };
                entries.insert(path.clone(), (mode, oid));
            }
        }
        for (name, files) in folders {
            let oid = self.tree(&files);
            entries.insert(name, ("40000", oid));
        }
        let entry = |(name, (mode, oid)): (&String, &(&str, Oid))| {
            [format!("{mode} {name}\0").as_bytes(), oid.as_bytes()].concat()
        };
        self.add(GitKind::Tree, entries.iter().flat_map(entry).collect())
    }

    fn commit(&mut self, files: Files<'_>, time: u32) -> Oid {
        let files = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
        let tree = self.tree(&files);
        let who = format!("a <a@example.com> {time} +0000");
        let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nbuild\n");
        let oid = self.add(GitKind::Commit, text.into_bytes());
        self.tip = Some(oid);
        oid
    }
}

impl Source for Shop {
    fn tip(&mut self, known: Option<Oid>) -> Result<Tip, Fault> {
        let tip = self.tip.ok_or_else(|| Fault::Unreachable("down".to_owned()))?;
        Ok(if known == Some(tip) { Tip::Unmoved } else { Tip::At(tip) })
    }

    fn find(&mut self, name: &str) -> Result<Option<Oid>, Fault> {
        Ok(self.tip.filter(|_| name == "newest"))
    }

    fn objects(&mut self, wants: &[Oid], part: Part, taken: &mut Taken) -> Result<(), Fault> {
        for (kind, bytes) in &self.objects {
            let mut one = Taken::default();
            let oid = one.add(*kind, bytes.clone())?;
            let wanted = match part {
                Part::WithoutBlobs => *kind != GitKind::Blob,
                Part::Whole => wants.contains(&oid),
            };
            if wanted {
                taken.add(*kind, bytes.clone())?;
                self.sent.set(self.sent.get() + usize::from(*kind == GitKind::Blob));
            }
        }
        Ok(())
    }
}

/// One server after the other, under a process that goes on.
struct Shops {
    shops: Vec<Shop>,
    open: Rc<Cell<usize>>,
}

impl Source for Shops {
    fn tip(&mut self, known: Option<Oid>) -> Result<Tip, Fault> {
        self.shops[self.open.get()].tip(known)
    }

    fn find(&mut self, name: &str) -> Result<Option<Oid>, Fault> {
        self.shops[self.open.get()].find(name)
    }

    fn objects(&mut self, wants: &[Oid], part: Part, taken: &mut Taken) -> Result<(), Fault> {
        self.shops[self.open.get()].objects(wants, part, taken)
    }
}

/// The same, but without the blob that would be asked for last.
fn without_the_last(mut shop: Shop) -> Shop {
    let name = |bytes: &[u8]| colophon_gitbridge::blob_id(bytes).unwrap();
    let blobs = shop.objects.iter().filter(|(kind, _)| *kind == GitKind::Blob);
    let last = blobs.map(|(_, bytes)| name(bytes)).max();
    shop.objects.retain(|(kind, bytes)| *kind != GitKind::Blob || Some(name(bytes)) != last);
    shop
}

const OLD: Files<'_> = &[
    ("README.md", "# acme\n"),
    ("app/flows/a.py", "old a"),
    ("app/flows/b.py", "the same"),
    ("gone/only.py", "old"),
    ("run.sh", "#!/bin/sh\n"),
];
const NEW: Files<'_> = &[
    ("README.md", "# acme\n"),
    ("app/flows/a.py", "new a"),
    ("app/flows/b.py", "the same"),
    ("app/more/c.py", "new"),
    ("run.sh", "#!/bin/sh\n"),
];

const KEEP: Keep = Keep { versions: 0, grace: Duration::ZERO };

fn owner() -> Owner {
    Owner::new("http://127.0.0.1:1".parse().unwrap(), "acme".parse().unwrap())
}

/// Works as a process does that begins now.
fn begin(dir: &Path, shop: Shop, keep: Keep) -> Result<Checkout, Fault> {
    let held = Folder::new(dir).claim(owner())?;
    Checkout::new(held, Box::new(shop), Pin::Branch, None, keep)
}

/// The same with servers that the test opens one after the other.
fn begin_at(dir: &Path, shops: Vec<Shop>, keep: Keep) -> (Checkout, Rc<Cell<usize>>) {
    let open = Rc::new(Cell::new(0));
    let source = Box::new(Shops { shops, open: open.clone() });
    let held = Folder::new(dir).claim(owner()).unwrap();
    (Checkout::new(held, source, Pin::Branch, None, keep).unwrap(), open)
}

fn go(dir: &Path, shop: Shop) -> Result<Outcome, Fault> {
    begin(dir, shop, KEEP)?.round(&mut |_| {})
}

fn at(commits: &[Files<'_>]) -> Shop {
    let mut shop = Shop::default();
    for (time, files) in (1..).zip(commits) {
        shop.commit(files, time);
    }
    shop
}

/// What a reader sees who enters `current` once.
fn seen(dir: &Path) -> Option<BTreeMap<String, String>> {
    let top = dir.join("current").canonicalize().ok()?;
    let (mut files, mut folders) = (BTreeMap::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&top).unwrap().display().to_string();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    Some(files)
}

#[expect(clippy::unnecessary_wraps, reason = "what is seen may be nothing")]
fn expected(files: Files<'_>) -> Option<BTreeMap<String, String>> {
    Some(files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect())
}

/// How much is in the program's own part.
fn count(dir: &Path, name: &str) -> usize {
    let mut found = 0;
    let mut folders = vec![dir.join(".colophon").join(name)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found += 1 }
        }
    }
    found
}

/// From `before` to `NEW` with trouble at every step; returns how many steps there were.
fn every_step(before: Option<Files<'_>>, trouble: fn(u32) -> Trouble) -> u32 {
    for step in 0..10_000 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("flows");
        if let Some(before) = before {
            go(&dir, at(&[before])).unwrap();
        }
        TROUBLE.set(trouble(step));
        let result = go(&dir, at(&[OLD, NEW]));
        let met = matches!(TROUBLE.replace(Trouble::None), Trouble::Kill(0) | Trouble::Full(0));
        let left = seen(&dir);
        let is_old = left == before.and_then(expected);
        assert!(is_old || left == expected(NEW), "step {step}: {left:?}");
        if let Err(fault) = &result {
            let full = matches!(trouble(0), Trouble::Full(_));
            assert_eq!(fault.exit(), if full { Exit::DiskFull } else { Exit::Disk }, "step {step}");
        }
        // The next run ends what this one began, and leaves nothing of it behind.
        go(&dir, at(&[OLD, NEW])).unwrap_or_else(|fault| panic!("step {step}: {fault}"));
        assert_eq!(seen(&dir), expected(NEW), "step {step}");
        begin(&dir, at(&[OLD, NEW]), KEEP).unwrap().round(&mut |_| {}).unwrap();
        assert_eq!(
            (count(&dir, "incoming"), count(&dir, "objects")),
            (0, NEW.len()),
            "step {step}"
        );
        status(&Folder::new(&dir), true, None).unwrap();
        if !met {
            return step;
        }
    }
    panic!("it never ends")
}

#[test]
fn a_death_at_any_step_of_a_switch_leaves_the_old_version_or_the_new_one() {
    let steps = every_step(Some(OLD), Trouble::Kill);
    assert!(steps > 40, "the steps are counted: {steps}");
}

#[test]
fn a_death_at_any_step_of_the_first_checkout_leaves_nothing_or_all_of_it() {
    assert!(every_step(None, Trouble::Kill) > 40);
}

#[test]
fn a_disk_that_is_full_at_any_step_leaves_what_was_there() {
    assert!(every_step(Some(OLD), Trouble::Full) > 15);
    assert!(every_step(None, Trouble::Full) > 15);
}

/// Only what changed is fetched; what is the same is one file in both versions.
#[test]
fn unchanged_files_are_neither_fetched_nor_written_again() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let keep = Keep { versions: 1, grace: Duration::ZERO };
    let shop = at(&[OLD]);
    let mut work = begin(dir.path(), shop, keep).unwrap();
    work.round(&mut |_| {}).unwrap();
    let inode =
        |path: &str| std::fs::metadata(dir.path().join("current").join(path)).unwrap().ino();
    let before = (inode("app/flows/b.py"), inode("app/flows/a.py"));
    drop(work);
    let shop = at(&[OLD, NEW]);
    let sent = shop.sent.clone();
    let mut told = Vec::new();
    begin(dir.path(), shop, keep).unwrap().round(&mut |event| told.push(event)).unwrap();
    assert_eq!(sent.get(), 2, "a.py and c.py");
    assert_eq!(inode("app/flows/b.py"), before.0);
    assert_ne!(inode("app/flows/a.py"), before.1);
    let fetched = told.iter().find_map(|event| match event {
        Event::Switched { fetched, files, backwards, .. } => Some((*fetched, *files, *backwards)),
        _ => None,
    });
    assert_eq!(fetched, Some((2, NEW.len(), false)));
    // Back again, as after a restore of the server: from what was kept, and it is said.
    let mut shop = at(&[OLD, NEW]);
    shop.commit(OLD, 1);
    let (sent, mut told) = (shop.sent.clone(), Vec::new());
    begin(dir.path(), shop, keep).unwrap().round(&mut |event| told.push(event)).unwrap();
    assert_eq!((sent.get(), seen(dir.path())), (0, expected(OLD)));
    assert!(matches!(told[..], [Event::Switched { backwards: true, .. }]), "{told:?}");
}

/// Somebody wrote to a file of the version that is read: the next look finds it, and readers get a whole
/// one under a name of its own.
#[test]
fn a_damaged_version_is_made_anew() {
    use std::os::unix::fs::PermissionsExt as _;
    for how in ["altered", "removed", "linked"] {
        let dir = tempfile::tempdir().unwrap();
        go(dir.path(), at(&[OLD])).unwrap();
        let path = dir.path().join("current/app/flows/a.py");
        if how == "altered" {
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, open).unwrap();
            std::fs::write(&path, "evil").unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        if how == "linked" {
            std::os::unix::fs::symlink("b.py", &path).unwrap();
        }
        let damaged = status(&Folder::new(dir.path()), true, None).unwrap_err();
        assert_eq!(damaged.exit(), Exit::Verification, "{how}");
        let mut told = Vec::new();
        let mut work = begin(dir.path(), at(&[OLD]), KEEP).unwrap();
        work.round(&mut |event| told.push(event)).unwrap();
        assert!(matches!(told[0], Event::Damaged { .. }), "{how}: {told:?}");
        assert_eq!(seen(dir.path()), expected(OLD), "{how}");
        assert!(work.current().unwrap().0.as_str().ends_with("-2"), "{how}");
    }
}

/// Readers of a version that was replaced a moment ago keep it, however many came since.
#[test]
fn replaced_versions_stay_for_their_readers() {
    let dir = tempfile::tempdir().unwrap();
    let left = |keep: Keep| {
        for n in 0..4 {
            let (mut shop, text) = (Shop::default(), format!("{n}"));
            shop.commit(&[("a.py", &text)], n + 1);
            begin(dir.path(), shop, keep).unwrap().round(&mut |_| {}).unwrap();
        }
        std::fs::read_dir(dir.path().join("generations")).unwrap().count()
    };
    assert_eq!(left(Keep { versions: 0, grace: Duration::from_mins(1) }), 4);
    assert_eq!(left(Keep { versions: 2, grace: Duration::ZERO }), 3);
    assert_eq!(left(KEEP), 1);
    assert_eq!(count(dir.path(), "objects"), 1);
}

/// Nor longer than their grace, when nothing is built any more.
#[test]
fn replaced_versions_go_while_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let keep = Keep { versions: 0, grace: Duration::from_millis(300) };
    let (mut work, open) = begin_at(dir.path(), vec![at(&[OLD]), at(&[OLD, NEW])], keep);
    work.round(&mut |_| {}).unwrap();
    open.set(1);
    work.round(&mut |_| {}).unwrap();
    let left = || std::fs::read_dir(dir.path().join("generations")).unwrap().count();
    assert_eq!(left(), 2);
    let end = Instant::now() + Duration::from_mins(1);
    while left() == 2 {
        assert!(Instant::now() < end, "it stays");
        work.round(&mut |_| {}).unwrap();
    }
    assert_eq!((seen(dir.path()), count(dir.path(), "objects")), (expected(NEW), NEW.len()));
}

/// What a version that failed has brought along may be erased at the server by now.
#[test]
fn blobs_of_a_version_that_never_came_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (mut work, open) =
        begin_at(dir.path(), vec![without_the_last(at(&[NEW])), at(&[OLD])], KEEP);
    let fault = work.round(&mut |_| {}).unwrap_err();
    assert_eq!(fault.exit(), Exit::Verification);
    assert!(count(dir.path(), "objects") > 0, "what came is kept for the next attempt");
    open.set(1);
    work.round(&mut |_| {}).unwrap();
    assert_eq!((seen(dir.path()), count(dir.path(), "objects")), (expected(OLD), OLD.len()));
}

/// Many blobs are not synced one by one. When the rest of them comes with another attempt, those of the
/// first are no more durable than before.
#[test]
fn what_an_earlier_attempt_brought_is_synced_before_readers_get_it() {
    let files: Vec<_> = (0..280).map(|n| (format!("f{n}"), format!("text {n}"))).collect();
    let files: Vec<_> = files.iter().map(|(p, t)| (&**p, &**t)).collect();
    let dir = tempfile::tempdir().unwrap();
    let (mut work, open) =
        begin_at(dir.path(), vec![without_the_last(at(&[&files])), at(&[&files])], KEEP);
    work.round(&mut |_| {}).unwrap_err();
    assert!(count(dir.path(), "objects") >= 256 && !dir.path().join("current").exists());
    SYNCS.set(0);
    open.set(1);
    work.round(&mut |_| {}).unwrap();
    assert_eq!((seen(dir.path()), SYNCS.get()), (expected(&files), 1));
}

/// What is not ours is not touched, and one folder has one keeper and one tenant.
#[test]
fn folders_of_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let refused = Folder::new(dir.path()).claim(owner()).unwrap_err();
    assert!(
        matches!(refused, Fault::NotOurs { ref found, .. } if found == "precious"),
        "{refused}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
    std::fs::remove_file(dir.path().join("precious")).unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let held = Folder::new(dir.path()).claim(owner()).unwrap();
    let second = Folder::new(dir.path()).claim(owner()).unwrap_err();
    assert_eq!(second.exit(), Exit::Locked);
    drop(held);
    let other = Owner::new("http://127.0.0.1:1".parse().unwrap(), "umbrella".parse().unwrap());
    let refused = Folder::new(dir.path()).claim(other).unwrap_err();
    assert!(matches!(refused, Fault::OtherTenant { .. }), "{refused}");
    // The same tenant at another address: the server moved.
    let moved = Owner::new("http://127.0.0.1:2".parse().unwrap(), "acme".parse().unwrap());
    drop(Folder::new(dir.path()).claim(moved.clone()).unwrap());
    assert_eq!(Folder::new(dir.path()).owner().unwrap(), Some(moved));
}

/// A flow's own files go with `flows`, what is shared stays.
#[test]
fn other_flows_are_left_out() {
    let manifest = r#"{"flows": {
        "a": {"files": ["app/flows/a.py", "app/flows/b.py"]}, "c": {"files": ["app/flows/b.py", "app/more/c.py"]}
    }}"#;
    let files = [NEW, &[("manifest.json", manifest)][..]].concat();
    let dir = tempfile::tempdir().unwrap();
    let work = |flow: Option<&str>| {
        let held = Folder::new(dir.path()).claim(owner()).unwrap();
        let flows = flow.map(|flow| [flow.parse::<FlowId>().unwrap()].into());
        let mut shop = Shop::default();
        shop.commit(&files, 1);
        let mut work = Checkout::new(held, Box::new(shop), Pin::Branch, flows, KEEP).unwrap();
        work.round(&mut |_| {}).unwrap();
        seen(dir.path()).unwrap().into_keys().collect::<Vec<_>>()
    };
    let a = ["README.md", "app/flows/a.py", "app/flows/b.py", "manifest.json", "run.sh"];
    assert_eq!(work(Some("a")), a);
    assert_eq!(work(None).len(), files.len(), "the same commit with more of it");
    assert_eq!(work(Some("a")), a, "and with less");
}

/// A flow that the branch does not have is a mistake that is told with what there is, and nothing is put in the
/// folder; one that goes while the folder is watched is told, and the rest goes on.
#[test]
fn a_flow_that_is_not_there_is_told() {
    let both =
        r#"{"flows": {"a": {"files": ["app/flows/a.py"]}, "c": {"files": ["app/flows/b.py"]}}}"#;
    let one = r#"{"flows": {"c": {"files": ["app/flows/b.py"]}}}"#;
    let dir = tempfile::tempdir().unwrap();
    let work = |flow: &str, shop: Shop| {
        let held = Folder::new(dir.path()).claim(owner()).unwrap();
        let flows = Some([flow.parse::<FlowId>().unwrap()].into());
        Checkout::new(held, Box::new(shop), Pin::Branch, flows, KEEP).unwrap()
    };
    let with = |manifest| [NEW, &[("manifest.json", manifest)][..]].concat();
    let mut shop = Shop::default();
    shop.commit(&with(both), 1);
    let fault = work("b", shop).round(&mut |_| {}).unwrap_err();
    assert_eq!((fault.exit(), fault.code()), (Exit::NotFound, "unknown-flow"));
    assert!(fault.to_string().ends_with("no flow `b`: it has a, c"), "{fault}");
    assert!(fault.hint().is_some() && !dir.path().join("current").exists());

    let mut shop = Shop::default();
    shop.commit(&with(both), 1);
    let mut watched = work("a", shop);
    watched.round(&mut |_| {}).unwrap();
    let mut shop = Shop::default();
    shop.commit(&with(both), 1);
    shop.commit(&with(one), 2);
    watched.source = Box::new(shop);
    let mut told = Vec::new();
    watched.round(&mut |event| told.push(event)).unwrap();
    assert!(told.contains(&Event::NoFlow { flow: "a".parse().unwrap() }), "{told:?}");
}

/// A server that sends something else than was asked for changes nothing.
#[test]
fn answers_that_are_not_what_was_asked_for_leave_the_old_version() {
    let dir = tempfile::tempdir().unwrap();
    go(dir.path(), at(&[OLD])).unwrap();
    let mut shop = at(&[OLD, NEW]);
    shop.objects.retain(|(_, bytes)| bytes != b"new a");
    let fault = go(dir.path(), shop).unwrap_err();
    assert_eq!((fault.exit(), seen(dir.path())), (Exit::Verification, expected(OLD)));
}
