//! Builder flows, whole: from the JSON to the files.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use colophon_compiler::{Compiler, Wheels};
use colophon_model::{Target, TenantSlug};
use serde_json::json;
use support::{compile, compiler, fixture, parse, python, text};

const FLOWS: [&str; 5] =
    ["summarise", "price_list", "order_intake", "print_label", "collect_files"];

/// The generated code itself is reviewed here; it changes only on purpose.
#[test]
fn golden_outputs() {
    for name in FLOWS {
        let compiled = compile(&fixture(name));
        let edge = compiled.edge.iter().flat_map(|edge| edge.branch_files.iter());
        let own = compiled.cloud.iter().chain(edge).filter(|(path, _)| {
            path.as_str().contains(name) && !path.as_str().contains("/colophon_")
        });
        let shown = own
            .map(|(path, file)| format!("===== {path}\n{}", String::from_utf8_lossy(file.bytes())));
        let all: String = shown.collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, all);
        });
    }
}

/// Every generated module is Python to the interpreter, not only to the parser that gates it.
#[test]
fn python_compiles_every_module() {
    for name in FLOWS {
        let compiled = compile(&fixture(name));
        let dir = tempfile::tempdir().unwrap();
        let edge = compiled.edge.iter().flat_map(|edge| edge.branch_files.iter());
        let mut modules = Vec::new();
        for (path, file) in compiled.cloud.iter().chain(edge) {
            let at = dir.path().join(path.as_str());
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(&at, file.bytes()).unwrap();
            if at.extension().is_some_and(|extension| extension == "py") {
                modules.push(at.to_str().unwrap().to_owned());
            }
        }
        assert!(modules.len() >= 5);
        let args: Vec<&str> = modules.iter().map(String::as_str).collect();
        python(&[&["-m", "py_compile"], args.as_slice()].concat());
    }
}

#[test]
fn only_a_flow_with_edge_nodes_has_a_bundle() {
    assert_eq!(parse(&fixture("summarise")).unwrap().targets(), [Target::Cloud]);
    assert!(compile(&fixture("summarise")).edge.is_none());
    assert_eq!(parse(&fixture("order_intake")).unwrap().targets(), Target::ALL);
    let edge = compile(&fixture("order_intake")).edge.unwrap();
    let paths: Vec<_> = edge.files.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "colophon_edge.py",
        "colophon_launcher.py",
        "colophon_wire.py",
        "manifest.json",
        "segment_enter_order.py",
    ];
    assert_eq!(paths, expected);
    assert_eq!(edge.manifest.entrypoints["enter_order"].as_str(), "segment_enter_order.py");
}

/// What leaves for the edge is what the segment reads, and no secret.
#[test]
fn the_payload_is_exact() {
    let compiled = compile(&fixture("order_intake"));
    let module = text(&compiled.cloud, "app/flows/acme_inc/flow_order_intake.py");
    let payload = module.split_once("payload={").unwrap().1.split_once("    results=").unwrap().0;
    let names: Vec<_> = payload.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(
        names,
        ["fetch_customer.body.name", "input.customer_no", "input.erp_url", "read_order.text"]
    );
}

/// Moving a node on the canvas, a new revision or another native id is no change.
#[test]
fn layout_is_not_part_of_the_flow() {
    let flow = fixture("order_intake");
    let mut moved = flow.clone();
    moved["id"] = "other".into();
    moved["revision"] = 8.into();
    moved["viewport"]["zoom"] = 2.into();
    moved["nodes"][0]["position"]["x"] = 999.into();
    moved["nodes"].as_array_mut().unwrap().reverse();
    moved["edges"].as_array_mut().unwrap().reverse();
    moved["edges"][0]["id"] = "renamed".into();
    let (plan, other) = (parse(&flow).unwrap(), parse(&moved).unwrap());
    assert_eq!(compiler().key(&plan), compiler().key(&other));
    assert_eq!(compile(&flow), compile(&moved));
    assert_eq!(plan.graph, other.graph);

    let mut changed = flow;
    changed["nodes"][2]["temperature"] = 1.into();
    assert_ne!(compiler().key(&plan), compiler().key(&parse(&changed).unwrap()));
}

/// The digest is over the canonical flow, so that must be all the plan depends on.
#[test]
fn the_plan_is_a_function_of_the_canonical_flow() {
    for name in FLOWS {
        let plan = parse(&fixture(name)).unwrap();
        let mut again: serde_json::Value =
            serde_json::from_slice(plan.canonical.as_bytes()).unwrap();
        again["id"] = "x".into();
        let again = parse(&again).unwrap();
        assert_eq!((&plan.graph, &plan.name, &plan.slug), (&again.graph, &again.name, &again.slug));
        assert_eq!(plan.digest(), again.digest());
    }
}

/// One compiler serves every thread, and the number of threads changes nothing.
#[test]
fn the_number_of_threads_changes_nothing() {
    fn is_shareable<T: Send + Sync>(_: &T) {}
    is_shareable(compiler());
    let outputs = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compile(&fixture("order_intake")))
    });
    assert_eq!(outputs[0], outputs[1]);
}

/// Two branches to one node are one edge of the graph and two ways to be live.
#[test]
fn branches_that_meet_are_joined_once() {
    let mut flow = fixture("price_list");
    let edges = flow["edges"].as_array_mut().unwrap();
    edges.push(serde_json::json!({"from": "how_priced", "to": "line", "branch": "low"}));
    edges.push(serde_json::json!({"from": "how_priced", "to": "line", "branch": "high"}));
    let module = text(&compile(&flow).cloud, "app/flows/acme_inc/flow_price_list.py");
    assert!(module.contains(r#"add_edge(["n_cheap", "n_dear", "n_how_priced"], "n_line")"#));
    assert!(module.contains(r#"["how_priced", "high"]"#));
    assert!(module.contains(r#"["how_priced", "low"]"#));
}

/// A node that the trigger does not reach is left out, and said to be.
#[test]
fn unreachable_nodes_are_warned_about_and_left_out() {
    let mut flow = fixture("summarise");
    let lonely = serde_json::json!({"id": "lonely", "kind": "data.map", "fields": {"a": 1}});
    flow["nodes"].as_array_mut().unwrap().push(lonely);
    let plan = parse(&flow).unwrap();
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(plan.warnings[0].code, "W_UNREACHABLE");
    assert_eq!(plan.warnings[0].pointer.as_str(), "/nodes/2");
    let compiled = compile(&flow);
    assert!(!text(&compiled.cloud, "app/flows/acme_inc/flow_summarise.py").contains("lonely"));
}

/// A wheel comes along where the flow asks for it: in the bundle and its manifest, not on the branch,
/// and its hash in the key.
#[test]
fn wheels_are_unpacked_into_the_bundle_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let make = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as z:\n    \
                z.writestr('tabulate/__init__.py', sys.argv[2])";
    let wheel = |text: &str| {
        let path = dir.path().join("made.whl");
        python(&["-c", make, path.to_str().unwrap(), text]);
        ("tabulate-0.9.0-py3-none-any.whl".to_owned(), std::fs::read(&path).unwrap())
    };
    let with = |text: &str| Compiler::new().unwrap().with_wheels(Wheels::read([wheel(text)]));
    let mut flow = fixture("order_intake");
    flow["edge_requirements"] = json!([
        {"name": "Tabulate", "version": "0.9.0", "bundled": true},
        {"name": "httpx", "version": "0.28.1"}
    ]);
    let plan = parse(&flow).unwrap();
    let (tenant, id) = (TenantSlug::new("acme-inc").unwrap(), plan.slug.clone().unwrap());
    let (one, other) = (with("x = 1\n"), with("x = 2\n"));
    assert_ne!(one.key(&plan), other.key(&plan));
    let edge = one.compile(&plan, &tenant, &id).unwrap().edge.unwrap();
    assert_eq!(text(&edge.files, "vendor/tabulate/__init__.py"), "x = 1\n");
    assert!(edge.branch_files.iter().all(|(path, _)| !path.as_str().contains("vendor")));
    let pinned: Vec<_> = edge.manifest.wheels.keys().collect();
    assert_eq!(pinned, ["Tabulate==0.9.0"]);
    let installed = edge.manifest.requirements.join(" ");
    assert!(installed.contains("httpx==0.28.1") && !installed.contains("abulate"), "{installed}");
    let problems = compiler().compile(&plan, &tenant, &id).unwrap_err();
    let problem = &problems.as_slice()[0];
    assert_eq!((problem.code, problem.pointer.as_str()), ("E_EDGE_WHEEL", "/edge_requirements"));
    assert!(problem.detail.contains("there is no wheel of `Tabulate==0.9.0`"), "{problem:?}");
}
