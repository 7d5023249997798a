//! Gates, on real Python with langgraph: what passes, what is refused, and what is kept of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use colophon::config::Config;
use colophon::gates::{Gates, GatesConfig, Mode};
use colophon::units::Size;
use colophon_model::GateStatus;

use crate::support::gates::{command, config, environment, gone, open, processes, said, words};
use crate::support::programs::{clone, git_in, program};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

fn server(gates: GatesConfig) -> TestServer {
    TestServer::with(|config: &mut Config| config.gates = gates)
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
    // A no-op runs no gate.
    let again = server.build(&tenant, ORDER_INTAKE);
    assert_eq!((again.status, &again.json()["timing_ms"]["gates"]), (200, &0.0.into()));
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
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..5 {
        for result in gates.check(&build).unwrap() {
            times.entry(result.name).or_default().push(result.micros.unwrap());
        }
    }
    let medians: BTreeMap<String, u64> = times
        .into_iter()
        .map(|(name, mut times)| {
            times.sort_unstable();
            (name, times[times.len() / 2])
        })
        .collect();
    for (name, micros) in &medians {
        eprintln!("gate {name}: median {micros} µs");
    }
    assert!(medians["smoke"] * 3 < medians["pytest"], "{medians:?}");
}
