//! The workflow that a branch carries: what it checks after a push, and that nothing in it can be
//! talked into more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::programs::{clone, git_in};
use crate::support::{HELLO_LANGFLOW, ORDER_INTAKE, TestServer, small_flow};

/// A clone of a branch with three flows, and room for lists.
struct Branch {
    server: TestServer,
    dir: PathBuf,
}

const ZEROS: &str = "0000000000000000000000000000000000000000";

impl Branch {
    fn new() -> Self {
        let server = TestServer::start();
        let tenant = server.tenant("acme-inc");
        for body in [ORDER_INTAKE, &small_flow("orders", Some(1), "one"), HELLO_LANGFLOW] {
            assert_eq!(server.build(&tenant, body).status, 201);
        }
        assert_eq!(server.build(&tenant, &small_flow("orders", Some(2), "two")).status, 201);
        let dir = server.path("clone");
        clone(&server.git_url(&tenant), &tenant.git, &dir);
        git_in(&dir, &["config", "user.name", "t"]);
        git_in(&dir, &["config", "user.email", "t@example.com"]);
        Self { server, dir }
    }

    /// The commit that a revision names.
    fn commit(&self, revision: &str) -> String {
        git_in(&self.dir, &["rev-parse", revision]).trim().to_owned()
    }

    fn run(&self, before: &str, after: &str) -> Output {
        let out = self.server.path("lists");
        Command::new("python3")
            .args([Path::new(".github/changed.py"), before.as_ref(), after.as_ref(), &out])
            .current_dir(&self.dir)
            .output()
            .unwrap()
    }

    /// What would be linted and tested.
    fn selected(&self, before: &str, after: &str) -> (Vec<String>, Vec<String>) {
        let output = self.run(before, after);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let list = |name| {
            let bytes = fs::read(self.server.path("lists").join(name)).unwrap();
            assert!(bytes.is_empty() || bytes.ends_with(b"\0"));
            let text = String::from_utf8(bytes).unwrap();
            text.split_terminator('\0').map(str::to_owned).collect()
        };
        (list("lint"), list("smoke"))
    }

    /// Changes one file as a push would, and selects.
    fn touched(&self, path: &str) -> (Vec<String>, Vec<String>) {
        let before = self.commit("HEAD");
        let file = self.dir.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let old = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{old}\n# changed\n")).unwrap();
        git_in(&self.dir, &["add", "-A"]);
        git_in(&self.dir, &["commit", "-q", "-m", "touched"]);
        self.selected(&before, &self.commit("HEAD"))
    }
}

const EVERY: [&str; 3] = [
    "tests/smoke/test_hello_langflow.py",
    "tests/smoke/test_order_intake.py",
    "tests/smoke/test_orders.py",
];

/// A build of one flow does not make the others wait.
#[test]
fn a_push_tests_the_flows_that_changed() {
    let branch = Branch::new();
    let (lint, smoke) = branch.selected(&branch.commit("HEAD~1"), &branch.commit("HEAD"));
    assert_eq!(smoke, ["tests/smoke/test_orders.py"]);
    assert_eq!(lint, ["app/flows/acme_inc/flow_orders.py"], "the module alone differs");
    let (_, smoke) = branch.selected(&branch.commit("HEAD~3"), &branch.commit("HEAD"));
    assert_eq!(smoke.len(), 2, "several builds in one push: {smoke:?}");
    let head = branch.commit("HEAD");
    assert_eq!(branch.selected(&head, &head), (vec![], vec![]));
    // Runtime files belong to the flows that use them; what is planted, to all.
    let (_, smoke) = branch.touched("app/colophon_rt/values.py");
    assert_eq!(smoke, EVERY[1..], "LangFlow flows do without it");
    assert_eq!(branch.touched("README.md"), (vec![], vec![]));
    assert_eq!(branch.touched("app/runners/__init__.py").1, EVERY);
    assert_eq!(branch.touched(".github/workflows/ci.yml").1, EVERY);
}

/// When it cannot be told what changed, nothing is left out.
#[test]
fn an_unknown_past_tests_everything() {
    let branch = Branch::new();
    let head = branch.commit("HEAD");
    let (lint, smoke) = branch.selected(ZEROS, &head);
    assert_eq!(smoke, EVERY);
    assert!(lint.len() > 10 && !lint.iter().any(|path| path.starts_with("app/components/")));
    // A manual run has no `before`; a value that is no commit must not become an option of git.
    let marker = branch.server.path("marker");
    let option = format!("--output={}", marker.display());
    for before in ["", "HEAD~1", &"7".repeat(40), &option, "$(touch x)", "a\nb"] {
        assert_eq!(branch.selected(before, &head).1, EVERY, "{before:?}");
    }
    assert!(!marker.exists());
    // A history that was replaced.
    let tree = branch.commit("HEAD^{tree}");
    let other = git_in(&branch.dir, &["commit-tree", &tree, "-m", "other"]);
    assert_eq!(branch.selected(other.trim(), &head).1, EVERY);
}

/// Names of files are data, from the list of git to the arguments of the linter.
#[test]
fn names_of_files_are_never_words_of_a_shell() {
    let branch = Branch::new();
    for name in ["app/a b;touch x.py", "app/line\nbreak.py", "app/$(id).py", "--config=x.py"] {
        assert_eq!(branch.touched(name), (vec![name.to_owned()], vec![]));
    }
    let before = branch.commit("HEAD");
    git_in(&branch.dir, &["rm", "-q", "tests/smoke/test_orders.py"]);
    git_in(&branch.dir, &["commit", "-q", "-m", "gone"]);
    let gone = branch.selected(&before, &branch.commit("HEAD"));
    assert_eq!(gone, (vec![], vec![]), "what is not there is not checked");
}

/// What the auditors of workflows ask for, as far as text shows it.
#[test]
fn the_workflow_is_pinned_and_takes_no_text_into_a_shell() {
    let branch = Branch::new();
    let text = fs::read_to_string(branch.dir.join(".github/workflows/ci.yml")).unwrap();
    assert!(text.contains("\npermissions: {}\n") && text.contains("persist-credentials: false"));
    let uses = text.lines().filter_map(|line| line.trim().strip_prefix("- uses: "));
    for action in uses {
        let (_, pin) = action.split_once('@').unwrap();
        let sha = pin.split(' ').next().unwrap();
        assert!(sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_hexdigit()), "{action}");
    }
    for line in text.lines().filter(|line| line.contains("${{")) {
        let (key, value) = line.trim().split_once(": ").unwrap();
        let known = ["github.ref }}", "github.event.before }}", "github.sha }}"];
        assert!(["group", "BEFORE", "AFTER"].contains(&key), "{line}");
        assert!(known.iter().any(|end| value.ends_with(end)), "{line}");
    }
    let pins = text.lines().filter(|line| line.contains("pip install") && !line.contains("-r "));
    assert!(pins.clone().count() == 2 && pins.into_iter().all(|line| line.contains("==")));
}
