//! The ActivePieces front end: what is accepted in which wrapping, what is refused and with which
//! words, what hostile text can reach, and what comes out.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;

use colophon_compiler::plan::Graph;
use colophon_compiler::{CodePolicy, Limits, Problems};
use colophon_model::FlowSource;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::generated::{
    chain, code, compile, flow, going_on, map, parse, parse_as, piece, repeat, router, when,
};
use support::{PAYLOADS, compiler, fixture, python, text};

const MODULE: &str = "app/flows/acme_inc/flow_demo.py";

fn problems(flow: &Value) -> Problems {
    parse(flow).unwrap_err()
}

/// Code and place of every finding, without the place of the first step in each.
fn found(flow: &Value) -> Vec<(&'static str, String)> {
    let found = problems(flow);
    let entry = |p: &colophon_compiler::Problem| {
        let place = p.pointer.as_str().trim_start_matches("/trigger/nextAction");
        (p.code, place.to_owned())
    };
    found.as_slice().iter().map(entry).collect()
}

fn one(step: Value) -> (&'static str, String) {
    let found = found(&flow(&[step]));
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// Every file, as it is committed, for a flow with a step of each kind.
#[test]
fn golden_output() {
    let files = compile(&fixture("activepieces_orders")).cloud;
    let shown = files.iter().filter(|(path, _)| !path.as_str().contains("colophon_rt"));
    let file = |(path, file): (&_, &colophon_model::Artifact)| {
        [
            format!(
                "=== {path}
"
            ),
            String::from_utf8_lossy(file.bytes()).into_owned(),
        ]
        .concat()
    };
    let all = shown.map(file).collect::<Vec<_>>().concat();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("activepieces_orders", all);
    });
}

/// Whoever sends a flow, and in whatever wrapping, it is the same flow.
#[test]
fn wrappings_do_not_matter() {
    let flow = flow(&[map("a", json!("{{trigger.x}}"))]);
    let digest = parse(&flow).unwrap().digest();
    let mut version = flow.clone();
    let more = json!({"id": "v1", "flowId": "f1", "state": "LOCKED", "created": "2024-01-02T03:04:05.678Z",
        "updated": "2024-01-02T03:04:05.678Z", "updatedBy": "u", "agentIds": [], "connectionIds": [],
        "notes": [{"id": "n"}], "backupFiles": {}});
    version.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    version["trigger"]["settings"]["sampleData"] = json!({"lastTestDate": "x"});
    version["trigger"]["nextAction"]["lastUpdatedDate"] = json!("x");
    version["trigger"]["nextAction"]["settings"]["propertySettings"] =
        json!({"a": {"type": "MANUAL"}});
    let wrapped = [
        version.clone(),
        json!({"id": "f1", "projectId": "p", "status": "ENABLED", "version": version}),
        json!({"name": "T", "type": "SHARED", "flows": [flow]}),
        json!({"name": "T", "created": "1", "template": flow, "blogUrl": ""}),
    ];
    for wrapped in wrapped {
        let plan = parse(&wrapped).unwrap();
        assert_eq!((plan.digest(), plan.source()), (digest, FlowSource::Activepieces), "{wrapped}");
        let told = wrapped.get("flows").is_none() && wrapped.get("template").is_none();
        assert_eq!(plan.revision, told.then_some(1_704_164_645_678));
        assert_eq!(plan.native.as_str() == "f1", told);
    }
    let with_mark = format!("\u{feff}{flow}");
    let plan = compiler().parse(with_mark.as_bytes(), CodePolicy::None, &Limits::default());
    assert_eq!(plan.unwrap().digest(), digest);
    let two = json!({"flows": [flow, flow]});
    assert_eq!(found(&two), [("E_AP_MANY_FLOWS", "/flows".to_owned())]);
}

#[test]
fn schema_versions_are_a_closed_list() {
    let with = |version: Value| {
        let mut flow = flow(&[]);
        flow["schemaVersion"] = version;
        parse(&flow)
    };
    assert!(with(json!(null)).is_ok());
    for version in 1..=22 {
        assert!(with(json!(version.to_string())).is_ok(), "{version}");
    }
    for bad in [json!("0"), json!("23"), json!("01"), json!("+1"), json!(""), json!("x"), json!(17)]
    {
        let problems = with(bad.clone()).unwrap_err();
        assert_eq!(problems.as_slice()[0].code, "E_AP_SCHEMA_VERSION", "{bad}");
    }
}

/// The author of a flow learns of everything at once.
#[test]
fn all_problems_are_reported_at_once() {
    let mut bad = flow(&[
        piece("step_1", "slack/send_channel_message", json!({})),
        map("step_2", json!("{{ step_1.a + 1 }}")),
        repeat(
            "loop",
            "{{trigger.list}}",
            &[
                piece("step_3", "sheets/insert_row", json!({})),
                code("step_4", json!({}), "export const code = (;"),
            ],
        ),
        router(
            "way",
            "EXECUTE_FIRST_MATCH",
            &[(
                json!([[{"operator": "IS_ODD", "firstValue": "1"}]]),
                &[map("step_2", json!("{{nobody.x}}"))],
            )],
        ),
    ]);
    bad["schemaVersion"] = json!("99");
    bad["displayName"] = json!("a\nb");
    bad["trigger"]["settings"]["triggerName"] = json!("new_row");
    let codes: BTreeSet<_> = problems(&bad).as_slice().iter().map(|p| p.code).collect();
    let want = [
        "E_AP_CODE_SYNTAX",
        "E_AP_EXPR_UNSUPPORTED",
        "E_AP_OPERATOR",
        "E_AP_PIECE_UNSUPPORTED",
        "E_AP_SCHEMA_VERSION",
        "E_AP_TRIGGER_UNSUPPORTED",
        "E_DUPLICATE_NODE_ID",
        "E_SCHEMA",
        "W_AP_UNKNOWN_STEP",
    ];
    assert_eq!(codes, want.into());
    let pieces = problems(&bad);
    let pieces = pieces.as_slice().iter().filter(|p| p.code == "E_AP_PIECE_UNSUPPORTED");
    let details: Vec<_> = pieces.map(|p| (p.node.clone().unwrap(), p.detail.clone())).collect();
    let steps: Vec<_> = details.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["step_3", "step_1"]);
    let told = |detail: &str| detail.contains("slack") && detail.contains("http/send_request");
    assert!(told(&details[1].1), "{details:?}");
}

#[test]
fn faults_are_refused_with_code_and_place() {
    let settings = |at: &str| format!("/settings{at}");
    let request = |input: Value| piece("a", "http/send_request", input);
    let cases = [
        (
            json!({"name": "a", "type": "AI_ROUTER", "settings": {}}),
            "E_AP_STEP_UNSUPPORTED",
            "/type".into(),
        ),
        (
            json!({"name": "a", "type": "CODE", "settings": {"artifact": "UEsD", "input": {}}}),
            "E_AP_CODE_ARTIFACT",
            settings("/artifact"),
        ),
        (json!({"name": "a", "type": "CODE", "settings": {"input": {}}}), "E_SCHEMA", settings("")),
        (map("a", json!(["x {{ f() }}"])), "E_AP_EXPR_UNSUPPORTED", settings("/input/mapping/0")),
        (map("a", json!("{{Math.PI}}")), "E_AP_EXPR_UNSUPPORTED", settings("/input/mapping")),
        (
            map("a", json!("{{x | default: 1}}")),
            "E_AP_EXPR_UNSUPPORTED",
            settings("/input/mapping"),
        ),
        (
            map("a", json!("ap-formula-v1::{add(1;2)}::ap-formula-v1")),
            "E_AP_EXPR_UNSUPPORTED",
            settings("/input/mapping"),
        ),
        (map("a", json!("{{connections}}")), "E_AP_EXPR_UNSUPPORTED", settings("/input/mapping")),
        (map("a", json!("{{connections['x']}}")), "E_CREDENTIAL_PLACE", settings("/input")),
        (
            map("a", json!({"password": "hunter2"})),
            "E_PLAINTEXT_SECRET",
            settings("/input/mapping/password"),
        ),
        (
            request(json!({"url": "https://e.org", "authFields": {"token": "abc"}})),
            "E_PLAINTEXT_SECRET",
            settings("/input/authFields/token"),
        ),
        (
            request(json!({"url": "https://e.org", "headers": {"Authorization": "Bearer abc"}})),
            "E_PLAINTEXT_SECRET",
            settings("/input/headers/Authorization"),
        ),
        (request(json!({"url": "file:///etc/passwd"})), "E_URL_SCHEME", settings("/input/url")),
        (request(json!({"url": "e.org/{{trigger.x}}"})), "E_URL_SCHEME", settings("/input/url")),
        (
            request(json!({"url": "https://u:p@e.org"})),
            "E_PLAINTEXT_SECRET",
            settings("/input/url"),
        ),
        (
            request(json!({"url": "https://e.org", "use_proxy": true})),
            "E_AP_PROP_UNSUPPORTED",
            settings("/input/use_proxy"),
        ),
        (
            request(json!({"url": "https://e.org", "body": {"data": [{"fieldType": "file"}]}})),
            "E_AP_PROP_UNSUPPORTED",
            settings("/input/body/data/0"),
        ),
        (piece("a", "subflows/callFlow", json!({})), "E_AP_PIECE_UNSUPPORTED", settings("")),
        (map("a b", json!(1)), "E_IDENT", "/name".into()),
        (map("", json!(1)), "E_IDENT", "/name".into()),
        (map("__proto__é", json!(1)), "E_IDENT", "/name".into()),
        (router("a", "EXECUTE_SOME", &[]), "E_SCHEMA", settings("/executionType")),
        (
            json!({"name": "a", "type": "ROUTER", "settings": {}}),
            "E_SCHEMA",
            settings("/executionType"),
        ),
        (
            repeat(
                "l",
                "{{trigger.x}}",
                &[piece("a", "delay/delayFor", json!({"unit": "hours", "delayFor": 1}))],
            ),
            "E_AP_DELAY_IN_LOOP",
            "/firstLoopAction/settings/input".into(),
        ),
        (
            code("a", json!({}), "import x from 'axios';\nexport const code = () => x;"),
            "E_AP_CODE_DEPENDENCIES",
            settings("/sourceCode/code"),
        ),
    ];
    for (step, code, place) in cases {
        let found = found(&flow(std::slice::from_ref(&step)));
        assert!(
            found.contains(&(code, place.clone())),
            "{step}: {found:?} lacks {code} at {place}"
        );
    }
    let mut needs = code("a", json!({}), "export const code = () => 1;");
    needs["settings"]["sourceCode"]["packageJson"] =
        json!("{\"dependencies\": {\"left-pad\": \"1\"}}");
    assert_eq!(one(needs), ("E_AP_CODE_DEPENDENCIES", settings("/sourceCode/packageJson")));
    let mut branches = map("a", json!(1));
    branches["continueOnFailureBranches"] = json!({"onFailure": map("b", json!(1))});
    assert_eq!(one(branches), ("E_AP_STEP_UNSUPPORTED", "/continueOnFailureBranches".into()));
}

/// Where the code or the expression is wrong, to the character.
#[test]
fn places_inside_texts_are_told() {
    let detail = |step: Value| problems(&flow(&[step])).as_slice()[0].detail.clone();
    let text = detail(map("a", json!("\u{e9}{{trigger.x}} {{ a ? b : c }}")));
    assert!(text.contains("`{{a ? b : c}}` at character 16"), "{text}");
    let text = detail(code("a", json!({}), "export const code = () => {\n  return = 1;\n};"));
    assert!(text.starts_with("line 2, column 10: "), "{text}");
}

#[test]
fn a_flow_without_a_trigger_says_so() {
    let mut flow = flow(&[]);
    flow["trigger"]["type"] = json!("EMPTY");
    let problems = problems(&flow);
    let problem = &problems.as_slice()[0];
    assert_eq!((problem.code, problem.pointer.as_str()), ("E_AP_EMPTY_TRIGGER", "/trigger"));
    assert!(problem.detail.contains("choose one"), "{}", problem.detail);
}

/// What a step that is skipped holds is nobody's business, and what names no step is an empty text.
#[test]
fn skipped_steps_and_unknown_names_do_not_refuse_a_flow() {
    let mut skipped = piece("a", "slack/send", json!({"x": "{{f()}}"}));
    skipped["skip"] = json!(true);
    let plan = parse(&flow(&[skipped, map("b", json!("{{a}}{{nobody.x}}"))])).unwrap();
    let warnings: Vec<_> = plan.warnings.iter().map(|w| (w.code, w.node.as_deref())).collect();
    assert_eq!(warnings, [("W_AP_UNKNOWN_STEP", Some("b"))]);
    let Graph::Activepieces(graph) = plan.graph else { panic!() };
    assert_eq!(graph.steps.len(), 1);
}

/// Code is the author's: only a tenant that takes any gets it, as a file of its own.
#[test]
fn the_code_policy_decides_whether_code_comes_in() {
    let flow = flow(&[code("a", json!({}), "export const code = (x: number) => x;")]);
    for policy in [CodePolicy::None, CodePolicy::KnownOnly] {
        let problems = parse_as(&flow, policy).unwrap_err();
        assert_eq!(problems.as_slice()[0].code, "E_AP_UNTRUSTED_CODE");
        assert!(problems.as_slice()[0].detail.contains("allow-custom"));
    }
    let files = compile(&flow).cloud;
    let scripts: Vec<_> =
        files.iter().filter(|(path, _)| path.as_str().starts_with("app/components/")).collect();
    let [(path, script)] =
        scripts.iter().filter(|(p, _)| p.as_str().contains("components")).collect::<Vec<_>>()[..]
    else {
        panic!("{scripts:?}")
    };
    let hash = colophon_model::Sha256::of(script.bytes()).to_string();
    assert_eq!(path.as_str(), format!("app/components/{hash}.mjs"));
    assert!(!text(&files, MODULE).contains("=>"));
}

/// The BRANCH of exports without a schema version is a router of two.
#[test]
fn old_branches_are_routers() {
    let step = json!({"name": "b", "type": "BRANCH", "settings": {"conditions": when("x")},
        "onSuccessAction": map("yes", json!(1)), "onFailureAction": map("no", json!(2))});
    let Graph::Activepieces(graph) = parse(&flow(&[step])).unwrap().graph else { panic!() };
    let colophon_compiler::plan::activepieces::Work::Router(router) = &graph.steps[0].work else {
        panic!()
    };
    let names: Vec<_> =
        router.branches.iter().map(|b| (b.steps[0].name.as_str(), b.any.is_some())).collect();
    assert_eq!((names, router.all), (vec![("yes", true), ("no", false)], false));
}

/// A flow of 256 steps in a row compiles; more than 512 in all are not looked at.
#[test]
fn long_flows_compile_and_have_a_bound() {
    let steps = |n: usize| (0..n).map(|i| map(&format!("s{i}"), json!(i))).collect::<Vec<_>>();
    let files = compile(&flow(&steps(255))).cloud;
    assert!(text(&files, MODULE).contains("graph.add_edge(\"n_s253\", \"n_s254\")"));
    let loops: Vec<_> = (0..5)
        .map(|i| {
            let body: Vec<_> = (0..105).map(|j| map(&format!("s{i}_{j}"), json!(j))).collect();
            repeat(&format!("l{i}"), "{{trigger.x}}", &body)
        })
        .collect();
    assert!(found(&flow(&loops)).iter().any(|(code, _)| *code == "E_TOO_LARGE"));
}

/// A flow with `payload` in every place that holds free text.
fn hostile(payload: &str) -> Value {
    let quoted = payload.replace(['\'', '\\', '\n', '{', '}'], "_");
    let mut flow = flow(&[
        map(
            "m",
            json!({payload: [payload, {"b": payload}], "p": format!("{{{{trigger['{quoted}']}}}}")}),
        ),
        piece(
            "h",
            "http/send_request",
            json!({"method": payload, "url": "https://e.org/",
            "headers": {payload: payload}, "body": {"data": payload}}),
        ),
        router(
            "r",
            "EXECUTE_ALL_MATCH",
            &[
                (
                    json!([[{"operator": "TEXT_CONTAINS", "firstValue": payload, "secondValue": payload}]]),
                    &[repeat("l", payload, &[map("inner", json!(payload))])],
                ),
                (Value::Null, &[]),
            ],
        ),
        going_on(code(
            "c",
            json!({"x": payload, "k": format!("{{{{connections['{quoted}']}}}}")}),
            "export const code = () => 1;",
        )),
    ]);
    let router = &mut flow["trigger"]["nextAction"]["nextAction"]["nextAction"];
    assert_eq!(router["name"], "r");
    router["settings"]["branches"][0]["branchName"] = json!(payload);
    flow
}

const TEXTS: &str = r"
import ast, json, sys
tree = ast.parse(open(sys.argv[1], encoding='ascii').read())
found = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
print(json.dumps(sorted(set(found))))
";

/// Hostile text comes out as the very same text, and the module has no other statement for it.
#[test]
fn hostile_text_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let shape =
        |module: &str| module.lines().filter(|l| l.starts_with(char::is_alphabetic)).count();
    let plain = shape(&text(&compile(&hostile("x")).cloud, MODULE));
    // What opens or closes an expression is text when it stands alone.
    for payload in PAYLOADS.iter().chain(&["</script>", "{{", "}}"]) {
        let module = text(&compile(&hostile(payload)).cloud, MODULE);
        assert!(module.is_ascii());
        let at = dir.path().join("m.py");
        std::fs::write(&at, &module).unwrap();
        let texts: Vec<String> =
            serde_json::from_str(&python(&["-c", TEXTS, at.to_str().unwrap()])).unwrap();
        assert!(texts.iter().any(|text| text == payload), "{payload:?}");
        assert_eq!(shape(&module).abs_diff(plain), 0, "{payload:?}\n{module}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any text in any place compiles or is refused; nothing panics and no gate finds a fault.
    #[test]
    fn any_text_compiles_or_is_refused(payload in "\\PC{0,30}|[\"'\\\\\n\r{}<>%# .\\[\\]a-c0]{0,16}") {
        if let Ok(plan) = parse(&hostile(&payload)) {
            let tenant = "acme-inc".to_owned().try_into().unwrap();
            let flow = colophon_model::FlowId::new("demo").unwrap();
            prop_assert!(compiler().compile(&plan, &tenant, &flow).is_ok());
        }
    }

    /// A flow of any shape is answered.
    #[test]
    fn any_tree_is_answered(depth in 0usize..6, kind in "CODE|PIECE|ROUTER|LOOP_ON_ITEMS|BRANCH|X") {
        let mut step = json!({"name": "a", "type": kind, "settings": {"branches": [{}], "conditions": [[{}]]},
            "children": [null]});
        for _ in 0..depth {
            step = json!({"name": "a", "type": kind, "firstLoopAction": step, "children": [step, 1, []],
                "settings": {"branches": [1, {}, []], "items": 1, "conditions": 1}});
        }
        let _ = parse(&flow(&[step.clone(), chain(&[step])]));
    }
}
