//! Made-up LangFlow exports: a chain of components of our own, each with its source.

use serde_json::{Map, Value, json};

use crate::dice::{Dice, Words};

/// A flow of `size` components between a chat's input and its output.
pub(crate) fn flow(dice: &mut Dice, words: &Words, size: u64, number: u64) -> Value {
    let mut parts = vec![Part::chat("ChatInput", dice)];
    parts.extend((0..size).map(|_| Part::made_up(dice, words)));
    parts.push(Part::chat("ChatOutput", dice));
    let nodes: Vec<Value> =
        parts.iter().enumerate().map(|(place, part)| part.vertex(place)).collect();
    let edges: Vec<Value> = parts.windows(2).map(|pair| edge(&pair[0], &pair[1])).collect();
    json!({
        "id": format!("{:08x}-7c1e-4a0e-9a66-{:012x}", dice.next() as u32, dice.next() & 0xffff_ffff_ffff),
        "name": format!("{} {number}", words.title(dice)), "description": words.title(dice),
        "endpoint_name": null, "is_component": false, "last_tested_version": "1.13.0",
        "tags": ["chatbots"], "locked": false,
        "data": {"nodes": nodes, "edges": edges, "viewport": {"x": 80, "y": 160, "zoom": 0.9}},
    })
}

/// One component: its class, its id on the canvas, and its fields with their values.
struct Part {
    class: String,
    id: String,
    fields: Vec<(String, Value)>,
    body: Vec<String>,
}

impl Part {
    fn chat(class: &str, dice: &mut Dice) -> Self {
        let fields = vec![("input_value".to_owned(), json!(""))];
        let body = vec!["return Message(text=self.input_value)".to_owned()];
        Self { class: class.to_owned(), id: suffixed(class, dice), fields, body }
    }

    fn made_up(dice: &mut Dice, words: &Words) -> Self {
        let class: String =
            words.title(dice).split(' ').filter(|word| *word != "the").map(capital).collect();
        let mut fields = vec![("input_value".to_owned(), json!(""))];
        for place in 0..dice.between(1, 5) {
            let value = match dice.between(0, 3) {
                0 => dice.between(1, 4000).into(),
                1 => dice.once_in(2).into(),
                _ => words.sentence(dice).into(),
            };
            fields.push((format!("{}_{place}", dice.of(words.fields)), value));
        }
        let body = body(dice, words, &fields);
        Self { id: suffixed(&class, dice), class, fields, body }
    }

    fn source(&self) -> String {
        let class = &self.class;
        let input = |(name, value): &(String, Value)| {
            let shown = capital(name);
            format!("        {}(name=\"{name}\", display_name=\"{shown}\"),\n", input_type(value))
        };
        let inputs: String = self.fields.iter().map(input).collect();
        let body = format!("        {}\n", self.body.join("\n        "));
        format!(
            "from lfx.custom.custom_component.component import Component\n\
             from lfx.io import BoolInput, IntInput, MessageTextInput, Output\n\
             from lfx.schema.message import Message\n\n\n\
             class {class}(Component):\n    display_name = \"{class}\"\n    name = \"{class}\"\n    \
             inputs = [\n{inputs}    ]\n    \
             outputs = [Output(name=\"message\", display_name=\"Message\", method=\"build_message\")]\n\n    \
             def build_message(self) -> Message:\n{body}"
        )
    }

    fn vertex(&self, place: usize) -> Value {
        let mut template: Map<String, Value> =
            self.fields.iter().map(|(name, value)| (name.clone(), field(name, value))).collect();
        template.insert("_type".to_owned(), "Component".into());
        template.insert("code".to_owned(), json!({
            "type": "code", "name": "code", "value": self.source(), "show": true, "required": true,
            "list": false, "advanced": true, "dynamic": true, "multiline": true, "password": false,
            "load_from_db": false, "placeholder": "", "title_case": false, "info": "",
        }));
        let order: Vec<&String> = self.fields.iter().map(|(name, _)| name).collect();
        let node = json!({
            "template": template, "description": "", "icon": "component",
            "base_classes": ["Message"], "display_name": self.class, "documentation": "",
            "custom_fields": {}, "output_types": [], "pinned": false, "conditional_paths": [],
            "frozen": false, "field_order": order, "beta": false, "legacy": false, "edited": true,
            "metadata": {}, "tool_mode": false, "lf_version": "1.13.0", "outputs": [output()],
        });
        json!({
            "id": self.id, "type": "genericNode", "position": {"x": 420 * place, "y": 0},
            "measured": {"width": 320, "height": 234}, "selected": false, "dragging": false,
            "data": {"id": self.id, "type": self.class, "showNode": true,
                "selected_output": "message", "node": node},
        })
    }
}

/// Every component gives one message.
fn output() -> Value {
    json!({
        "name": "message", "method": "build_message", "display_name": "Message",
        "types": ["Message"], "selected": "Message", "cache": true, "value": "__UNDEFINED__",
        "allows_loop": false, "group_outputs": false, "tool_mode": true,
    })
}

fn suffixed(class: &str, dice: &mut Dice) -> String {
    format!("{class}-{:05x}", dice.next() & 0xf_ffff)
}

fn capital(word: &str) -> String {
    format!("{}{}", word[..1].to_uppercase(), &word[1..])
}

fn input_type(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "IntInput",
        Value::Bool(_) => "BoolInput",
        _ => "MessageTextInput",
    }
}

fn field(name: &str, value: &Value) -> Value {
    let kind = match value {
        Value::Number(_) => "int",
        Value::Bool(_) => "bool",
        _ => "str",
    };
    json!({
        "name": name, "display_name": capital(name), "type": kind, "_input_type": input_type(value),
        "value": value, "show": true, "required": false, "list": false, "advanced": false,
        "dynamic": false, "load_from_db": false, "placeholder": "", "title_case": false, "info": "",
        "input_types": if kind == "str" { json!(["Message"]) } else { json!([]) },
    })
}

/// Lines of a method that turns the component's fields into a message.
fn body(dice: &mut Dice, words: &Words, fields: &[(String, Value)]) -> Vec<String> {
    let mut lines = vec!["text = self.input_value".to_owned()];
    for (name, value) in &fields[1..] {
        let noun = dice.of(words.nouns);
        lines.extend(match value {
            Value::Number(_) => vec![format!("text = text[: self.{name}]")],
            Value::Bool(_) => vec![
                format!("if self.{name}:"),
                format!(
                    "    text = text.replace(\"{noun}\", \"{}\").strip()",
                    dice.of(words.nouns)
                ),
            ],
            _ => vec![
                format!("{noun} = [line for line in text.splitlines() if \"{noun}\" in line]"),
                format!("text = \"\\n\".join([self.{name}, *{noun}])"),
            ],
        });
    }
    lines.push("return Message(text=text)".to_owned());
    lines
}

/// An edge from the message of `from` into the text of `to`. LangFlow writes its handles twice, the
/// second time as JSON with `œ` for quotes.
fn edge(from: &Part, to: &Part) -> Value {
    let out = json!({"dataType": from.class, "id": from.id, "name": "message", "output_types": ["Message"]});
    let into =
        json!({"fieldName": "input_value", "id": to.id, "inputTypes": ["Message"], "type": "str"});
    let quoted = |handle: &Value| handle.to_string().replace('"', "œ");
    json!({
        "id": format!("xy-edge__{}-{}", from.id, to.id), "source": from.id, "target": to.id,
        "sourceHandle": quoted(&out), "targetHandle": quoted(&into), "animated": false,
        "className": "", "selected": false, "data": {"sourceHandle": out, "targetHandle": into},
    })
}
