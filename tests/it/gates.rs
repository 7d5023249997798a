//! Gates, on real Python with langgraph: what passes, what is refused, and what hostile code can do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use colophon::config::Config;
use colophon::gates::{CommandConfig, Gates, GatesConfig, Mode, Refused};
use colophon::units::{Size, Span};
use colophon_compiler::Compiled;
use colophon_model::{
    Artifact, ArtifactPath, FileMode, FileSet, GateResult, GateStatus, SandboxLevel,
};

use crate::support::programs::{cache, clone, git_in, program};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// The environment that `tests/setup.sh` makes.
fn environment() -> PathBuf {
    let bin = std::env::var_os("COLOPHON_TEST_GATES")
        .map_or_else(|| cache().join("gates/bin"), PathBuf::from);
    assert!(bin.join("python").exists(), "`{}` is missing: run `make test-setup`", bin.display());
    bin
}

/// Gates of which the smoke test is required. The sandbox is what this machine has: the hostile tests
/// check what it does, not what it is called.
fn config() -> GatesConfig {
    GatesConfig {
        python: environment().join("python"),
        ruff_program: environment().join("ruff"),
        sandbox: Mode::Auto,
        launcher: Some(program("colophon")),
        // This machine may be busy.
        timeout: Span::seconds(60),
        ..GatesConfig::default()
    }
}

fn server(gates: GatesConfig) -> TestServer {
    TestServer::with(|config: &mut Config| config.gates = gates)
}

fn command(name: &str, argv: &[&str]) -> CommandConfig {
    CommandConfig {
        name: name.to_owned(),
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        target: None,
        mode: Mode::Required,
        timeout: None,
        memory: None,
        network: false,
        read: Vec::new(),
    }
}

/// Outputs as a compiler would give them, whose smoke test is `test`.
fn outputs(test: &str) -> Compiled {
    let file = |path: &str, text: &str| {
        let path: ArtifactPath = path.parse().unwrap();
        (path, Artifact::new(FileMode::Regular, text.as_bytes().to_vec()))
    };
    let files = [
        file("app/__init__.py", ""),
        file("app/flows/__init__.py", ""),
        file("app/flows/flow_a.py", "X = 1\n"),
        file("tests/smoke/test_a.py", test),
    ];
    let cloud = FileSet::new(files.into_iter().collect()).unwrap();
    Compiled { cloud, edge: None, gates: Vec::new() }
}

/// What the gates say of a build with this smoke test.
fn said(gates: &Gates, test: &str) -> GateResult {
    match gates.check(&outputs(test)) {
        Ok(mut results) | Err(Refused::Failed(mut results)) => results.pop().unwrap(),
        Err(Refused::Missing { gate, reason }) => panic!("{gate} cannot run: {reason}"),
    }
}

fn words(result: &GateResult) -> &str {
    assert_eq!(result.status, GateStatus::Failed, "{result:?}");
    result.words.as_deref().unwrap()
}

fn gate<'a>(build: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let gates = build["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["name"] == name).unwrap_or_else(|| panic!("{build:#}"))
}

/// A real flow with an edge part goes through every gate there is, and its record says so.
#[test]
fn a_good_build_passes_every_gate() {
    let bin = environment();
    let tool = |name: &str| bin.join(name).display().to_string();
    let server = server(GatesConfig {
        ruff: Mode::Required,
        command: vec![
            command("black", &[&tool("black"), "--check", "-q", "."]),
            command("pytest", &[&tool("pytest"), "-q", "-p", "no:cacheprovider", "tests/smoke"]),
        ],
        ..config()
    });
    let tenant = server.tenant("acme-inc");
    let answer = server.build(&tenant, ORDER_INTAKE);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let build = answer.json();
    for name in ["parse", "shape", "format", "ruff", "smoke", "black", "pytest"] {
        assert_eq!(gate(&build, name)["status"], "passed", "{name}: {build:#}");
    }
    assert!(gate(&build, "smoke")["micros"].as_u64().unwrap() > 0);
    assert!(gate(&build, "smoke")["sandbox"]["level"].is_string());
    assert!(build["timing_ms"]["gates"].as_f64().unwrap() > 0.0);
    // Nothing stays behind, and a no-op runs no gate.
    let start = Instant::now();
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 200);
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Stands for a virus scanner: names files that hold a word, by their full paths.
const SCANNER: &str = "import pathlib, sys\n\
    found = [p for p in pathlib.Path.cwd().rglob('app/**/*.py') if b'EVIL' in p.read_bytes()]\n\
    print(*found, sep='\\n')\nsys.exit(bool(found))";

/// What is kept of a refused build, and what is not.
#[test]
fn a_refused_build_commits_nothing_and_leaves_its_record_and_its_tag() {
    let python = environment().join("python").display().to_string();
    let server = server(GatesConfig {
        smoke: Mode::Off,
        command: vec![command("scan", &[&python, "-c", SCANNER])],
        ..config()
    });
    let tenant = server.tenant("acme-inc");
    let good = server.build(&tenant, &small_flow("one", Some(1), "fine"));
    assert_eq!(good.status, 201, "{:#}", good.json());
    let before = server.get_with("/v1/t/acme-inc/manifest.json", &tenant.api).bytes;

    let refused = server.build(&tenant, &small_flow("one", Some(2), "EVIL"));
    assert_eq!(refused.status, 422, "{:#}", refused.json());
    let problem = refused.json();
    assert_eq!(problem["code"], "gate-failed");
    assert_eq!(problem["errors"][0]["code"], "E_GATE_COMMAND");
    let said = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(said.contains("app/flows/acme_inc/flow_one.py") && !said.contains("/tmp"), "{said}");
    assert_eq!(server.get_with("/v1/t/acme-inc/manifest.json", &tenant.api).bytes, before);

    // The record, by the id that the hint names.
    let hint = problem["hint"].as_str().unwrap();
    let id = hint.split(' ').nth(1).unwrap();
    let record = server.get_with(&format!("/v1/builds/{id}"), &tenant.api).json();
    assert_eq!(record["outcome"], "failed");
    assert_eq!(gate(&record, "scan")["words"], said);
    assert_eq!(record["commit"], good.json()["commit"], "the tip stays");
    let tag = record["failed_tag"].as_str().unwrap().to_owned();

    check_tag(&server, &tenant, &tag, good.json()["commit"].as_str().unwrap());
    rebuilt_and_sound(&server, &tag);

    // The same flow is no replay, and what follows builds on the tip.
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "EVIL")).status, 422);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "better")).status, 201);
}

fn check_tag(server: &TestServer, tenant: &TestTenant, tag: &str, tip: &str) {
    assert!(tag.starts_with("build-failed/acme-inc/"), "{tag}");
    let to = server.path("clone");
    clone(&server.git_url(tenant), &tenant.git, &to);
    assert_eq!(git_in(&to, &["cat-file", "-t", tag]).trim(), "tag", "annotated");
    assert_eq!(git_in(&to, &["rev-parse", &format!("{tag}^{{commit}}")]).trim(), tip);
    let text = git_in(&to, &["cat-file", "tag", tag]);
    assert!(text.contains("\nGate: scan\n") && text.contains("BEGIN SSH SIGNATURE"), "{text}");
    git_in(&to, &["fsck", "--strict"]);
}

/// The tag is a function of the record, the store is sound with it, and it ends as other tags do.
fn rebuilt_and_sound(server: &TestServer, tag: &str) {
    let operator = |path: &str, body: &str| {
        let answer = server.operator("POST", path, body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
        String::from_utf8(answer.bytes).unwrap()
    };
    let rebuilt = operator("/v1/maintenance/git/rebuild", r#"{"tenant":"acme-inc"}"#);
    assert!(rebuilt.contains(r#""refs_replaced":0"#), "{rebuilt}");
    let checked = operator("/v1/maintenance/fsck", "{}");
    assert!(!checked.contains("E_"), "{checked}");
    server.clock.advance(1000);
    let purge = r#"{"tenant":"acme-inc","older_than":"0s","dry_run":true}"#;
    let purged = operator("/v1/maintenance/purge", purge);
    assert!(purged.contains(r#""tags":2"#), "{tag}: {purged}");
}

#[test]
fn a_refused_build_counts_against_the_quota() {
    let server = TestServer::with(|config| {
        config.gates = GatesConfig {
            smoke: Mode::Off,
            status: 400,
            command: vec![command("no", &["/bin/false"])],
            ..self::config()
        };
        config.quota.builds_per_day = std::num::NonZeroU64::new(1).unwrap();
    });
    let tenant = server.tenant("acme-inc");
    let refused = server.build(&tenant, &small_flow("one", None, "a"));
    assert_eq!((refused.status, refused.code().as_str()), (400, "gate-failed"));
    assert_eq!(refused.json()["errors"][0]["detail"], "exit status 1");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "b")).status, 429);
}

/// Without what it needs, a required gate is a 503, and one that is `auto` is skipped in words.
#[test]
fn a_missing_gate_is_told_or_skipped_by_its_mode() {
    let missing = |smoke| GatesConfig { smoke, python: "no-such-python".into(), ..config() };
    let strict = server(missing(Mode::Required));
    let tenant = strict.tenant("acme-inc");
    let flow = small_flow("one", None, "a");
    let answer = strict.build(&tenant, &flow);
    assert_eq!((answer.status, answer.code().as_str()), (503, "gate-unavailable"));
    assert_ne!(answer.header("retry-after"), "");
    let text = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(text.contains("no-such-python") && text.contains("pip install langgraph"), "{text}");
    let ready = strict.get("/readyz", &[]);
    assert_eq!((ready.status, &ready.json()["gate"]["gate"]), (503, &"smoke".into()));
    assert_eq!(strict.get("/healthz", &[]).status, 200, "a restart does not help");

    let lenient = server(missing(Mode::Auto));
    let tenant = lenient.tenant("acme-inc");
    let build = lenient.build(&tenant, &flow);
    assert_eq!(build.status, 201, "{:#}", build.json());
    let skipped = gate(&build.json(), "smoke").clone();
    assert_eq!(skipped["status"], "skipped");
    assert!(skipped["words"].as_str().unwrap().contains("no-such-python"));
    assert_eq!(lenient.get("/readyz", &[]).status, 200);
}

#[test]
fn check_config_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(
        &file,
        "[gates]\npython = \"no-such-python\"\nruff = \"auto\"\n\
                           ruff_program = \"no-such-ruff\"\n",
    )
    .unwrap();
    let output = Command::new(program("colophon"))
        .args(["check-config", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("no-such-ruff"), "{stderr}");
    assert!(stderr.contains("`smoke` is required") && stderr.contains("pip install"), "{stderr}");
}

/// Ruff finds what is Python by its grammar and yet cannot run.
#[test]
fn ruff_refuses_in_its_own_words() {
    let gates = Gates::new(&GatesConfig { smoke: Mode::Off, ruff: Mode::Required, ..config() });
    let result = said(&gates, "def test_a():\n    return unknown\n");
    assert!(words(&result).contains("tests/smoke/test_a.py:2:12: F821"), "{result:?}");
    assert_eq!(said(&gates, "def test_a():\n    return 1\n").status, GateStatus::Passed);
}

#[test]
fn the_smoke_gate_gives_the_errors_words_without_the_servers_paths() {
    let gates = Gates::new(&config());
    let result = said(&gates, "def test_a():\n    from app.flows import flow_b\n");
    let text = words(&result);
    assert!(text.contains("File \"tests/smoke/test_a.py\", line 2"), "{text}");
    assert!(text.contains("ImportError") && !text.contains("colophon-"), "{text}");
    assert!(words(&said(&gates, "X = 1\n")).contains("has no test"));
    // A huge message is cut, and one that cannot be shown is told.
    let huge = said(&gates, "def test_a():\n    raise ValueError('x' * 10_000_000)\n");
    assert!(words(&huge).len() < 16_384);
    let nasty = "class E(Exception):\n    def __str__(self):\n        raise self\n\
                 def test_a():\n    raise E()\n";
    assert!(words(&said(&gates, nasty)).contains('E'));
    assert_eq!(said(&gates, "def test_a():\n    pass\n").status, GateStatus::Passed);
}

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
    ("links a file", "import os; os.link(SECRET, 'x')"),
    ("forks", "import os; os.fork()"),
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
        "import ctypes\n    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000): raise OSError(ctypes.get_errno())",
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
    ("eats memory", "x = [bytearray(1 << 20) for _ in range(1 << 20)]"),
    ("opens files without end", "x = [open('/dev/null') for _ in range(100_000)]"),
];

/// A module that says what happened: it fails with `DID IT` when the deed was done.
fn deed(code: &str, secret: &Path, outside: &Path, port: u16) -> String {
    let server = std::process::id();
    format!(
        "SECRET, OUTSIDE, SERVER, PORT = {:?}, {:?}, {server}, {port}\n\n\ndef test_a():\n    {code}\n    \
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
    let mut files: std::collections::BTreeMap<_, _> = files.collect();
    let file = Artifact::new(FileMode::Regular, component.to_vec());
    files.insert("app/flows/flow_a.py".parse().unwrap(), file);
    build.cloud = FileSet::new(files).unwrap();
    let Err(Refused::Failed(results)) = gates.check(&build) else { panic!("refused") };
    let text = words(&results[0]);
    assert!(text.contains("flow_a.py\", line 3") && text.contains("PermissionError"), "{text}");
    assert!(!Path::new("/tmp/colophon-hostile").exists());
}

/// What does not end is ended, and other builds go on meanwhile.
#[test]
fn a_smoke_test_that_does_not_end_is_stopped() {
    let gates = Gates::new(&GatesConfig { timeout: Span::seconds(3), ..config() });
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

/// A worker that is killed from outside is replaced, and one that has done its part too.
#[test]
fn a_worker_that_ends_is_replaced() {
    let work = tempfile::tempdir().unwrap();
    open(work.path());
    let dir = Some(work.path().to_owned());
    let gates = Gates::new(&GatesConfig { dir, runs: 3, ..config() });
    let pass = || assert_eq!(said(&gates, "def test_a():\n    pass\n").status, GateStatus::Passed);
    pass();
    let name = work.path().display().to_string();
    for pid in processes(&name) {
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    }
    pass();
    let second = homes(work.path());
    pass();
    pass();
    pass();
    assert_ne!(homes(work.path()), second, "three tests, then a fresh one");
    drop(gates);
    gone(&name);
}

fn homes(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
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
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "{what}: no file");
        gone(marker);
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
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

/// Bounds on what gates may hold hold for many at once too: all get an answer.
#[test]
fn many_builds_share_one_worker() {
    let gates = Gates::new(&GatesConfig { at_once: 2, memory: Size::mib(256), ..config() });
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (gates, ok) = (&gates, n % 3 != 0);
            scope.spawn(move || {
                let test = format!("def test_a():\n    assert {} , 'n{n}'\n", u8::from(ok));
                let result = said(gates, &test);
                assert_eq!(result.status == GateStatus::Passed, ok, "{result:?}");
                assert!(ok || words(&result).contains(&format!("n{n}")), "{result:?}");
            });
        }
    });
}

/// How long a smoke test takes beside the processes that it stands for: printed, and bounded loosely,
/// since this machine may be busy. docs/performance.md has numbers of a quiet one.
#[test]
fn a_warm_smoke_test_is_much_quicker_than_a_process() {
    let bin = environment();
    let tool = |name: &str| bin.join(name).display().to_string();
    let gates = Gates::new(&GatesConfig {
        ruff: Mode::Required,
        command: vec![
            command("black", &[&tool("black"), "--check", "-q", "."]),
            command("pytest", &[&tool("pytest"), "-q", "-p", "no:cacheprovider", "tests/smoke"]),
        ],
        ..config()
    });
    let compiler = colophon_compiler::Compiler::new().unwrap();
    let limits = colophon_compiler::Limits::default();
    let policy = colophon_model::CodePolicy::AllowCustom;
    let plan = compiler.parse(ORDER_INTAKE, policy, &limits).unwrap();
    let (slug, flow) = ("acme-inc".parse().unwrap(), colophon_model::FlowId::from_name("order"));
    let build = compiler.compile(&plan, &slug, &flow).unwrap();
    gates.check(&build).unwrap();
    let mut took: std::collections::BTreeMap<String, Vec<u64>> = Default::default();
    for _ in 0..5 {
        for result in gates.check(&build).unwrap() {
            took.entry(result.name).or_default().push(result.micros.unwrap());
        }
    }
    let medians: std::collections::BTreeMap<String, u64> = took
        .into_iter()
        .map(|(name, mut times)| {
            times.sort_unstable();
            (name, times[times.len() / 2])
        })
        .collect();
    for (name, micros) in &medians {
        eprintln!("gate {name}: median {:.1} ms", *micros as f64 / 1000.0);
    }
    assert!(medians["smoke"] * 3 < medians["pytest"], "{medians:?}");
}

/// Lets everybody in: tools may run as another user.
fn open(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Processes whose command line contains `text`, this one not among them.
fn processes(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    pids.filter(|pid| *pid != std::process::id()).filter(holds).collect()
}

/// Waits until no process has `text` in its command line: the kernel ends them a moment after their
/// first one.
fn gone(text: &str) {
    let start = Instant::now();
    while !processes(text).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?} survive", processes(text));
        std::thread::yield_now();
    }
}
