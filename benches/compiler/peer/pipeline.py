"""A pipeline as teams write one: JSON, Jinja2, black. It checks little and knows no secrets.

Answers each path on standard input with a line of JSON: wall and processor time in milliseconds, lines
and bytes of Python. Templates are compiled once; black runs in this process, without a start of its own.
"""

import hashlib
import json
import pathlib
import re
import sys
import time

import black
import jinja2

MODE = black.Mode(line_length=88)
ENV = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent), trim_blocks=True, lstrip_blocks=True
)
ENV.filters["py"] = repr
TEMPLATES = [ENV.get_template(name) for name in ("flow.py.j2", "runner.py.j2", "smoke.py.j2")]


def ident(text):
    return re.sub(r"\W", "_", text.lower())


def builder(flow):
    layout = {"id", "kind", "label", "position"}
    nodes = [
        {
            "ident": ident(node["id"]),
            "kind": "".join(part.title() for part in node["kind"].split(".")),
            "fields": [(key, value) for key, value in node.items() if key not in layout],
        }
        for node in flow["nodes"]
    ]
    return nodes, [(edge["from"], edge["to"]) for edge in flow["edges"]], {}


def langflow(flow):
    nodes, sources = [], {}
    for node in flow["data"]["nodes"]:
        if node.get("type") == "noteNode" or "node" not in node["data"]:
            continue
        template = node["data"]["node"].get("template", {})
        code = template.get("code", {}).get("value", "")
        digest = hashlib.sha256(code.encode()).hexdigest()
        sources[digest] = code
        fields = {
            key: field.get("value")
            for key, field in template.items()
            if isinstance(field, dict) and key != "code" and field.get("show", True)
        }
        kept = [("source", digest), ("params", {k: v for k, v in fields.items() if v not in (None, "")})]
        nodes.append({"ident": ident(node["id"]), "kind": "Component", "fields": kept})
    edges = [(ident(edge["source"]), ident(edge["target"])) for edge in flow["data"]["edges"]]
    return nodes, edges, sources


def compile_flow(body):
    flow = json.loads(body)
    nodes, edges, sources = builder(flow) if "schema_version" in flow else langflow(flow)
    name = flow["name"]
    context = {
        "name": name,
        "nodes": nodes,
        "edges": edges,
        "package": "bench_tenant",
        "flow": ident(name),
        "names": ["n_" + node["ident"] for node in nodes],
    }
    files = {template.name: template.render(context) for template in TEMPLATES}
    files = {path: black.format_str(text, mode=MODE) for path, text in files.items()}
    return files, sources


def main():
    for line in sys.stdin:
        body = pathlib.Path(line.rstrip("\n")).read_bytes()
        wall, cpu = time.perf_counter(), time.process_time()
        files, _ = compile_flow(body)
        told = {
            "wall": (time.perf_counter() - wall) * 1e3,
            "cpu": (time.process_time() - cpu) * 1e3,
            "lines": sum(text.count("\n") for text in files.values()),
        }
        print(json.dumps(told), flush=True)


main()
