//! What is in packaging/ says what the program understands, and what the documents say.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::programs::program;

fn file(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The variable of every setting, from the commented example.
fn variables() -> BTreeSet<String> {
    let output = Command::new(program("colophon")).args(["check-config", "--example"]).output();
    let (mut section, mut all) = (String::new(), BTreeSet::new());
    for line in String::from_utf8(output.unwrap().stdout).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}_", name.trim_end_matches(']'));
        } else if let Some((name, _)) = line.strip_prefix('#').and_then(|l| l.split_once(" = "))
            && !name.starts_with(' ')
        {
            all.insert(format!("COLOPHON_{section}{name}").to_uppercase());
        }
    }
    all
}

#[test]
fn packages_set_variables_that_there_are() {
    let known = variables();
    assert!(known.len() > 60, "{known:?}");
    for name in ["systemd/colophon.service", "docker/Dockerfile", "docker/compose.yml"] {
        let text = file(&format!("packaging/{name}"));
        let word = |c: char| !(c.is_ascii_uppercase() || c == '_');
        let set: Vec<&str> = text.split(word).filter(|w| w.starts_with("COLOPHON_")).collect();
        assert!(!set.is_empty(), "{name}");
        for variable in set {
            assert!(known.contains(variable), "{name}: nothing reads {variable}");
        }
    }
}

/// What the units and files for runners set is an option of the command, and what they call exists.
#[test]
fn runners_are_packaged_with_options_that_there_are() {
    let help = Command::new(program("colophon")).args(["checkout", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in ["systemd/colophon-checkout@.service", "docker/runner.yml"] {
        let text = file(&format!("packaging/{name}"));
        let text: String =
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let ours = |w: &&str| w.starts_with("COLOPHON_CHECKOUT") || w.starts_with("--");
        let mut used: Vec<&str> = text.split(word).filter(ours).collect();
        used.retain(|w| !["--json", "--app-dir", "--host", "--port"].contains(w));
        assert!(used.len() > 3, "{name}: {used:?}");
        for word in used {
            assert!(help.contains(word), "{name}: `colophon checkout` has no {word}");
        }
    }
    let pins = file("tests/requirements-runner.txt");
    for line in
        file("docs/examples/runner/requirements.txt").lines().filter(|l| !l.starts_with('#'))
    {
        assert!(pins.lines().any(|pin| pin == line), "{line} is not what is tested");
    }
}

/// Every alert has a paragraph that says what to do, and every paragraph an alert.
#[test]
fn each_alert_is_in_the_runbook() {
    let alerts = file("packaging/prometheus/alerts.yml");
    let alerts: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let runbook = file("docs/operations.md");
    let (_, list) = runbook.split_once("## Alert by alert").unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<&str> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
    assert_eq!(alerts, told);
}

/// The container has no root, no shell, and a server that ends when it is told to.
#[test]
fn the_image_runs_as_nobody() {
    let dockerfile = file("packaging/docker/Dockerfile");
    let last = dockerfile.rsplit_once("\nFROM ").unwrap().1;
    assert!(last.starts_with("gcr.io/distroless/") && last.contains("\nUSER 65532:65532\n"));
    assert!(!last.contains("\nRUN "), "there is no shell to run it");
    assert!(last.contains("ENTRYPOINT [\"/usr/bin/colophon\"]"), "it gets the signals itself");
}
