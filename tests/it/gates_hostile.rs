//! What hostile code can do in a gate: nothing that lasts, and nothing beyond its build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use colophon::gates::{CommandConfig, Gates, GatesConfig, Mode, Refused, sandbox};
use colophon::units::Span;
use colophon_model::{Artifact, FileMode, FileSet, GateStatus, SandboxLevel};

use crate::support::gates::{
    command, config, environment, gone, open, outputs, processes, said, words,
};

/// Each does one thing that a build must not do, and reports that it could. `SECRET` is a file that
/// the server can read, `OUTSIDE` a folder where it can write.
const HOSTILE: &[(&str, &str)] = &[
    ("opens a socket", "import socket; socket.create_connection(('127.0.0.1', PORT), 5)"),
    ("opens any socket", "import socket; socket.socket(socket.AF_UNIX)"),
    ("reads the accounts", "open('/etc/shadow').read()"),
    ("reads the store", "open(SECRET).read()"),
    ("lists the store", "import os; os.listdir(os.path.dirname(SECRET))"),
    ("reads the server's memory", "open(f'/proc/{SERVER}/environ').read()"),
    ("writes outside", "open(OUTSIDE + '/x', 'w')"),
    ("writes beside itself", "open('x', 'w')"),
    ("writes to temp", "open('/tmp/colophon-hostile', 'w')"),
    ("removes a file", "import os; os.remove(SECRET)"),
    ("empties a file", "import os; os.truncate(SECRET, 0)"),
    ("locks a file away", "import os; os.chmod(SECRET, 0)"),
    ("renames a file", "import os; os.rename(SECRET, SECRET + '2')"),
    ("links a file", "import os; os.link(SECRET, OUTSIDE + '/link')"),
    ("forks", "import os\n    if os.fork() == 0: os._exit(0)"),
    ("starts a program", "import subprocess; subprocess.run(['/bin/true'])"),
    ("becomes a program", "import os; os.execv('/bin/true', ['true'])"),
    ("kills its parent", "import os; os.kill(os.getppid(), 9)"),
    ("kills the server", "import os; os.kill(SERVER, 9)"),
    (
        "limits its parent",
        "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    ),
    (
        "mounts",
        "import ctypes, os\n    if ctypes.CDLL(None, use_errno=True).mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError(ctypes.get_errno())",
    ),
    (
        "makes a namespace",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).unshare(0x20000): raise OSError(ctypes.get_errno())",
    ),
    (
        "traces its parent",
        "import ctypes, os\n    if ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0): raise OSError(ctypes.get_errno())",
    ),
    (
        "makes a ring",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).syscall(425, 8, bytes(256)) < 0: raise OSError(ctypes.get_errno())",
    ),
    (
        "speaks another dialect of calls",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).syscall(0x40000000 | 41, 2, 1, 0) < 0: raise OSError(ctypes.get_errno())",
    ),
    (
        "keeps shared memory",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).shmget(7, 4096, 0o1600) < 0: raise OSError(ctypes.get_errno())",
    ),
    (
        "has the kernel signal others",
        "import fcntl, os; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    ),
    (
        "has the kernel kill others, past what looks at 64 bits",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).syscall(FCNTL, 0, ctypes.c_long(0x100000000 | 10), ctypes.c_long(9)): raise OSError(ctypes.get_errno())",
    ),
    (
        "watches files",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).inotify_init1(0) < 0: raise OSError(ctypes.get_errno())",
    ),
    ("moves others to one processor", "import os; os.sched_setaffinity(1, {0})"),
    (
        "makes a namespace of users",
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000): raise OSError(ctypes.get_errno())",
    ),
    ("eats memory", "x = [bytearray(1 << 20) for _ in range(1 << 20)]"),
    ("opens files without end", "x = [open('/dev/null') for _ in range(100_000)]"),
];

/// The number of the call.
const FCNTL: u32 = if cfg!(target_arch = "x86_64") { 72 } else { 25 };

/// A module that says what happened: it fails with `DID IT` when the deed was done.
fn deed(code: &str, secret: &Path, outside: &Path, port: u16) -> String {
    let server = std::process::id();
    format!(
        "SECRET, OUTSIDE, SERVER, PORT, FCNTL = {:?}, {:?}, {server}, {port}, {FCNTL}\n\n\ndef test_a():\n    {code}\n    \
         raise AssertionError('DID IT')\n",
        secret.display().to_string(),
        outside.display().to_string(),
    )
}

/// Nothing that hostile code tries comes through, each build is refused, and nothing is left.
#[test]
fn hostile_code_in_a_smoke_test_reaches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "the store").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let work = tempfile::tempdir().unwrap();
    open(work.path());
    let gates = Gates::new(&GatesConfig { dir: Some(work.path().into()), ..config() });
    for (what, code) in HOSTILE {
        let result = said(&gates, &deed(code, &secret, home.path(), port));
        let text = words(&result);
        assert!(!text.contains("DID IT"), "{what}: {text}");
        assert!(text.contains("Error") || text.contains("ended"), "{what}: {text}");
        assert_ne!(result.sandbox.unwrap().level, SandboxLevel::None);
    }
    assert_eq!(std::fs::read(&secret).unwrap(), b"the store");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    assert!(!Path::new("/tmp/colophon-hostile").exists());
    // The worker has survived all of it, and ends with the gates.
    assert_eq!(said(&gates, "def test_a():\n    pass\n").status, GateStatus::Passed);
    drop(gates);
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "no file");
    gone(&work.path().display().to_string());
}

/// The deeds are real: without the sandbox they are done. So it is the sandbox that stops them.
#[test]
fn without_the_sandbox_the_same_code_reaches_all_of_it() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "the store").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gates = Gates::new(&GatesConfig { sandbox: Mode::Off, ..config() });
    let harmless =
        ["opens a socket", "opens any socket", "reads the store", "forks", "links a file"];
    for (what, code) in HOSTILE.iter().filter(|(what, _)| harmless.contains(what)) {
        let result = said(&gates, &deed(code, &secret, home.path(), port));
        assert!(words(&result).contains("DID IT"), "{what}: {result:?}");
        assert_eq!(result.sandbox.unwrap().level, SandboxLevel::None);
    }
}

/// The same for what the flow's author may bring: a component's module that a test imports.
#[test]
fn hostile_code_of_a_component_reaches_nothing() {
    let gates = Gates::new(&config());
    let test = "import importlib.util\n\n\ndef test_a():\n    spec = importlib.util.spec_from_file_location('c', 'app/flows/flow_a.py')\n    \
                module = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(module)\n";
    let mut build = outputs(test);
    let component =
        b"import os\nos.system('id > /tmp/colophon-hostile')\nopen('/etc/shadow').read()\n";
    let files = build.cloud.iter().map(|(path, file)| (path.clone(), file.clone()));
    let mut files: BTreeMap<_, _> = files.collect();
    let file = Artifact::new(FileMode::Regular, component.to_vec());
    files.insert("app/flows/flow_a.py".parse().unwrap(), file);
    build.cloud = FileSet::new(files).unwrap();
    let Err(Refused::Failed(results)) = gates.check(&build) else { panic!("refused") };
    let said = words(&results[0]);
    assert!(said.contains("flow_a.py\", line 3") && said.contains("PermissionError"), "{said}");
    assert!(!Path::new("/tmp/colophon-hostile").exists());
}

/// What does not end is ended, and other builds go on meanwhile.
#[test]
fn a_smoke_test_that_does_not_end_is_stopped() {
    // A good one must end in that time too, on a busy machine.
    let gates = Gates::new(&GatesConfig { timeout: Span::seconds(6), ..config() });
    assert_eq!(said(&gates, "def test_a():\n    pass\n").status, GateStatus::Passed);
    let endless = [
        "import time; time.sleep(600)",
        "while True: pass",
        "import os\n    for fd in range(3, 256):\n        try: os.close(fd)\n        except OSError: pass\n    while True: pass",
        "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15, 24)]; x = iter(int, 1); list(iter(lambda: 0, 1)) if 0 else any(x)",
    ];
    std::thread::scope(|scope| {
        let slow: Vec<_> = endless
            .iter()
            .map(|code| format!("def test_a():\n    {code}\n"))
            .map(|test| (&gates, test))
            .map(|(gates, test)| scope.spawn(move || said(gates, &test)))
            .collect();
        for result in slow {
            let result = result.join().unwrap();
            let text = words(&result);
            assert!(text.contains("was stopped") || text.contains("ended by"), "{text}");
            assert!(result.micros.unwrap() < 30_000_000, "{result:?}");
        }
    });
    assert_eq!(said(&gates, "def test_a():\n    pass\n").status, GateStatus::Passed);
}

/// A command may start processes and write in its folder, and all of it ends with it.
#[test]
fn nothing_of_a_command_survives_it() {
    let work = tempfile::tempdir().unwrap();
    open(work.path());
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "the store").unwrap();
    let marker = "86399.25";
    let scripts = [
        ("forks without end", format!("f() {{ sleep {marker} & f | f & }}; f; sleep {marker}")),
        ("leaves a process", format!("(setsid sleep {marker} &) ; exit 1")),
        ("reads the store", format!("cat {} && echo DID IT; exit 1", secret.display())),
        ("writes outside", format!("echo x > {}/x && echo DID IT; exit 1", home.path().display())),
        ("kills", format!("kill -9 {} && echo DID IT; exit 1", std::process::id())),
        ("sleeps", format!("sleep {marker}")),
        ("talks", "yes; exit 1".to_owned()),
        ("hides a folder", "umask 777; mkdir -p a; echo x > y; exit 1".to_owned()),
    ];
    for (what, script) in scripts {
        let gates = Gates::new(&GatesConfig {
            smoke: Mode::Off,
            dir: Some(work.path().to_owned()),
            timeout: Span::seconds(3),
            command: vec![command("own", &["/bin/sh", "-c", &script])],
            ..config()
        });
        let result = said(&gates, "def test_a():\n    pass\n");
        let text = words(&result);
        assert!(!text.contains("DID IT"), "{what}: {text}");
        assert!(text.len() <= 16_384 + 64, "{what}: {}", text.len());
        drop(gates);
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "{what}: no file");
        gone(marker);
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

/// Two builds of different tenants are in the same gate: one fills the number of processes that a tool may
/// have and sits there, the other's tool starts, and starts processes of its own, all the while. Linux counts by
/// user, so under a root server this holds only because each tool has a user for itself.
#[test]
fn a_fork_bomb_keeps_nobody_elses_tool_from_starting() {
    if !sandbox::is_root() {
        eprintln!(
            "NOT ROOT: user namespaces are tested here, and not the users of a server that is root"
        );
    }
    let marker = "86398.75";
    let script = format!(
        "if grep -q BOMB tests/smoke/test_a.py; then \
         (while :; do sleep {marker} & done); exec sleep {marker}; fi; \
         for n in 1 2 3 4 5 6 7 8 9 10; do /bin/true & done; wait; id -u; exit 1"
    );
    let gates = Gates::new(&GatesConfig {
        smoke: Mode::Off,
        // Long enough for it to fill up, and for three others meanwhile, on a busy machine.
        timeout: Span::seconds(60),
        command: vec![command("own", &["/bin/sh", "-c", &script])],
        ..config()
    });
    let mut users = BTreeSet::new();
    std::thread::scope(|scope| {
        let bomb = scope.spawn(|| said(&gates, "BOMB = 1\n"));
        let start = Instant::now();
        // The keeper and the starter name it too.
        while processes(marker).len() < 110 {
            assert!(!bomb.is_finished(), "{:?}", bomb.join());
            assert!(start.elapsed() < Duration::from_secs(45), "{}", processes(marker).len());
            std::thread::sleep(Duration::from_millis(20));
        }
        for _ in 0..3 {
            users.insert(words(&said(&gates, "X = 1\n")).to_owned());
        }
        assert!(processes(marker).len() >= 110, "it was there all the while");
        assert!(words(&bomb.join().unwrap()).contains("was stopped"));
    });
    assert!(users.iter().all(|said| said.parse::<u32>().is_ok()), "no word of trouble: {users:?}");
    if sandbox::is_root() {
        assert_eq!(users.len(), 3, "a user each time: {users:?}");
    }
    gone(marker);
}

/// A command sees nothing of the server's environment, and the network only when it may.
#[test]
fn a_command_has_an_environment_of_its_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let python = environment().join("python").display().to_string();
    let code = format!(
        "import os, socket; print(sorted(os.environ), os.getcwd()); socket.create_connection(('127.0.0.1', {port}), 5); print('CONNECTED'); exit(3)"
    );
    let run = |network| {
        let own = CommandConfig { network, ..command("own", &[&python, "-c", &code]) };
        let gates = Gates::new(&GatesConfig { smoke: Mode::Off, command: vec![own], ..config() });
        words(&said(&gates, "X = 1\n")).to_owned()
    };
    let alone = run(false);
    assert!(!alone.contains("CONNECTED") && !alone.contains("CARGO"), "{alone}");
    let connected = run(true);
    assert!(connected.contains("CONNECTED"), "{connected}");
}
