//! The pieces of the ActivePieces runtime, its conditions, and CODE steps, run for real. The tables are
//! written from what ActivePieces' engine and pieces do.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use serde_json::{Value, json};
use support::generated::{Branch, code, flow, going_on, map, piece, repeat};

/// All 22 operators, as the engine's router evaluates them: letters, numbers that are texts, lists that
/// are texts, dates in UTC.
const CONDITIONS: &str = r#"
from app.colophon_rt.activepieces_conditions import holds

def test(operator, first, second=None, case_sensitive=False, one=False):
    sides = {"first": {"lit": first}} | ({} if one else {"second": {"lit": second}})
    return holds({"operator": operator, "case_sensitive": case_sensitive, **sides}, {})

fruits, spelled = ["apple", "banana"], '["apple", "banana"]'
for operator, first, second, want in [
    ("TEXT_CONTAINS", "Hello World", "WORLD", True), ("TEXT_CONTAINS", "a", "b", False),
    ("TEXT_CONTAINS", {"a": 1}, '"a":1', True), ("TEXT_CONTAINS", 125, 2, True),
    ("TEXT_DOES_NOT_CONTAIN", "abc", "B", False), ("TEXT_DOES_NOT_CONTAIN", "abc", "x", True),
    ("TEXT_EXACTLY_MATCHES", "Abc", "aBC", True), ("TEXT_EXACTLY_MATCHES", "1", 1, True),
    ("TEXT_DOES_NOT_EXACTLY_MATCH", "a", "A", False), ("TEXT_DOES_NOT_EXACTLY_MATCH", "a", "b", True),
    ("TEXT_START_WITH", "Abc", "ab", True), ("TEXT_START_WITH", "Abc", "bc", False),
    ("TEXT_DOES_NOT_START_WITH", "Abc", "ab", False), ("TEXT_DOES_NOT_START_WITH", "Abc", "b", True),
    ("TEXT_ENDS_WITH", "abC", "bc", True), ("TEXT_ENDS_WITH", "abc", "b", False),
    ("TEXT_DOES_NOT_END_WITH", "abc", "C", False), ("TEXT_DOES_NOT_END_WITH", "abc", "b", True),
    ("NUMBER_IS_GREATER_THAN", "10", "9", True), ("NUMBER_IS_GREATER_THAN", 9, "9", False),
    ("NUMBER_IS_GREATER_THAN", "b", "a", True), ("NUMBER_IS_GREATER_THAN", "b", 1, False),
    ("NUMBER_IS_LESS_THAN", "", 1, True), ("NUMBER_IS_LESS_THAN", 1, "x", False),
    ("NUMBER_IS_LESS_THAN", "0x10", "17", True), ("NUMBER_IS_LESS_THAN", -1.5, "-1", True),
    ("NUMBER_IS_EQUAL_TO", "1.0", 1, True), ("NUMBER_IS_EQUAL_TO", " 7 ", "7", True),
    ("NUMBER_IS_EQUAL_TO", True, 1, True), ("NUMBER_IS_EQUAL_TO", "x", "x", True),
    ("NUMBER_IS_EQUAL_TO", "x", "y", False), ("NUMBER_IS_EQUAL_TO", "1_0", 10, False),
    ("NUMBER_IS_EQUAL_TO", "nan", "nan", True), ("NUMBER_IS_EQUAL_TO", "inf", 1, False),
    ("DATE_IS_AFTER", "2021-01-02", "2021-01-01", True),
    ("DATE_IS_AFTER", "2021-01-01", "2021-01-02", False),
    ("DATE_IS_AFTER", "2021-01-02", "2021-01-02", False),
    ("DATE_IS_AFTER", "2021-01-01T00:00:02Z", "2021-01-01T00:00:01Z", True),
    ("DATE_IS_AFTER", "2021-01-02T00:00:00Z", "1st January 2021", False),
    ("DATE_IS_AFTER", None, "2021-01-01", False), ("DATE_IS_AFTER", "not a date", "2021-01-01", False),
    ("DATE_IS_AFTER", True, "1960-01-01", False), ("DATE_IS_AFTER", 1, "1970-01-01", True),
    ("DATE_IS_BEFORE", "2021-01-01", "2021-01-02", True),
    ("DATE_IS_BEFORE", "2021-01-01T00:00:00+01:00", "2021-01-01", True),
    ("DATE_IS_BEFORE", "2021-01-02", "2021-01-01", False), ("DATE_IS_BEFORE", "", "2021-01-01", False),
    ("DATE_IS_EQUAL", "2021-01-01", "2021-01-01T00:00:00.000Z", True),
    ("DATE_IS_EQUAL", "2021-01-01", "20210101", True), ("DATE_IS_EQUAL", "2021/1/1", "2021-01-01", True),
    ("DATE_IS_EQUAL", "2021-01-01", "Jan 1, 2021", True),
    ("DATE_IS_EQUAL", "Fri, 01 Jan 2021 00:00:00 GMT", "2021-01-01", True),
    ("DATE_IS_EQUAL", "2021-01-01", "2021-01-03", False),
    ("LIST_CONTAINS", fruits, "Banana", True), ("LIST_CONTAINS", spelled, "banana", True),
    ("LIST_CONTAINS", "apple", "apple", True), ("LIST_CONTAINS", [1, 4], "4", True),
    ("LIST_CONTAINS", [1, 4], 4, True), ("LIST_CONTAINS", [True, False], "true", True),
    ("LIST_CONTAINS", ["true"], True, True), ("LIST_CONTAINS", fruits, "grape", False),
    ("LIST_DOES_NOT_CONTAIN", fruits, "grape", True), ("LIST_DOES_NOT_CONTAIN", fruits, "Banana", False),
    ("LIST_DOES_NOT_CONTAIN", "apple", "grape", True), ("LIST_DOES_NOT_CONTAIN", [False], False, False),
]:
    assert test(operator, first, second) is want, (operator, first, second)
for operator, first, want in [
    ("BOOLEAN_IS_TRUE", True, True), ("BOOLEAN_IS_TRUE", "false", True), ("BOOLEAN_IS_TRUE", [], True),
    ("BOOLEAN_IS_TRUE", "", False), ("BOOLEAN_IS_TRUE", 0, False), ("BOOLEAN_IS_FALSE", "", True),
    ("BOOLEAN_IS_FALSE", {}, False), ("LIST_IS_EMPTY", [], True), ("LIST_IS_EMPTY", "[]", True),
    ("LIST_IS_EMPTY", [1], False), ("LIST_IS_EMPTY", None, False), ("LIST_IS_EMPTY", {}, False),
    ("LIST_IS_EMPTY", "not a list", False), ("LIST_IS_NOT_EMPTY", [1], True),
    ("LIST_IS_NOT_EMPTY", "[1]", True), ("LIST_IS_NOT_EMPTY", "[]", False),
    ("LIST_IS_NOT_EMPTY", None, False), ("LIST_IS_NOT_EMPTY", "x", False), ("EXISTS", "x", True),
    ("EXISTS", 0, True), ("EXISTS", "", False), ("EXISTS", None, False), ("DOES_NOT_EXIST", "", True),
    ("DOES_NOT_EXIST", [], False),
]:
    assert test(operator, first, one=True) is want, (operator, first)
for operator in ["TEXT_CONTAINS", "TEXT_EXACTLY_MATCHES", "TEXT_START_WITH", "TEXT_ENDS_WITH"]:
    assert not test(operator, "Abc", "abc", case_sensitive=True), operator
assert not test("LIST_CONTAINS", fruits, "Banana", case_sensitive=True)
"#;

/// Text, JSON, math, CSV and date helpers with what they give.
const PIECES: &str = r#"
import asyncio
from app.colophon_rt.activepieces_pieces import PIECES, Context
from app.colophon_rt.activepieces_values import stringify

def run(name, **given):
    return asyncio.run(PIECES[name](given, Context({})))

def fails(name, **given):
    try:
        run(name, **given)
    except Exception as error:
        return str(error)
    raise AssertionError(name)

iso, two = "YYYY-MM-DDTHH:mm:ss", {"first_number": "7", "second_number": 2}
day = dict(inputDate="2023-09-17T11:23:58", inputFormat=iso)
for name, given, want in [
    ("data-mapper/advanced_mapping", {"mapping": '{"a": 1}'}, {"a": 1}),
    ("data-mapper/advanced_mapping", {"mapping": "no json"}, "no json"),
    ("text-helper/concat", {"texts": ["a", 1, None, [2, 3], True], "separator": "-"}, "a-1--2,3-true"),
    ("text-helper/concat", {"texts": ["a", "b"]}, "ab"),
    ("text-helper/split", {"text": "a,b,,c", "delimiter": ","}, ["a", "b", "", "c"]),
    ("text-helper/replace", {"text": "aXbX", "searchValue": "X"}, "ab"),
    ("text-helper/replace", {"text": "aXbX", "searchValue": "X", "replaceOnlyFirst": True}, "abX"),
    ("text-helper/replace", {"text": "a1b22", "searchValue": r"(\d+)", "replaceValue": "<$1>"}, "a<1>b<22>"),
    ("text-helper/find", {"text": "id: 42", "expression": r"id: (\d+)"}, ["id: 42", "42"]),
    ("text-helper/find", {"text": "x", "expression": "y"}, None),
    ("text-helper/find", {"text": "ABC", "expression": "b", "ignoreCase": True}, ["B"]),
    ("text-helper/find_all", {"text": "a1b2", "expression": r"\d"}, ["1", "2"]),
    ("text-helper/defaultValue", {"value": "", "defaultString": "d"}, "d"),
    ("text-helper/defaultValue", {"value": "v", "defaultString": "d"}, "v"),
    ("json/convert_json_to_text", {"json": {"b": [1.0, 2.5, True, None, "ü"]}}, '{"b":[1,2.5,true,null,"ü"]}'),
    ("json/convertJsonToText", {"text_object": '{ "a" : 1 }'}, '{"a":1}'),
    ("json/convert_text_to_json", {"text": "[1, 2]"}, [1, 2]),
    ("math-helper/addition_math", two, 9), ("math-helper/subtraction_math", two, -5),
    ("math-helper/multiplication_math", two, 14), ("math-helper/division_math", two, 3.5),
    ("math-helper/modulo_math", two, 1),
    ("math-helper/modulo_math", {"first_number": -7, "second_number": 3}, -1),
    ("math-helper/division_math", {"first_number": 6, "second_number": 3}, 2),
    ("math-helper/generateRandom_math", {"first_number": 4, "second_number": 4}, 4),
    ("csv/convert_csv_to_json", {"csv_text": '\ufeffa,b\n1,"x,\ny"\n', "delimiter_type": ",", "has_headers": True},
        [{"a": "1", "b": "x,\ny"}]),
    ("csv/convert_csv_to_json", {"csv_text": "a\tb\n1\t2", "delimiter_type": "\t"}, [["a", "b"], ["1", "2"]]),
    ("csv/convert_json_to_csv", {"json_array": [{"a": 1, "b": {"c": True, "d": [None, "x,y"]}}, {"e": 'q"'}],
        "delimiter_type": ","}, 'a,b.c,b.d.0,b.d.1,e\n1,1,,"x,y",\n,,,,"q"""\n'),
    ("csv/convert_json_to_csv", {"json_array": [], "delimiter_type": ","}, ""),
    ("date-helper/format_date", {**day, "outputFormat": "DDD MMM DD YYYY HH:mm:ss"},
        {"result": "Sun Sep 17 2023 11:23:58"}),
    ("date-helper/format_date", {**day, "outputFormat": iso, "inputTimeZone": "America/New_York",
        "outputTimeZone": "Europe/Berlin"}, {"result": "2023-09-17T17:23:58"}),
    ("date-helper/format_date", {**day, "outputFormat": "X"}, {"result": "1694949838"}),
    ("date-helper/format_date", {"inputDate": "17/09/23", "inputFormat": "DD/MM/YY", "outputFormat": "MMMM DD YYYY"},
        {"result": "September 17 2023"}),
    ("date-helper/format_date", {"inputDate": "1694949838", "inputFormat": "X", "outputFormat": iso},
        {"result": "2023-09-17T11:23:58"}),
    ("date-helper/format_date", {"inputDate": "Sun Sep 17 2023 11:23:58", "inputFormat": "DDD MMM DD YYYY HH:mm:ss",
        "outputFormat": "MM/DD/YYYY"}, {"result": "09/17/2023"}),
    ("date-helper/extract_date_parts", {**day, "unitExtract": ["year", "month", "dayOfWeek", "monthName", "second"]},
        {"year": 2023, "month": 9, "dayOfWeek": "Sunday", "monthName": "September", "second": 58}),
    ("date-helper/date_difference", {"startDate": "2023-01-01", "startDateFormat": "YYYY-MM-DD", "endDate":
        "2024-02-05", "endDateFormat": "YYYY-MM-DD", "unitDifference": ["year", "month", "day", "hour"]},
        {"year": 1, "month": 1, "day": 5, "hour": 0}),
    ("date-helper/add_subtract_date", {"inputDate": "2024-01-31", "inputDateFormat": "YYYY-MM-DD", "expression":
        "+ 1 month - 2 hours", "outputFormat": iso}, {"result": "2024-02-28T22:00:00"}),
    ("date-helper/add_subtract_date", {"inputDate": "2024-03-30T12:00:00", "inputDateFormat": iso, "expression":
        "+1day", "outputFormat": iso, "timeZone": "Europe/Berlin", "setTime": "08:30"},
        {"result": "2024-03-31T08:30:00"}),
    ("delay/delayFor", {"unit": "seconds", "delayFor": "0"}, {"delayForInMs": 0, "success": True}),
    ("delay/delay_until", {"delayUntilTimestamp": "2020-01-01"},
        {"delayTill": "2020-01-01T00:00:00.000Z", "success": True}),
]:
    got = run(name, **given)
    assert stringify(got) == stringify(want), (name, got, want)
for name, given, word in [
    ("math-helper/division_math", {"first_number": 1, "second_number": 0}, "cannot be zero"),
    ("math-helper/addition_math", {"first_number": "x", "second_number": 0}, "Expected number, received: x"),
    ("math-helper/addition_math", {"first_number": "", "second_number": 0}, "Expected number"),
    ("text-helper/concat", {"texts": "a"}, "Expected array, received: a"),
    ("text-helper/find", {"text": "a", "expression": "("}, "Invalid regular expression"),
    ("json/convert_text_to_json", {"text": "NaN"}, ""),
    ("csv/convert_csv_to_json", {"csv_text": "a,b\n1", "delimiter_type": ","}, "Invalid Record Length"),
    ("csv/convert_json_to_csv", {"json_array": {}, "delimiter_type": ","}, "should be a JSON array"),
    ("date-helper/format_date", {"inputDate": "x", "inputFormat": iso, "outputFormat": iso}, "Failed to parse"),
    ("date-helper/format_date", {**day, "outputFormat": iso, "outputTimeZone": "Mars/X"}, "Invalid time zone"),
    ("delay/delayFor", {"delayFor": 31, "unit": "days"}, "at most 30 days"),
    ("delay/delayFor", {"delayFor": -1}, "0 or more"),
]:
    assert word in fails(name, **given), (name, fails(name, **given))
"#;

#[test]
fn conditions_and_pieces_do_what_activepieces_do() {
    let branch = Branch::of(&flow(&[map("a", json!(1))]));
    branch.script(CONDITIONS);
    branch.script(PIECES);
}

/// The table of the compiler is the table of the runtime.
#[test]
fn every_piece_that_compiles_is_there() {
    let problem =
        support::generated::parse(&flow(&[piece("a", "none/none", json!({}))])).unwrap_err();
    let detail = &problem.as_slice()[0].detail;
    let known = detail.rsplit_once("these are: ").unwrap().1;
    let script = format!(
        "from app.colophon_rt.activepieces_pieces import PIECES\nassert sorted(PIECES) == {known:?}.split(', ')"
    );
    Branch::of(&flow(&[])).script(&script);
}

/// TypeScript runs as JavaScript, in a process that sees nothing of the environment; what it logs is
/// not its result.
#[test]
fn code_runs_apart() {
    let sum = "type In = { list: number[] };\nexport const code = async (inputs: In) => {\n  \
        console.log('noise'); process.stdout.write('noise');\n  \
        return { sum: inputs.list.reduce((a: number, b: number) => a + b, 0), env: process.env };\n};";
    let steps = [
        code("sum", json!({"list": "{{trigger.list}}"}), sum),
        code("nothing", json!({}), "export const code = () => undefined;"),
        going_on(code("big", json!({}), "export const code = () => 'x'.repeat(9 << 20);")),
        going_on(code("exit", json!({}), "export const code = () => process.exit(0);")),
        going_on(code("late", json!({}), "export const code = async () => { throw 'text' };")),
        going_on(code("odd", json!({}), "export const code = () => 10n;")),
        map("after", json!("<{{sum.sum}}{{nothing}}>")),
    ];
    let run = Branch::of(&flow(&steps)).run(&json!({"list": [1, 2, 3.5]}));
    assert_eq!(run["outputs"]["sum"], json!({"sum": 6.5, "env": {}}));
    assert_eq!(
        (&run["outputs"]["nothing"], &run["outputs"]["after"]),
        (&Value::Null, &json!("<6.5>"))
    );
    for (step, word) in [
        ("big", "more than 8388608 bytes"),
        ("exit", "without a result"),
        ("late", "text"),
        ("odd", "BigInt"),
    ] {
        let failed = run["failed"][step].as_str().unwrap();
        assert!(failed.contains(word), "{step}: {failed}");
    }
}

/// A script that does not end is ended, with all that it started, and one that was changed is not run.
#[test]
fn code_is_bounded_and_checked() {
    let source = "export const code = () => { for (;;) {} };";
    let branch = Branch::of(&flow(&[code("spin", json!({}), source)]));
    branch.script(
        r#"
import asyncio, glob
from app.colophon_rt import activepieces_code as code, javascript
from app.flows.acme_inc import flow_demo as flow
code.SECONDS = 1.0
sha256 = flow.C_spin.script
try:
    asyncio.run(code.run_script(sha256, {}))
except javascript.CodeFailed as error:
    assert "longer than 1 seconds" in str(error), error
else:
    raise AssertionError("it ended")
open(f"app/components/{sha256}.mjs", "a").write("\n")
try:
    javascript.script(sha256)
except javascript.CodeFailed as error:
    assert "is not what was compiled" in str(error)
else:
    raise AssertionError("a changed script was taken")
"#,
    );
}

/// Four attempts, 4, 8 and 16 seconds apart, and then it counts.
#[test]
fn a_step_is_tried_again_as_the_engine_does() {
    let mut step =
        going_on(code("bad", json!({}), "export const code = () => { throw new Error('x') };"));
    step["settings"]["errorHandlingOptions"]["retryOnFailure"] = json!({"value": true});
    Branch::of(&flow(&[step])).script(
        r#"
import asyncio
from app.colophon_rt import activepieces
from app.runners.acme_inc import demo_runner as runner
waits = []
async def sleep(seconds):
    waits.append(seconds)
activepieces.asyncio.sleep = sleep
run = asyncio.run(runner.invoke({}))
assert waits == [4.0, 8.0, 16.0], waits
assert run["failed"] == {"bad": "x"}, run
"#,
    );
}

/// An answer ends the flow, in the middle of a loop too, or lets it go on; the first one counts.
#[test]
fn answers_end_the_flow_or_let_it_go_on() {
    let answer = |name: &str, body: &str, respond: &str| {
        let fields = json!({"status": 201, "headers": {"x": "y"}, "body": body});
        piece(
            name,
            "webhook/return_response",
            json!({"responseType": "json", "respond": respond, "fields": fields}),
        )
    };
    let steps = [
        answer("tell", "{\"n\": {{trigger.n}}}", "respond"),
        map("after", json!("went on")),
        repeat(
            "each",
            "{{trigger.list}}",
            &[answer("end", "{\"i\":{{each.item}}}", "stop"), map("no", json!(1))],
        ),
        map("never", json!(1)),
    ];
    let run = Branch::of(&flow(&steps)).run(&json!({"n": 3, "list": [7, 8]}));
    let told = json!({"status": 201, "headers": {"x": "y"}, "body": {"n": 3}});
    assert_eq!((&run["response"], &run["outputs"]["after"]), (&told, &json!("went on")));
    assert_eq!(run["outputs"]["each"]["index"], 1);
    assert!(run["outputs"].get("never").is_none());
    let run = Branch::of(&flow(&[steps[2].clone()])).run(&json!({"list": [7]}));
    assert_eq!(run["response"]["body"], json!({"i": 7}));
}

/// A long pause stops the run, which goes on where it stood; a short one is waited for.
#[test]
fn a_pause_stops_the_run_and_it_goes_on() {
    let pause =
        |n: u32, unit: &str| piece("rest", "delay/delayFor", json!({"delayFor": n, "unit": unit}));
    let count = "export const code = () => 1;";
    let steps = [
        code("before", json!({}), count),
        pause(2, "hours"),
        map("after", json!("{{rest.delayForInMs}}")),
    ];
    Branch::of(&flow(&steps)).script(
        r#"
import asyncio, time
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from app.colophon_rt import activepieces as rt
from app.flows.acme_inc import flow_demo as flow
from app.runners.acme_inc import demo_runner as runner

waiting = asyncio.run(runner.invoke({}))["waiting"]
assert [pause["step"] for pause in waiting] == ["rest"], waiting
assert 7190 < waiting[0]["until_ms"] / 1000 - time.time() < 7210, waiting

async def main():
    graph = flow.build(InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(rt.begin("trigger", {}, "run", "demo"), config)
    return await graph.ainvoke(Command(resume=True), config)

steps = asyncio.run(main())["steps"]
assert steps["rest"]["output"] == {"delayForInMs": 7_200_000, "success": True}, steps
assert steps["after"]["output"] == 7_200_000, steps
"#,
    );
    let run = Branch::of(&flow(&[repeat("each", "{{trigger.l}}", &[pause(0, "seconds")])]))
        .run(&json!({"l": [1]}));
    assert_eq!(run["outputs"]["each"]["index"], 1);
}

/// Values last between runs, by project, flow or run, and several may change one at once.
#[test]
fn what_is_stored_lasts() {
    let store = |name: &str, action: &str, more: Value| {
        let mut input = json!({"key": "k", "store_scope": "FLOW"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        piece(name, &format!("store/{action}"), input)
    };
    let steps = [
        store("old", "get", json!({"defaultValue": "none"})),
        store("put", "append", json!({"value": "{{trigger.x}}", "separator": "\\n"})),
        store("here", "get", json!({"store_scope": "RUN", "defaultValue": "fresh"})),
        store(
            "list",
            "add_to_list",
            json!({"key": "l", "value": "{{trigger.l}}", "ignore_if_exists": true}),
        ),
        store("less", "remove_from_list", json!({"key": "l", "value": "b"})),
    ];
    let branch = Branch::of(&flow(&steps));
    let run = |x: &str, l: Value| branch.run(&json!({"x": x, "l": l}))["outputs"].clone();
    let first = run("a", json!(["a", "b"]));
    assert_eq!(
        (&first["old"], &first["put"], &first["here"]),
        (&json!("none"), &json!("a"), &json!("fresh"))
    );
    let second = run("b", json!(["a", "c"]));
    assert_eq!((&second["old"], &second["put"]), (&json!("a"), &json!("a\nb")));
    assert_eq!((&second["list"], &second["less"]), (&json!(["a", "c"]), &json!(["a", "c"])));
}

/// A connection comes from the environment, whole or a part of it; without it the step fails.
#[test]
fn connections_are_read_from_the_environment() {
    let steps = [going_on(code(
        "use",
        json!({"key": "{{connections['erp-1'].token}}", "all": "Bearer {{connections.plain}}",
            "region": "{{variables['region']}}"}),
        "export const code = (inputs: object) => inputs;",
    ))];
    let branch = Branch::of(&flow(&steps));
    let described = branch.runner(&["--describe"], &[]);
    let described: Value = serde_json::from_slice(&described.stdout).unwrap();
    let erp = described["connections"]["erp-1"].as_str().unwrap();
    assert_eq!(described["connections"]["plain"], "CONNECTION_PLAIN");
    assert_eq!(described["trigger"], json!({"name": "trigger", "kind": "webhook"}));
    let env = [(erp, "{\"token\": \"t\"}"), ("CONNECTION_PLAIN", "p"), ("VARIABLE_REGION", "eu")];
    let output = branch.runner(&[], &env);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["outputs"]["use"], json!({"key": "t", "all": "Bearer p", "region": "eu"}));
    let failed = branch.run(&json!({}))["failed"]["use"].to_string();
    assert!(failed.contains("is not set"), "{failed}");
}

/// Schema 22 shows a step as its output and its error.
#[test]
fn schema_22_has_outputs_and_errors() {
    let steps = [
        going_on(code("bad", json!({}), "export const code = () => { throw new Error('x') };")),
        map(
            "after",
            json!([
                "{{trigger['output'].a}}",
                "{{trigger.a}}",
                "{{bad.error.message}}",
                "{{bad['output']}}",
                "{{bad}}"
            ]),
        ),
    ];
    let mut nested = flow(&steps);
    nested["schemaVersion"] = json!("22");
    let run = Branch::of(&nested).run(&json!({"a": 1}));
    assert_eq!(run["outputs"]["after"], json!([1, "", "x", "", {"error": {"message": "x"}}]));
}
