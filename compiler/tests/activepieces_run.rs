//! ActivePieces flows run for real: generated modules on LangGraph, CODE steps on Node.js. The tables
//! are written from what ActivePieces' engine does.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use serde_json::{Value, json};
use support::generated::{Branch, code, flow, going_on, map, repeat, router, when};

/// A flow of steps that only map values, as what it maps them to.
fn mapped(values: &Value, payload: &Value) -> Value {
    let run = Branch::of(&flow(&[map("out", values.clone())])).run(payload);
    run["outputs"]["out"].clone()
}

/// One expression keeps the type of what it names, within text values become compact JSON, and what is
/// missing is an empty text.
#[test]
fn expressions_resolve_as_in_the_engine() {
    let payload = json!({
        "items": [5, "a"], "name": "John", "price": 6.4, "flag": true, "none": null, "whole": 2.0,
        "users": [{"name": "Alice"}, {"name": "Bob"}], "last": ["Smith", "Doe", "Roe"],
        "a b": {"c": [{"d": "deep"}]}, "small": 0.000_001, "big": 1e21, "text": "na\u{ef}ve \u{1f366}",
    });
    let cases = [
        ("Hello!", json!("Hello!")),
        ("", json!("")),
        ("{{}}", json!("")),
        ("Price is {{ trigger.price }}", json!("Price is 6.4")),
        ("{{trigger.name}}", json!("John")),
        (" {{trigger.price}} ", json!(6.4)),
        ("{{trigger.items}}", json!([5, "a"])),
        ("{{trigger.items[0]}}", json!(5)),
        ("{{trigger.items['0']}}", json!(5)),
        ("{{trigger.items[0]}} {{trigger.items[1]}}", json!("5 a")),
        ("items are {{trigger.items}}", json!("items are [5,\"a\"]")),
        ("{{trigger['a b'][\"c\"][0].d}}", json!("deep")),
        ("{{trigger?.users?.[1].name}}", json!("Bob")),
        ("<{{trigger.users}}>", json!("<[{\"name\":\"Alice\"},{\"name\":\"Bob\"}]>")),
        ("<{{trigger.flag}} {{trigger.whole}}>", json!("<true 2>")),
        ("<{{trigger.small}} {{trigger.big}}>", json!("<0.000001 1e+21>")),
        ("{{trigger.none}}", json!("")),
        ("<{{trigger.none}}>", json!("<>")),
        ("{{trigger.items[4]}}", json!("")),
        ("{{trigger.nothing.deeper[0]}}", json!("")),
        ("{{trigger.name.length}}", json!(4)),
        ("{{trigger.text.length}}", json!(8)),
        ("{{trigger.name[1]}}", json!("o")),
        ("{{trigger.items.length}}", json!(2)),
        ("{{trigger.constructor}}", json!("")),
        ("{{trigger['__proto__'].x}}", json!("")),
        ("{{true}} ", json!(true)),
        ("test {{configs.bar}}.", json!("test .")),
        ("{{a {{trigger.name}}", json!("{{a {{trigger.name}}")),
        ("{{flattenNestedKeys(trigger, ['users','name'])}}", json!(["Alice", "Bob"])),
        (
            "{{flattenNestedKeys(trigger, ['users','name'])}} {{trigger.last}}{{trigger.flag}}",
            json!(["Alice Smithtrue", "Bob Doetrue", " Roetrue"]),
        ),
    ];
    let texts: Vec<_> = cases.iter().map(|(text, _)| json!(text)).collect();
    let got = mapped(&json!(texts), &payload);
    for ((text, want), got) in cases.iter().zip(got.as_array().unwrap()) {
        assert_eq!(got, want, "{text}");
    }
    let nested = json!({"in": {"foo": "bar", "n": [1, 2, "{{trigger.items[0]}}"], "{{x}}": null}});
    let want = json!({"in": {"foo": "bar", "n": [1, 2, 5], "{{x}}": null}});
    assert_eq!(mapped(&nested, &payload), want);
}

/// Which branches run, and what the router leaves behind.
#[test]
fn routers_take_the_first_or_all_branches_that_hold() {
    let steps = |mode: &str| {
        let [a, b, c] = ["a", "b", "c"].map(|name| map(name, json!(name)));
        let after = map("after", json!("{{a}}{{b}}{{c}}"));
        let branches: &[(Value, &[Value])] =
            &[(when("x"), &[a]), (when("y"), &[b]), (Value::Null, &[c]), (when("x"), &[])];
        flow(&[router("way", mode, branches), after])
    };
    let first = Branch::of(&steps("EXECUTE_FIRST_MATCH"));
    let all = Branch::of(&steps("EXECUTE_ALL_MATCH"));
    let cases = [
        (true, true, "a", "ab"),
        (true, false, "a", "a"),
        (false, true, "b", "b"),
        (false, false, "c", "c"),
    ];
    let payloads = cases.map(|(x, y, ..)| json!({"x": x, "y": y}));
    for (branch, of_all) in [(&first, false), (&all, true)] {
        for ((x, y, in_first, in_all), run) in cases.into_iter().zip(branch.runs(&payloads)) {
            let want = if of_all { in_all } else { in_first };
            assert_eq!(run["outputs"]["after"], want, "{x} {y}");
            let taken = |i: usize| &run["outputs"]["way"]["branches"][i];
            assert_eq!(*taken(0), json!({"branchName": "b0", "branchIndex": 1, "evaluation": x}));
            assert_eq!(taken(1)["evaluation"], y);
            assert_eq!(taken(2)["evaluation"], !x && !y);
        }
    }
}

/// Routers inside branches, at their ends and in loops lead on to the right place, in order.
#[test]
fn branches_nest() {
    let inner = |name: &str, from: &str| {
        let [yes, no] =
            ["yes", "no"].map(|end| code(&format!("{name}_{end}"), json!({}), &log(end)));
        router(name, "EXECUTE_ALL_MATCH", &[(when(from), &[yes]), (Value::Null, &[no])])
    };
    let outer: &[(Value, &[Value])] = &[
        (when("x"), &[inner("one", "a"), map("mid", json!("mid"))]),
        (when("y"), &[inner("two", "b")]),
        (when("z"), &[]),
    ];
    let steps = [router("outer", "EXECUTE_ALL_MATCH", outer), map("end", json!("end"))];
    let branch = Branch::of(&flow(&steps));
    let runs = branch.runs(&[
        json!({"x": true, "y": true, "z": true, "a": true, "b": false}),
        json!({"y": true, "b": true}),
        json!({"z": true}),
    ]);
    let ran =
        |run: &Value| -> Vec<_> { run["outputs"].as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        ran(&runs[0]),
        ["end", "mid", "one", "one_yes", "outer", "trigger", "two", "two_no"]
    );
    assert_eq!(ran(&runs[1]), ["end", "outer", "trigger", "two", "two_yes"]);
    assert_eq!(ran(&runs[2]), ["end", "outer", "trigger"]);
}

fn log(text: &str) -> String {
    format!("export const code = async () => '{text}';")
}

/// The output of a loop is the engine's: the last item, its index from one, and for each iteration the
/// steps that ran in it. Steps of a body are seen in their own iteration alone.
#[test]
fn loops_run_once_per_item() {
    let body = [
        router(
            "odd",
            "EXECUTE_FIRST_MATCH",
            &[
                (when("never"), &[]),
                (
                    json!([[{"operator": "NUMBER_IS_LESS_THAN", "firstValue": "{{each.item.n}}",
                    "secondValue": "2"}]]),
                    &[map("low", json!("{{each.item.n}}!"))],
                ),
            ],
        ),
        map("seen", json!("{{each.index}}:{{low}}")),
    ];
    let steps = [
        repeat("each", "{{trigger.rows}}", &body),
        map(
            "after",
            json!("{{seen}}|{{each.iterations[1].seen.output}}|{{each.iterations.length}}"),
        ),
    ];
    let branch = Branch::of(&flow(&steps));
    let runs = branch.runs(&[
        json!({"rows": [{"n": 1}, {"n": 2}]}),
        json!({"rows": []}),
        json!({"rows": {"n": 1}}),
    ]);
    let [run, empty, failed] = runs.as_slice() else { panic!("{runs:?}") };
    let each = &run["outputs"]["each"];
    assert_eq!((&each["item"], &each["index"]), (&json!({"n": 2}), &json!(2)));
    let names = |i: usize| -> Vec<_> {
        each["iterations"][i].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(0), ["low", "odd", "seen"]);
    assert_eq!(names(1), ["odd", "seen"]);
    let low = json!({"type": "PIECE", "status": "SUCCEEDED", "output": "1!"});
    assert_eq!(each["iterations"][0]["low"], low);
    assert_eq!(each["iterations"][0]["seen"]["output"], "1:1!");
    assert_eq!(each["iterations"][1]["seen"]["output"], "2:");
    assert_eq!(run["outputs"]["after"], "|2:|2");
    assert!(run["outputs"].get("seen").is_none());

    assert_eq!(empty["outputs"]["each"], json!({"item": null, "index": 0, "iterations": []}));
    assert_eq!(failed["error"], "each: The items you have selected must be a list.");
}

#[test]
fn loops_nest_and_see_what_is_around_them() {
    let inner = repeat(
        "inner",
        "{{outer.item.list}}",
        &[map("pair", json!("{{outer.index}}{{inner.item}}{{first}}"))],
    );
    let steps = [map("first", json!("!")), repeat("outer", "{{trigger.rows}}", &[inner])];
    let run =
        Branch::of(&flow(&steps)).run(&json!({"rows": [{"list": ["a", "b"]}, {"list": ["c"]}]}));
    let pair = |i: usize, j: usize| {
        let outer = &run["outputs"]["outer"]["iterations"][i];
        outer["inner"]["output"]["iterations"][j]["pair"]["output"].clone()
    };
    assert_eq!([pair(0, 0), pair(0, 1), pair(1, 0)], [json!("1a!"), json!("1b!"), json!("2c!")]);
}

/// A failure ends the run, unless the step goes on; then it has no output and expressions on it are
/// empty. What is skipped neither runs nor counts.
#[test]
fn failures_end_the_run_or_are_passed_by() {
    let bad = || code("bad", json!({}), "export const code = () => { throw new Error('broken') };");
    let failure = Branch::of(&flow(&[bad(), map("after", json!("x"))])).failure(&json!({}));
    assert!(failure.contains("bad: broken"), "{failure}");
    let run = Branch::of(&flow(&[going_on(bad()), map("after", json!("<{{bad}}{{bad.x}}>"))]))
        .run(&json!({}));
    assert_eq!(
        (&run["outputs"]["after"], &run["failed"]),
        (&json!("<>"), &json!({"bad": "broken"}))
    );
    let mut skipped = bad();
    skipped["skip"] = json!(true);
    let run = Branch::of(&flow(&[skipped, map("after", json!("<{{bad}}>"))])).run(&json!({}));
    assert_eq!(run["outputs"]["after"], "<>");
    assert!(run.get("failed").is_none());
}
