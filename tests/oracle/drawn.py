"""Flows drawn by us from components as lfx ships them, for what no export at hand shows: routers and
joins, loops in loops, groups in groups, resources that only their consumer may run, two entries.

`python drawn.py FOLDER` writes them there. None needs a key or a model.
"""

from __future__ import annotations

import copy
import json
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

Flow = dict[str, Any]


@cache
def shipped() -> dict[str, Any]:
    """The components of the installed lfx by name."""
    index = json.loads((files("lfx") / "_assets/component_index.json").read_text())
    return {name: item for _, members in index["entries"] for name, item in members.items()}


def node(id: str, **values: Any) -> Flow:
    """A vertex, whose component is the id's part before the dash."""
    kind = KINDS.get(id.split("-")[0], id.split("-")[0])
    own = copy.deepcopy(shipped()[kind])
    own["lf_version"] = "1.13.0"
    for name, value in values.items():
        own["template"].setdefault(name, field(name))["value"] = value
    return {"id": id, "type": "genericNode", "data": {"id": id, "type": kind, "node": own}}


KINDS = {"Prompt": "Prompt Template", "Loop": "LoopComponent", "If": "ConditionalRouter",
         "Calculator": "CalculatorComponent", "Parser": "ParserComponent"}  # fmt: skip


def field(name: str) -> Flow:
    """A variable of a prompt, which the editor adds as a field."""
    return {"name": name, "display_name": name, "type": "str", "show": True, "required": False,
            "advanced": False, "list": False, "value": "", "input_types": ["Message"],
            "_input_type": "MultilineInput"}  # fmt: skip


def custom(id: str, code: str, inputs: list[str], outputs: dict[str, str]) -> Flow:
    """A vertex with a source of our own; `outputs` gives the type of each."""
    template: Flow = {"_type": "Component", "code": {"type": "code", "value": code, "show": True}}
    for name in inputs:
        template[name] = {**field(name), "type": "other", "input_types": ["Message", "Data"]}
    listed = [{"name": n, "types": [t], "selected": t, "method": n} for n, t in outputs.items()]
    own = {"template": template, "outputs": listed, "lf_version": "1.13.0", "display_name": id}
    kind = id.split("-")[0]
    return {"id": id, "type": "genericNode", "data": {"id": id, "type": kind, "node": own}}


def flow(name: str, nodes: list[Flow], *edges: str) -> Flow:
    """A flow. Edges are written `source.output > target.field`; `> loop.item` ends an iteration."""
    by_id = {n["id"]: n for n in nodes}
    data = {"nodes": nodes, "edges": [edge(text, by_id) for text in edges]}
    return {"id": None, "name": name, "data": data, "last_tested_version": "1.13.0"}


def edge(text: str, nodes: dict[str, Flow]) -> Flow:
    (source, output), (target, name) = (end.strip().split(".") for end in text.split(">"))
    given = next(o for o in outputs(nodes[source]) if o["name"] == output)
    from_ = {"dataType": nodes[source]["data"]["type"], "id": source, "name": output}
    from_["output_types"] = [given.get("selected") or given["types"][0]]
    fields = nodes[target]["data"]["node"]["template"]
    if name in fields:
        own = fields[name]
        to = {"fieldName": name, "id": target, "type": own["type"]}
        to["inputTypes"] = own.get("input_types")
        if "proxy" in own:
            to["proxy"] = own["proxy"]
    else:
        to = {"dataType": nodes[target]["data"]["type"], "id": target, "name": name}
        to["output_types"] = ["Data", "Message"]
    return {
        "id": text, "source": source, "target": target, "data": {"sourceHandle": from_, "targetHandle": to},
        "sourceHandle": json.dumps(from_).replace('"', "œ"), "targetHandle": json.dumps(to).replace('"', "œ"),
    }  # fmt: skip


def outputs(node: Flow) -> list[Flow]:
    return node["data"]["node"]["outputs"]


def group(id: str, inner: Flow, fields: dict[str, str], given: dict[str, str]) -> Flow:
    """A group around `inner`: `fields` and `given` name `vertex.field` and `vertex.output`."""
    by_id = {n["id"]: n for n in inner["data"]["nodes"]}
    template, listed = {}, []
    for name, proxied in fields.items():
        vertex, own = proxied.split(".")
        template[name] = {
            **copy.deepcopy(by_id[vertex]["data"]["node"]["template"][own]),
            "proxy": {"id": vertex, "field": own},
        }
    for name, proxied in given.items():
        vertex, own = proxied.split(".")
        output = next(o for o in outputs(by_id[vertex]) if o["name"] == own)
        listed.append({**output, "name": name, "proxy": {"id": vertex, "name": own}})
    own = {"template": template, "outputs": listed, "flow": inner, "display_name": id}
    return {"id": id, "type": "genericNode", "data": {"id": id, "type": "GroupNode", "node": own}}


def if_else(operator: str, match: str) -> Flow:
    """Both branches end at one answer; a vertex of one branch is fed from outside as well."""
    return flow(
        f"If-Else {operator}",
        [
            node("ChatInput-1"),
            node("TextInput-side", input_value="from the side"),
            node("If-1", operator=operator, match_text=match, true_case_message="yes", false_case_message=""),
            node("Prompt-yes", template="{text} / {side}", text="no text", side="no side"),
            node("Prompt-no", template="other: {text}", text="no text"),
            node("Prompt-join", template="[{left}|{right}]", left="left default", right="right default"),
            node("ChatOutput-1"),
        ],
        "ChatInput-1.message > If-1.input_text",
        "If-1.true_result > Prompt-yes.text",
        "TextInput-side.text > Prompt-yes.side",
        "If-1.false_result > Prompt-no.text",
        "Prompt-yes.prompt > Prompt-join.left",
        "Prompt-no.prompt > Prompt-join.right",
        "Prompt-join.prompt > ChatOutput-1.input_value",
    )  # fmt: skip


def nested_routers() -> Flow:
    """The second router stands on a branch of the first, and each branch ends at an output."""
    return flow(
        "Routers in routers",
        [
            node("ChatInput-1"),
            node("If-1", operator="contains", match_text="2"),
            node("If-2", operator="contains", match_text="nothing"),
            node("ChatOutput-a"),
            node("ChatOutput-b"),
            node("ChatOutput-c"),
        ],
        "ChatInput-1.message > If-1.input_text",
        "If-1.true_result > If-2.input_text",
        "If-1.false_result > ChatOutput-a.input_value",
        "If-2.true_result > ChatOutput-b.input_value",
        "If-2.false_result > ChatOutput-c.input_value",
    )


ROWS = '''
from lfx.custom.custom_component.component import Component
from lfx.io import MessageTextInput, Output
from lfx.schema.data import Data


class Rows(Component):
    """One row a letter of `word`, or of the row that it is given."""

    inputs = [MessageTextInput(name="word", value="ab")]
    outputs = [Output(name="rows", method="rows", types=["Data"])]

    def rows(self) -> list[Data]:
        word = self.word.get_text() if hasattr(self.word, "get_text") else str(self.word)
        return [Data(data={"text": letter, "place": i}) for i, letter in enumerate(word)]
'''


def looped() -> Flow:
    return flow(
        "A loop",
        [
            custom("Rows-1", ROWS, ["word"], {"rows": "Data"}),
            node("Loop-1"),
            node("Parser-1", pattern="{text} at {place}", mode="Parser"),
            node("Parser-all", mode="Stringify"),
            node("ChatOutput-1"),
        ],
        "Rows-1.rows > Loop-1.data",
        "Loop-1.item > Parser-1.input_data",
        "Parser-1.parsed_text > Loop-1.item",
        "Loop-1.done > Parser-all.input_data",
        "Parser-all.parsed_text > ChatOutput-1.input_value",
    )


def nested_loops() -> Flow:
    return flow(
        "Loops in loops",
        [
            custom("Rows-1", ROWS, ["word"], {"rows": "Data"}),
            node("Loop-1"),
            custom("Rows-2", ROWS, ["word"], {"rows": "Data"}),
            node("Loop-2"),
            node("Parser-1", pattern="<{text}>", mode="Parser"),
            node("Parser-row", mode="Stringify"),
            node("Parser-all", mode="Stringify"),
            node("ChatOutput-1"),
        ],
        "Rows-1.rows > Loop-1.data",
        "Loop-1.item > Rows-2.word",
        "Rows-2.rows > Loop-2.data",
        "Loop-2.item > Parser-1.input_data",
        "Parser-1.parsed_text > Loop-2.item",
        "Loop-2.done > Parser-row.input_data",
        "Parser-row.parsed_text > Loop-1.item",
        "Loop-1.done > Parser-all.input_data",
        "Parser-all.parsed_text > ChatOutput-1.input_value",
    )


def router_in_a_loop() -> Flow:
    """Some items end an iteration, and others are left out by a router before they can."""
    return flow(
        "A router in a loop",
        [
            custom("Rows-1", ROWS, ["word"], {"rows": "Data"}),
            node("Loop-1"),
            node("Parser-1", pattern="{text}", mode="Parser"),
            node("If-1", operator="equals", match_text="a"),
            node("Prompt-1", template="found {text}", text=""),
            node("Parser-all", mode="Stringify"),
            node("ChatOutput-1"),
        ],
        "Rows-1.rows > Loop-1.data",
        "Loop-1.item > Parser-1.input_data",
        "Parser-1.parsed_text > If-1.input_text",
        "If-1.true_result > Prompt-1.text",
        "Prompt-1.prompt > Loop-1.item",
        "Loop-1.done > Parser-all.input_data",
        "Parser-all.parsed_text > ChatOutput-1.input_value",
    )


def data_router() -> Flow:
    """A router of data, whose branches join at one prompt; and a list fed by both of them."""
    return flow(
        "A router of data",
        [
            custom("Rows-1", ROWS, ["word"], {"rows": "Data"}),
            node("DataConditionalRouter-1", key_name="text", operator="equals", compare_value="a"),
            node("Parser-yes", mode="Parser", pattern="yes {text}"),
            node("Parser-no", mode="Parser", pattern="no {text}"),
            node("MergeDataComponent-1", operation="Append"),
            node("Parser-all", mode="Stringify"),
            node("ChatOutput-1"),
        ],
        "Rows-1.rows > DataConditionalRouter-1.data_input",
        "DataConditionalRouter-1.true_output > Parser-yes.input_data",
        "DataConditionalRouter-1.false_output > Parser-no.input_data",
        "DataConditionalRouter-1.true_output > MergeDataComponent-1.data_inputs",
        "DataConditionalRouter-1.false_output > MergeDataComponent-1.data_inputs",
        "MergeDataComponent-1.combined_data > Parser-all.input_data",
        "Parser-all.parsed_text > ChatOutput-1.input_value",
    )


def grouped(depth: int) -> Flow:
    """A prompt inside of so many groups, with a field and an output that reach out of all."""
    inner = node("Prompt-1", template="{greeting}, {name}", greeting="Hello", name="nobody")
    name, greeting, given = "name", "greeting", "prompt"
    for level in range(depth):
        own = flow(f"level {level}", [inner])
        vertex = inner["id"]
        fields = {f"name_{level}": f"{vertex}.{name}", f"greeting_{level}": f"{vertex}.{greeting}"}
        out = {f"out_{level}": f"{vertex}.{given}"}
        inner = group(f"Group-{level}", own, fields, out)
        name, greeting, given = f"name_{level}", f"greeting_{level}", f"out_{level}"
    if depth == 1:  # lfx loses what is set further out
        inner["data"]["node"]["template"][greeting]["value"] = "Good morning"
    return flow(
        f"A prompt in {depth} groups",
        [node("ChatInput-1"), inner, node("ChatOutput-1")],
        f"ChatInput-1.message > {inner['id']}.{name}",
        f"{inner['id']}.{given} > ChatOutput-1.input_value",
    )


TOOL = '''
from langchain_core.tools import StructuredTool
from lfx.custom.custom_component.component import Component
from lfx.io import MessageTextInput, Output


class Counter(Component):
    """Gives a tool, which no checkpoint can hold, and a text."""

    inputs = [MessageTextInput(name="origin")]
    outputs = [
        Output(name="tool", method="tool", types=["Tool"]),
        Output(name="note", method="note", types=["Message"]),
    ]

    def tool(self) -> StructuredTool:
        origin = str(self.origin)
        return StructuredTool.from_function(lambda text: f"{origin}:{text}", name="count", description="counts")

    def note(self) -> str:
        return f"counting from {self.origin}"
'''

USER = '''
from lfx.custom.custom_component.component import Component
from lfx.io import HandleInput, MessageTextInput, Output
from lfx.schema.message import Message


class Caller(Component):
    """Calls the tools that it is given."""

    inputs = [
        HandleInput(name="tools", input_types=["Tool"], is_list=True),
        MessageTextInput(name="text"),
    ]
    outputs = [Output(name="said", method="said", types=["Message"])]

    def said(self) -> Message:
        return Message(text=" + ".join(f"{t.name}={t.func(str(self.text))}" for t in self.tools))
'''


def resources() -> Flow:
    """Two tools of one name for one caller; one of them is read for its text as well."""
    caller = custom("Caller-1", USER, ["tools", "text"], {"said": "Message"})
    caller["data"]["node"]["template"]["tools"]["list"] = True
    caller["data"]["node"]["template"]["tools"]["input_types"] = ["Tool"]
    both = {"tool": "Tool", "note": "Message"}
    return flow(
        "Tools and their caller",
        [
            node("ChatInput-1"),
            custom("Counter-1", TOOL, ["origin"], both),
            custom("Counter-2", TOOL, ["origin"], both),
            caller,
            node("Prompt-1", template="{said} ({note})", said="", note=""),
            node("ChatOutput-1"),
        ],
        "ChatInput-1.message > Counter-1.origin",
        "ChatInput-1.message > Counter-2.origin",
        "ChatInput-1.message > Caller-1.text",
        "Counter-1.tool > Caller-1.tools",
        "Counter-2.tool > Caller-1.tools",
        "Counter-2.note > Prompt-1.note",
        "Caller-1.said > Prompt-1.said",
        "Prompt-1.prompt > ChatOutput-1.input_value",
    )


def two_entries() -> Flow:
    """A webhook and a chat, which share a prompt."""
    return flow(
        "Two entries",
        [
            node("Webhook-1"),
            node("ChatInput-1", input_value="from the drawing"),
            node("Parser-1", mode="Stringify"),
            node("Prompt-1", template="{hook}", hook=""),
            node("Prompt-2", template="chat: {text}", text=""),
            node("ChatOutput-1"),
            node("TextOutput-1"),
        ],
        "Webhook-1.output_data > Parser-1.input_data",
        "Parser-1.parsed_text > Prompt-1.hook",
        "Prompt-1.prompt > TextOutput-1.input_value",
        "ChatInput-1.message > Prompt-2.text",
        "Prompt-2.prompt > ChatOutput-1.input_value",
    )


def values() -> Flow:
    """Static values of every kind that a field has, and lists fed by several edges."""
    return flow(
        "Fields and lists",
        [
            node("ChatInput-1"),
            node("TextInput-1", input_value="two\\nlines"),
            node("CreateList-1", texts=["a\\nb", "c"]),
            node("Calculator-1", expression="2*3+1"),
            node("CombineText-1", delimiter=" & "),
            node("MergeDataComponent-1"),
            node("Parser-1", mode="Stringify"),
            node("ChatOutput-1"),
        ],
        "ChatInput-1.message > CombineText-1.text1",
        "TextInput-1.text > CombineText-1.text2",
        "CreateList-1.list > MergeDataComponent-1.data_inputs",
        "Calculator-1.result > MergeDataComponent-1.data_inputs",
        "MergeDataComponent-1.combined_data > Parser-1.input_data",
        "CombineText-1.combined_text > ChatOutput-1.input_value",
    )


FLOWS = {
    "if_else_taken": lambda: if_else("contains", "2"),
    "if_else_not_taken": lambda: if_else("equals", "nothing"),
    "if_else_regex": lambda: if_else("regex", "What.*"),
    "nested_routers": nested_routers,
    "loop": looped,
    "router_in_a_loop": router_in_a_loop,
    "data_router": data_router,
    "nested_loops": nested_loops,
    "group": lambda: grouped(1),
    "nested_groups": lambda: grouped(3),
    "resources": resources,
    "two_entries": two_entries,
    "values": values,
}


def write(folder: Path) -> None:
    """Writes all flows into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FLOWS.items():
        drawn = {**make(), "id": f"drawn-{name}"}
        (folder / f"{name}.json").write_text(json.dumps(drawn, indent=1))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
