//! The cloud part of a Builder flow: one LangGraph module, its runner and its smoke test.

use colophon_model::EdgeRuntime;
use serde_json::{Map, Value, json};
use tera::Context;

use crate::module::{Module, Names, path};
use crate::plan::Plan;
use crate::plan::builder::{
    After, BuilderGraph, CloudKind, CodeJs, Condition, HttpRequest, LlmChat, Loop, Node, OnError,
    Part, Reference, Region, Router, Segment, Step, Template, Trigger, When, Work,
};
use crate::shape;
use crate::templates::{Source, context};

/// Templates of this part.
pub(crate) const TEMPLATES: &[Source<'static>] = &[
    ("cloud/flow.py.tera", include_str!("../../templates/cloud/flow.py.tera")),
    ("cloud/runner.py.tera", include_str!("../../templates/cloud/runner.py.tera")),
    ("cloud/smoke.py.tera", include_str!("../../templates/cloud/smoke.py.tera")),
];

/// The runtime, by path on the branch.
pub(crate) const RUNTIME: &[Source<'static>] = &[
    ("app/colophon_rt/builder.py", include_str!("../../templates/runtime/colophon_rt/builder.py")),
    ("app/colophon_rt/cli.py", include_str!("../../templates/runtime/colophon_rt/cli.py")),
    (
        "app/colophon_rt/conditions.py",
        include_str!("../../templates/runtime/colophon_rt/conditions.py"),
    ),
    (
        "app/colophon_rt/javascript.mjs",
        include_str!("../../templates/runtime/colophon_rt/javascript.mjs"),
    ),
    (
        "app/colophon_rt/javascript.py",
        include_str!("../../templates/runtime/colophon_rt/javascript.py"),
    ),
    (
        "app/colophon_rt/requirements.txt",
        include_str!("../../templates/runtime/colophon_rt/requirements.txt"),
    ),
    (
        "app/colophon_rt/requirements-serve.txt",
        include_str!("../../templates/runtime/colophon_rt/requirements-serve.txt"),
    ),
    ("app/colophon_rt/service.py", include_str!("../../templates/runtime/colophon_rt/service.py")),
    ("app/colophon_rt/values.py", include_str!("../../templates/runtime/colophon_rt/values.py")),
    ("app/colophon_rt/wire.py", include_str!("../../templates/runtime/edge/colophon_wire.py")),
];

/// The files of `graph`, the runtime among them.
pub(crate) fn modules(plan: &Plan, graph: &BuilderGraph, names: Names<'_>) -> Vec<Module> {
    let of_flow = || [("package", json!(names.package())), ("flow", json!(names.flow.as_str()))];
    let mut smoke = context(of_flow());
    let steps = graph.top.steps.iter().map(|step| format!("n_{}", step.ident()));
    smoke.insert("nodes", &json!(steps.collect::<Vec<_>>()));
    let mut modules = vec![
        Module::python(
            names.flow_module(),
            "cloud/flow.py.tera",
            flow_context(plan, graph, names),
            &shape::FLOW,
        ),
        Module::python(names.runner(), "cloud/runner.py.tera", context(of_flow()), &shape::RUNNER),
        Module::python(names.smoke_test(), "cloud/smoke.py.tera", smoke, &shape::SMOKE),
    ];
    add_sources(&graph.top, &mut modules);
    modules.extend(RUNTIME.iter().map(|(at, text)| Module::copy(at, text)));
    modules
}

/// Code carriers: each source is a file of its own, named by its hash, that no template touches.
fn add_sources(region: &Region, modules: &mut Vec<Module>) {
    for step in &region.steps {
        match &step.work {
            Work::Node(Node { kind: CloudKind::CodeJs(code), .. }) => {
                let at = path(format!("app/components/{}.mjs", code.sha256()));
                modules.push(Module::verbatim(at, code.source.as_bytes()));
            }
            Work::Node(Node { kind: CloudKind::Loop(repeat), .. }) => {
                add_sources(&repeat.body, modules);
            }
            Work::Node(_) | Work::Segment(_) => {}
        }
    }
}

fn flow_context(plan: &Plan, graph: &BuilderGraph, names: Names<'_>) -> Context {
    let runtime = graph.edge_runtime;
    let mut listing = Listing { names, runtime, nodes: Vec::new(), graphs: Vec::new() };
    listing.add_region(None, &graph.top);
    let inputs: Map<_, _> = graph
        .inputs
        .iter()
        .map(|(name, input)| {
            (name.clone(), json!({"required": input.required, "default": input.default}))
        })
        .collect();
    context([
        ("name", json!(plan.name.as_str())),
        ("inputs", Value::Object(inputs)),
        ("outputs", json!(sinks(&graph.top))),
        ("nodes", Value::Array(listing.nodes)),
        ("graphs", Value::Array(listing.graphs)),
    ])
}

/// Nodes whose outputs are those of the run: no step waits for theirs.
fn sinks(region: &Region) -> Vec<&str> {
    let waited = |step: &Step| {
        region.steps.iter().any(|other| other.after.iter().any(|after| after.step == *step.ident()))
    };
    let ends = region.steps.iter().filter(|step| !waited(step));
    ends.flat_map(|step| match &step.work {
        Work::Node(node) => vec![node.id.as_str()],
        Work::Segment(segment) => segment.nodes.iter().map(|node| node.id.as_str()).collect(),
    })
    .collect()
}

/// What the template walks through: every node once, and one graph per region.
struct Listing<'a> {
    names: Names<'a>,
    runtime: EdgeRuntime,
    nodes: Vec<Value>,
    graphs: Vec<Value>,
}

impl Listing<'_> {
    /// Lists the steps of `region`; bodies of loops come before the graph that uses them.
    fn add_region(&mut self, body_of: Option<&str>, region: &Region) {
        for step in &region.steps {
            self.add_step(step);
        }
        let nodes: Vec<_> = region.steps.iter().map(|step| step.ident().as_str()).collect();
        self.graphs.push(object([
            ("body_of", json!(body_of)),
            ("nodes", json!(nodes)),
            ("edges", Value::Array(edges(region))),
        ]));
    }

    fn add_step(&mut self, step: &Step) {
        let (class, mut fields) = match &step.work {
            Work::Node(node) => node_fields(node),
            Work::Segment(segment) => ("Segment", self.segment_fields(segment)),
        };
        let after: Vec<_> = step.after.iter().map(after_pair).collect();
        if !after.is_empty() {
            fields.insert(1, ("after", json!(after)));
        }
        let field =
            |(name, value): (&str, Value)| object([("name", name.into()), ("value", value)]);
        let fields = fields.into_iter().map(field).collect();
        let ident = step.ident().as_str();
        self.nodes.push(object([
            ("ident", ident.into()),
            ("class", class.into()),
            ("fields", Value::Array(fields)),
        ]));
        if let Work::Node(Node { kind: CloudKind::Loop(repeat), .. }) = &step.work {
            self.add_region(Some(ident), &repeat.body);
        }
    }

    fn segment_fields(&self, segment: &Segment) -> Fields {
        let payload: Map<_, _> = segment
            .payload
            .iter()
            .map(|reference| (payload_name(reference), json!({"ref": reference_path(reference)})))
            .collect();
        let results: Vec<_> = segment.nodes.iter().map(|node| node.id.as_str()).collect();
        vec![
            ("id", json!(segment.id.as_str())),
            ("bundle", json!(format!("{}/{}", self.names.flow, self.runtime))),
            ("payload", Value::Object(payload)),
            ("results", json!(results)),
        ]
    }
}

/// An object of values that are there already, which `json!` would write out and read again.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Keyword arguments, in order.
type Fields = Vec<(&'static str, Value)>;

fn after_pair(after: &After) -> Value {
    json!([after.node.as_str(), after.branch.as_ref().map(crate::plan::Ident::as_str)])
}

/// Static edges: one per step, from all it waits for at once. A step that waits for nothing comes
/// after the start, and one that nothing waits for before the end.
fn edges(region: &Region) -> Vec<Value> {
    let mut edges = Vec::new();
    for step in &region.steps {
        let mut from: Vec<_> = step.after.iter().map(|after| format!("n_{}", after.step)).collect();
        from.sort();
        from.dedup();
        let from = match from.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        edges.push(json!({"from": from, "to": format!("n_{}", step.ident())}));
    }
    let waited = |step: &Step| {
        region.steps.iter().any(|other| other.after.iter().any(|after| after.step == *step.ident()))
    };
    for step in region.steps.iter().filter(|step| !waited(step)) {
        edges.push(json!({"from": format!("n_{}", step.ident()), "to": null}));
    }
    edges
}

/// The runtime's class for a node, and its keyword arguments beside `after`.
fn node_fields(node: &Node<CloudKind>) -> (&'static str, Fields) {
    let (class, own) = match &node.kind {
        CloudKind::Trigger(trigger) => ("Trigger", trigger_fields(trigger)),
        CloudKind::LlmChat(chat) => ("LlmChat", llm_fields(chat)),
        CloudKind::HttpRequest(request) => ("HttpRequest", http_fields(request)),
        CloudKind::DataMap(fields) => {
            let fields = Template::Object(fields.clone());
            ("DataMap", vec![("fields", template(&fields))])
        }
        CloudKind::Router(router) => ("Router", router_fields(router)),
        CloudKind::Loop(repeat) => ("Loop", loop_fields(repeat)),
        CloudKind::CodeJs(code) => ("CodeJs", code_fields(code)),
    };
    let mut fields = vec![("id", json!(node.id.as_str()))];
    fields.extend(own);
    if node.on_error == OnError::Continue {
        fields.push(("on_error", json!("continue")));
    }
    if node.retry > 0 {
        fields.push(("retry", json!(node.retry)));
    }
    let code = matches!(node.kind, CloudKind::CodeJs(_)).then_some(CODE_TIMEOUT_MS);
    fields.extend(node.timeout_ms.or(code).map(|ms| ("timeout_ms", json!(ms))));
    (class, fields)
}

fn trigger_fields(trigger: &Trigger) -> Fields {
    match trigger {
        Trigger::Manual => vec![("kind", json!("manual"))],
        Trigger::Webhook => vec![("kind", json!("webhook"))],
        Trigger::Schedule(cron) => vec![("kind", json!("schedule")), ("cron", json!(cron))],
    }
}

fn llm_fields(chat: &LlmChat) -> Fields {
    let mut fields = vec![("model", json!(chat.model))];
    fields.extend(chat.system.as_ref().map(|system| ("system", template(system))));
    fields.push(("prompt", template(&chat.prompt)));
    fields.extend(chat.temperature.map(|temperature| ("temperature", json!(temperature))));
    fields.extend(chat.api_key.as_ref().map(|key| {
        let path: Vec<_> = std::iter::once(&key.name).chain(&key.field).collect();
        ("api_key", json!(path))
    }));
    fields
}

fn http_fields(request: &HttpRequest) -> Fields {
    let headers: Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.clone(), template(value))).collect();
    let mut fields = vec![("method", json!(request.method)), ("url", template(&request.url))];
    if !headers.is_empty() {
        fields.push(("headers", Value::Object(headers)));
    }
    fields.extend(request.json.as_ref().map(|json| ("json", template(json))));
    fields
}

fn router_fields(router: &Router) -> Fields {
    let branches: Vec<_> = router
        .branches
        .iter()
        .map(|branch| match &branch.when {
            When::Fallback => json!({"name": branch.name.as_str(), "fallback": true}),
            When::Any(groups) => {
                let group = |group: &Vec<Condition>| group.iter().map(condition).collect();
                let groups: Vec<Vec<Value>> = groups.iter().map(group).collect();
                json!({"name": branch.name.as_str(), "any": groups})
            }
        })
        .collect();
    let mode = if router.all { "all" } else { "first" };
    vec![("mode", json!(mode)), ("branches", json!(branches))]
}

fn condition(condition: &Condition) -> Value {
    let mut members = Map::new();
    members.insert("op".to_owned(), json!(condition.op));
    members.insert("left".to_owned(), template(&condition.left));
    if let Some(right) = &condition.right {
        members.insert("right".to_owned(), template(right));
    }
    members.insert("case_sensitive".to_owned(), json!(condition.case_sensitive));
    Value::Object(members)
}

fn code_fields(code: &CodeJs) -> Fields {
    let input = template(&Template::Object(code.input.clone()));
    vec![("sha256", json!(code.sha256().to_string())), ("input", input)]
}

/// Limit of one attempt of a `code.js` that sets none, in milliseconds.
const CODE_TIMEOUT_MS: u32 = 60_000;

fn loop_fields(repeat: &Loop) -> Fields {
    let body: Vec<_> = repeat.body.steps.iter().map(|step| step.ident().as_str()).collect();
    vec![
        ("items", template(&repeat.items)),
        ("max_items", json!(repeat.max_items)),
        ("body", json!(body)),
    ]
}

/// A template in the form that the runtime's `values.py` describes.
pub(crate) fn template(value: &Template) -> Value {
    encode(value, &reference_path)
}

/// A template in which references are written by `path`: the cloud and the edge name the same
/// values differently.
pub(crate) fn encode(value: &Template, path: &impl Fn(&Reference) -> Vec<String>) -> Value {
    match value {
        Template::Literal(value) => object([("lit", value.clone())]),
        Template::Reference(reference) => json!({"ref": path(reference)}),
        Template::Text(parts) => {
            let part = |part: &Part| match part {
                Part::Text(text) => json!(text),
                Part::Reference(reference) => json!(path(reference)),
            };
            object([("text", parts.iter().map(part).collect())])
        }
        Template::List(items) => {
            object([("list", items.iter().map(|item| encode(item, path)).collect())])
        }
        Template::Object(members) => {
            let member = |(key, value): (&String, &Template)| (key.clone(), encode(value, path));
            object([("object", Value::Object(members.iter().map(member).collect()))])
        }
    }
}

/// A reference as the cloud's runtime reads it: root, then keys.
pub(crate) fn reference_path(reference: &Reference) -> Vec<String> {
    match reference {
        Reference::Node(id, path) => {
            std::iter::once(id.as_str().to_owned()).chain(path.clone()).collect()
        }
        Reference::Input(name, path) => {
            ["input", name].into_iter().map(str::to_owned).chain(path.clone()).collect()
        }
        Reference::Credential(credential) => {
            let root = ["credential", &credential.name].into_iter().map(str::to_owned);
            root.chain(credential.field.clone()).collect()
        }
    }
}

/// The name under which a value of the cloud crosses to the edge: the reference as written.
pub(crate) fn payload_name(reference: &Reference) -> String {
    reference_path(reference).join(".")
}
