//! HTTP requests and mail of the ActivePieces runtime, against a server of the test; and the flows of
//! ActivePieces' own demo and benchmark, in their shape.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use serde_json::{Value, json};
use support::generated::{Branch, code, flow, piece};

/// A server that answers with what it was sent; `/status/<n>` answers with that status, the first time.
const SERVER: &str = r#"
import asyncio, base64, email, email.policy, http.server, json, sys, threading

seen = []

class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen.append({"method": self.command, "path": self.path, "headers": headers, "body": body.decode()})
        status = int(self.path.split("/")[2]) if self.path.startswith("/status/") else 200
        text = json.dumps(seen[-1]).encode() if self.path != "/text" else b"plain <1>"
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/there")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
"#;

const REQUESTS: &str = r#"
from app.colophon_rt.activepieces_http import HttpError, send_request

def send(path, **given):
    seen.clear()
    return asyncio.run(send_request({"method": "POST", "url": base + path, "headers": {}, "queryParams": {}, **given}))

def fails(path, **given):
    try:
        send(path, **given)
    except HttpError as error:
        return json.loads(str(error))["response"]["status"], len(seen)
    raise AssertionError(path)

def sent(path="/x", **given):
    answer = send(path, **given)
    assert answer["status"] == 200, answer
    return answer["body"]

got = sent("/x?a=1", queryParams={"b": "2 3", "c": 4}, headers={"X-A": "y"}, method="GET")
assert (got["method"], got["path"], got["headers"]["x-a"]) == ("GET", "/x?a=1&b=2+3&c=4", "y"), got
got = sent(body_type="json", body={"data": {"b": [1.0, None], "a": "ü"}})
assert got["body"] == '{"b":[1,null],"a":"ü"}' and got["headers"]["content-type"] == "application/json", got
got = sent(body_type="json", body={"data": '{"a": 1}'})
assert got["body"] == '{"a":1}', got
got = sent(body_type="raw", body={"data": "<x/>"}, headers={"content-type": "text/xml"})
assert got["body"] == "<x/>" and got["headers"]["content-type"] == "text/xml", got
for data in ([{"fieldName": "f", "fieldType": "text", "textFieldValue": "v"}], {"f": "v"}):
    got = sent(body_type="form_data", body={"data": data})
    assert got["headers"]["content-type"].startswith("multipart/form-data"), got
    assert 'name="f"\r\n\r\nv\r\n' in got["body"], got
got = sent(authType="BASIC", authFields={"username": "u", "password": "p"})
assert got["headers"]["authorization"] == "Basic dTpw", got
got = sent(authType="BEARER_TOKEN", authFields={"token": "t"})
assert got["headers"]["authorization"] == "Bearer t", got
assert send("/text")["body"] == "plain <1>"
assert send("/text", response_is_binary=True)["body"] == base64.b64encode(b"plain <1>").decode()
assert send("/status/302", method="GET")["body"]["path"] == "/there"
assert send("/status/302", method="GET", followRedirects=False)["status"] == 302

for path, mode, want in [
    ("/status/404", None, (404, 1)), ("/status/404", "continue_none", (404, 1)),
    ("/status/404", "retry_none", (404, 1)), ("/status/404", "retry_all", (404, 3)),
    ("/status/500", "retry_5xx", (500, 3)), ("/status/500", "continue_4xx", (500, 3)),
]:
    assert fails(path, failureMode=mode) == want, (path, mode)
for path, given in [
    ("/status/404", {"failureMode": "retry_5xx"}), ("/status/404", {"failureMode": "continue_4xx"}),
    ("/status/500", {"failureMode": "continue_all"}), ("/status/500", {"failsafe": True}),
]:
    answer = send(path, **given)
    assert answer["response"]["status"] == int(path[8:]) and len(seen) == 1, answer
assert asyncio.run(send_request({"method": "GET", "url": "http://127.0.0.1:1/", "failureMode": "continue_all"}))[
    "response"]["status"] == 500
for url in ("file:///etc/passwd", "ftp://x/", "x"):
    try:
        asyncio.run(send_request({"method": "GET", "url": url}))
    except ValueError as error:
        assert "only http and https" in str(error)
    else:
        raise AssertionError(url)
"#;

#[test]
fn requests_are_sent_as_the_piece_does() {
    Branch::of(&flow(&[])).script(&format!("{SERVER}{REQUESTS}"));
}

/// A schedule, a request, and a mail about what came: as in the demo of ActivePieces.
fn demo() -> Value {
    let mut flow = flow(&[
        piece(
            "step_1",
            "http/send_request",
            json!({"method": "GET", "url": "https://example.com/new",
            "headers": {}, "queryParams": {}}),
        ),
        piece(
            "step_2",
            "gmail/send_email",
            json!({"auth": "{{connections['mail']}}", "receiver": ["a@example.com", ""],
            "subject": "{{step_1['body']['name']}} is here \u{2713}", "body_text": "Come and see\n{{step_1['body']['name']}}"}),
        ),
    ]);
    flow.as_object_mut().unwrap().remove("schemaVersion");
    flow["trigger"]["settings"] = json!({"pieceName": "@activepieces/piece-schedule", "pieceVersion": "0.0.4",
        "triggerName": "cron_expression", "input": {"cronExpression": "0/1 * * * *"}, "inputUiInfo": {},
        "packageType": "REGISTRY", "pieceType": "OFFICIAL"});
    flow
}

#[test]
fn the_demo_runs() {
    let branch = Branch::of(&demo());
    branch.script(&format!(
        r#"{SERVER}
import os
from app.colophon_rt import activepieces_pieces
from app.runners.acme_inc import demo_runner as runner
os.environ.update(GMAIL_API_BASE_URL=base, CONNECTION_MAIL=json.dumps({{"access_token": "t"}}))

async def fetch(given, _):
    assert given["url"] == "https://example.com/new"
    return {{"status": 200, "headers": {{}}, "body": {{"name": "Mango"}}}}

activepieces_pieces.PIECES["http/send_request"] = fetch
run = asyncio.run(runner.invoke())
assert run["outputs"]["trigger"] == {{"cron_expression": "0/1 * * * *", "timezone": "UTC"}}, run
assert run["outputs"]["step_2"]["status"] == 200, run
[sent] = seen
assert sent["path"] == "/gmail/v1/users/me/messages/send", sent
assert sent["headers"]["authorization"] == "Bearer t", sent
mail = email.message_from_bytes(base64.urlsafe_b64decode(json.loads(sent["body"])["raw"]), policy=email.policy.default)
assert mail["To"] == "a@example.com" and mail["Subject"] == "Mango is here ✓", mail
assert mail.get_content() == "Come and see\nMango\n", mail
"#
    ));
}

/// A webhook and a CODE step: as in the benchmark of ActivePieces.
#[test]
fn the_smoke_flow_runs_and_passes_its_smoke_test() {
    let source = "export const code = async (inputs) => { return true; };\n";
    let branch = Branch::of(&flow(&[code("step_2", json!({}), source)]));
    assert_eq!(branch.run(&json!({}))["outputs"]["step_2"], true);
    branch.script(
        "import inspect, runpy\n\
         tests = runpy.run_path('tests/smoke/test_demo.py')\n\
         ran = [test() for name, test in tests.items() if name.startswith('test_')]\n\
         assert len(ran) == 3",
    );
}

/// The flows of ActivePieces themselves, where they were fetched.
#[test]
fn a_fetched_flow_compiles() {
    let Some(folder) = std::env::var_os("COLOPHON_TEST_ACTIVEPIECES") else {
        eprintln!(
            "NOT RUN on flows of others: COLOPHON_TEST_ACTIVEPIECES names no folder; flows of our own in \
             their shape are in the other tests"
        );
        return;
    };
    let mut compiled = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let flow = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        support::generated::compile(&flow);
        compiled += 1;
    }
    assert!(compiled > 0);
}
