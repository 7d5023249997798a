//! Builds of different tenants that are in the smoke gate at the same time, or one after the other in the same worker: none
//! learns anything of another, and none keeps another from its test.

use std::path::Path;
use std::time::{Duration, Instant};

use colophon::gates::{Gates, GatesConfig};
use colophon::units::Span;
use colophon_model::GateStatus;

use crate::support::gates::{config, open, processes, said, words};

/// What only one tenant knows; its end is 16 hex digits, so that whoever looks for its beginning does not find itself.
const SECRET: &str = "SECRET-OF-ANOTHER:0f1e2d3c4b5a6978";

/// Looks for the secret in everything that a smoke test can read, and says where it was.
const SPY: &str = r"
import ctypes, gc, os, re, sys

PATTERN = re.compile(rb'SECRET-OF-ANOTHER:[0-9a-f]{16}')


def files():
    home = os.path.dirname(os.getcwd())
    for folder, _, names in os.walk(home, onerror=None):
        for name in names:
            try:
                yield open(os.path.join(folder, name), 'rb').read()
            except OSError:
                pass
    for pid in range(1, 400):
        for name in ('cmdline', 'environ', 'mem', 'cwd/tests/smoke/test_a.py'):
            try:
                yield open(f'/proc/{pid}/{name}', 'rb').read(1 << 20)
            except OSError:
                pass


def neighbours():
    home = os.path.dirname(os.getcwd())
    try:
        return [name for name in os.listdir(home) if name != os.path.basename(os.getcwd())]
    except OSError:
        return []


def objects():
    frame = sys._getframe()
    while frame:
        yield repr(frame.f_locals).encode()
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (dict, list, tuple)) and len(thing) < 100:
            for part in thing.values() if isinstance(thing, dict) else thing:
                if isinstance(part, (str, bytes, bytearray)):
                    yield part.encode(errors='replace') if isinstance(part, str) else bytes(part)


def memory():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype = ctypes.c_void_p
    ours, theirs = os.pipe()

    def page(at):
        # The kernel reads it, and says so where nothing is, or nothing that may be read.
        count = libc.write(theirs, ctypes.c_void_p(at), ctypes.c_size_t(4096))
        return os.read(ours, count) if count > 0 else None

    # The C library's heap from its end down, and what is near everything that Python knows of.
    at = (libc.sbrk(ctypes.c_long(0)) - 4096) & ~4095
    while data := page(at):
        yield data
        at -= 4096
    for region in {id(thing) & ~0xFFFFF for thing in gc.get_objects()}:
        for at in range(region, region + (1 << 20), 4096):
            if data := page(at):
                yield data


def test_a():
    looked = 0
    for source in (files, objects, memory):
        for data in source():
            looked += len(data)
            if PATTERN.search(data):
                raise AssertionError(f'FOUND in {source.__name__}')
    if neighbours():
        raise AssertionError(f'FOUND {neighbours()}')
    raise AssertionError(f'NOTHING in {looked >> 20} MiB')
";

fn folders(work: &Path) -> usize {
    let homes = std::fs::read_dir(work).unwrap().flatten();
    let inside = homes.filter_map(|home| std::fs::read_dir(home.path()).ok());
    let names = inside.flat_map(|entries| entries.flatten().map(|entry| entry.file_name()));
    names.filter(|name| name.to_string_lossy().starts_with("build-")).count()
}

fn until(what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_mins(3), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One tenant's build has failed with words of its own, another's is being tested, and a third looks for them: in the files
/// of others, in `/proc`, in what the worker knows, and in every page of memory that it was forked with.
#[test]
fn a_smoke_test_learns_nothing_of_another() {
    let work = tempfile::tempdir().unwrap();
    open(work.path());
    let settings =
        GatesConfig { dir: Some(work.path().into()), timeout: Span::seconds(90), ..config() };
    let gates = Gates::new(&settings);
    let fails = format!("def test_a():\n    raise AssertionError({SECRET:?} * 3)\n");
    let sits = format!(
        "import time\n\n\ndef test_a():\n    time.sleep(30)\n    raise AssertionError({SECRET:?})\n"
    );
    for _ in 0..3 {
        assert!(words(&said(&gates, &fails)).contains(SECRET));
    }
    std::thread::scope(|scope| {
        let sitting = scope.spawn(|| said(&gates, &sits));
        until("it is tested", || folders(work.path()) > 0);
        let spy = said(&gates, SPY);
        let spied = words(&spy).to_owned();
        println!("{spied}");
        assert!(spied.contains("NOTHING in ") && !spied.contains("FOUND"), "{spied}");
        assert!(!spied.contains("NOTHING in 0 MiB"), "it has looked: {spied}");
        assert!(!sitting.is_finished(), "it was there all the while");
        assert!(words(&sitting.join().unwrap()).contains(SECRET));
    });
}

/// One build starts all the threads that it may and sits there; others start theirs all the while. Linux counts by user, so
/// this holds where each test is counted by itself, in a user namespace of its own.
#[test]
fn threads_without_end_keep_no_other_test_from_passing() {
    let work = tempfile::tempdir().unwrap();
    open(work.path());
    let settings =
        GatesConfig { dir: Some(work.path().into()), timeout: Span::seconds(55), ..config() };
    let gates = Gates::new(&settings);
    let bomb = "import ctypes, threading, time\n\n\ndef test_a():\n    ctypes.CDLL(None).mallopt(-8, 1)\n    \
                threading.stack_size(1 << 16)\n    end = time.monotonic() + 25\n    \
                try:\n        while True:\n            threading.Thread(target=time.sleep, args=(25,), daemon=True).start()\n    \
                except RuntimeError:\n        pass\n    count = threading.active_count()\n    time.sleep(max(0, end - time.monotonic()))\n    \
                raise AssertionError(f'BOMB of {count}')\n";
    let ordinary = "import threading, time\n\n\ndef test_a():\n    threading.stack_size(1 << 18)\n    \
                    all = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(20)]\n    \
                    [one.start() for one in all]\n    [one.join() for one in all]\n";
    let alone = said(&gates, ordinary);
    assert_eq!(alone.status, GateStatus::Passed, "{alone:?}");
    std::thread::scope(|scope| {
        let bombing = scope.spawn(|| said(&gates, bomb));
        let home = work.path().display().to_string();
        let most = || processes(&home).into_iter().map(threads).max().unwrap_or_default();
        until("it has all that it may have", || most() >= 200);
        for _ in 0..3 {
            let other = said(&gates, ordinary);
            assert_eq!(other.status, GateStatus::Passed, "{other:?}");
        }
        assert!(!bombing.is_finished(), "it was there all the while");
        let result = bombing.join().unwrap();
        let count = words(&result).rsplit("BOMB of ").next().unwrap().trim().to_owned();
        let count: u32 = count.parse().unwrap_or_else(|_| panic!("{result:?}"));
        assert!((200..=256).contains(&count), "{count} threads");
    });
}

/// How many threads a process has; none when it has ended.
fn threads(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}
