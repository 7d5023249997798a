//! An operator's templates: what they change, and what is refused before a flow is rendered.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use colophon_compiler::{CodePolicy, Compiled, Compiler, Error, Limits, Problems, TemplateFiles};
use colophon_model::{FlowId, TenantSlug};

const RUNNER: &str = include_str!("../../templates/cloud/runner.py.tera");

fn files<const N: usize>(files: [(&str, &str); N]) -> TemplateFiles {
    files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

/// What is wrong with `files`, a line each.
fn refused<const N: usize>(given: [(&str, &str); N]) -> Vec<String> {
    match Compiler::with_templates(&files(given)) {
        Err(Error::Overrides(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

fn compile(compiler: &Compiler) -> Result<Compiled, Problems> {
    let flow = include_bytes!("../../tests/fixtures/flows/order_intake.json");
    let plan = compiler.parse(flow, CodePolicy::KnownOnly, &Limits::default()).unwrap();
    let tenant = TenantSlug::new("acme-inc").unwrap();
    compiler.compile(&plan, &tenant, &FlowId::new("order_intake").unwrap())
}

fn text(compiled: &Compiled, name: &str) -> String {
    let mut files = compiled.cloud.iter().chain(compiled.edge.iter().flat_map(|e| e.files.iter()));
    let (_, file) = files.find(|(path, _)| path.as_str().ends_with(name)).unwrap();
    String::from_utf8(file.bytes().to_vec()).unwrap()
}

/// Templates, what they include, and files that are copied: each can be the operator's, and the
/// digest, which is part of every build key, says so.
#[test]
fn an_override_shows_in_outputs_and_digest() {
    let built_in = Compiler::new().unwrap();
    let runner = format!("<% include \"own/head.tera\" %>\n{RUNNER}");
    let own = files([
        ("cloud/runner.py.tera", &runner),
        ("own/head.tera", "# ours"),
        ("runtime/colophon_rt/values.py", "OURS = True\n"),
        ("runtime/edge/colophon_edge.py", "EDGE = True\n"),
        ("bootstrap/README.md", "Ask the platform team.\n"),
    ]);
    let compiler = Compiler::with_templates(&own).unwrap();
    assert_ne!(compiler.templates(), built_in.templates());
    let ours = compile(&compiler).unwrap();
    assert!(text(&ours, "order_intake_runner.py").starts_with("# ours\n"));
    assert_eq!(text(&ours, "colophon_rt/values.py"), "OURS = True\n");
    assert_eq!(text(&ours, "colophon_edge.py"), "EDGE = True\n");
    let before = compile(&built_in).unwrap();
    assert_eq!(text(&ours, "colophon_rt/cli.py"), text(&before, "colophon_rt/cli.py"));
    let planted = compiler.bootstrap(&TenantSlug::new("acme-inc").unwrap());
    let readme = planted.iter().find(|(path, _)| path.as_str() == "README.md").unwrap().1;
    assert_eq!(readme.bytes(), b"# Flows of acme-inc\n\nAsk the platform team.\n");
}

/// A copy of the folder as it is changes nothing, so nothing is built again for it; and every file
/// of the folder has a name that an operator can use, but for the pages of the console.
#[test]
fn a_copy_of_the_folder_is_the_built_in_set() {
    let mut own = TemplateFiles::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates"), "", &mut own);
    own.retain(|name, _| name != "README.md" && !name.starts_with("console/"));
    assert!(own.len() > 10);
    let compiler = Compiler::with_templates(&own).unwrap();
    assert_eq!(compiler.templates(), Compiler::new().unwrap().templates());
}

fn collect(dir: &Path, name: &str, files: &mut TemplateFiles) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{name}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// All at once, each with file and line: an operator mends them in one go.
#[test]
fn what_is_wrong_is_told_at_once_with_file_and_line() {
    let found = refused([
        ("cloud/flow.py.tera", "x = 1\n<% if %>\n"),
        ("cloud/flows.py.tera", ""),
        ("cloud/runner.py.tera", "<# << a >> #>\n\nx = << name >>\ny = << name | upper >>\n"),
        ("cloud/smoke.py.tera", "<% filter upper %><< flow | lit >><% endfilter %>\n"),
        ("notes.txt", ""),
        ("runtime/colophon_rt/cli.py", "x = 1\ndef (:\n"),
        ("runtime/colophon_rt/clu.py", ""),
    ]);
    let begins = [
        "cloud/flow.py.tera:2: ",
        "cloud/flows.py.tera: no template or file has this name, and no template includes it; did \
         you mean `cloud/flow.py.tera`?",
        "cloud/runner.py.tera:3: `<< name >>` must end in the filter `lit` or `ident`",
        "cloud/runner.py.tera:4: ",
        "cloud/smoke.py.tera:1: a `filter` block",
        "notes.txt: no template",
        "runtime/colophon_rt/cli.py:2: ",
        "runtime/colophon_rt/clu.py: no template",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}\nis not\n{begin}");
    }
}

/// What only the whole set shows.
#[test]
fn a_template_that_needs_what_is_not_there_is_refused() {
    for template in ["<% include \"none.tera\" %>", "<< name | nothing | lit >>"] {
        let found = refused([("cloud/runner.py.tera", template)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("cloud/runner.py.tera: "), "{found:?}");
    }
}

/// The gates hold for an operator's templates too, and do not lay the fault to the flow.
#[test]
fn a_gate_names_the_operators_template() {
    for (template, code) in [
        ("def f(:\n", "E_GATE_PARSE"),
        ("import os\n", "E_GATE_SHAPE"),
        ("x = << nothing | lit >>\n", "E_RENDER"),
    ] {
        let own = files([("cloud/runner.py.tera", template)]);
        let problems = compile(&Compiler::with_templates(&own).unwrap()).unwrap_err();
        let problem = &problems.as_slice()[0];
        assert_eq!(problem.code, code);
        let blame = "the operator's template `cloud/runner.py.tera` failed, not the flow";
        assert!(problem.to_string().contains(blame), "{problem}");
    }
}
