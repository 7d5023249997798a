//! A plan to Python: one graph module, its runner, its smoke test, and the JavaScript of CODE steps.

use std::collections::BTreeMap;

use colophon_model::Sha256;
use serde_json::{Map, Value, json};
use tera::Context;

use super::{RUNTIME, SHARED};
use crate::cloud;
use crate::module::{Module, Names, path};
use crate::plan::Plan;
use crate::plan::activepieces::{
    ActivepiecesGraph, Branch, Code, Condition, Expr, Router, Step, Trigger, Work,
};
use crate::shape;
use crate::templates::context;

/// The files of `graph`, the runtime and the JavaScript among them.
pub(crate) fn modules(plan: &Plan, graph: &ActivepiecesGraph, names: Names<'_>) -> Vec<Module> {
    let of_flow =
        || context([("package", json!(names.package())), ("flow", json!(names.flow.as_str()))]);
    let scripts = scripts(&graph.steps);
    let mut smoke = of_flow();
    smoke.insert("nodes", &json!(graph.steps.iter().map(node).collect::<Vec<_>>()));
    smoke.insert("scripts", &json!(scripts.keys().collect::<Vec<_>>()));
    let mut modules = vec![
        Module::python(
            names.flow_module(),
            "cloud/activepieces_flow.py.tera",
            flow_context(plan, graph),
            &shape::FLOW,
        ),
        Module::python(
            names.runner(),
            "cloud/activepieces_runner.py.tera",
            of_flow(),
            &shape::RUNNER,
        ),
        Module::python(
            names.smoke_test(),
            "cloud/activepieces_smoke.py.tera",
            smoke,
            &shape::SMOKE,
        ),
    ];
    let shared = cloud::RUNTIME.iter().filter(|(at, _)| SHARED.contains(at));
    modules.extend(RUNTIME.iter().chain(shared).map(|(at, text)| Module::copy(at, text)));
    // Code carriers: taken as they stand, for their name is the hash of their bytes.
    modules.extend(scripts.into_iter().map(|(sha256, javascript)| {
        Module::verbatim(path(format!("app/components/{sha256}.mjs")), javascript)
    }));
    modules
}

fn scripts(steps: &[Step]) -> BTreeMap<Sha256, &str> {
    let mut found = BTreeMap::new();
    for step in steps {
        step.each(&mut |step| {
            if let Work::Code(code) = &step.work {
                found.insert(code.sha256, code.javascript.as_str());
            }
        });
    }
    found
}

/// A step's name in its graph.
fn node(step: &Step) -> String {
    format!("n_{}", step.ident)
}

fn flow_context(plan: &Plan, graph: &ActivepiecesGraph) -> Context {
    let mut listing = Listing::default();
    listing.add_graph(None, &graph.steps);
    context([
        ("name", json!(plan.name.as_str())),
        ("trigger", trigger(&graph.trigger)),
        ("connections", json!(graph.connections)),
        ("variables", json!(graph.variables)),
        ("nodes", Value::Array(listing.nodes)),
        ("graphs", Value::Array(listing.graphs)),
    ])
}

fn trigger(trigger: &Trigger) -> Value {
    let mut members = Map::new();
    members.insert("name".to_owned(), json!(trigger.name));
    members.insert("kind".to_owned(), json!(trigger.kind));
    if let Some(schedule) = &trigger.schedule {
        members.insert("cron".to_owned(), json!(schedule.cron));
        members.insert("timezone".to_owned(), json!(schedule.timezone));
    }
    Value::Object(members)
}

/// What the template walks through: every step once, and one graph for the flow and for each loop.
#[derive(Default)]
struct Listing {
    nodes: Vec<Value>,
    graphs: Vec<Value>,
}

/// A graph being drawn.
#[derive(Default)]
struct Drawing {
    nodes: Vec<String>,
    joins: Vec<String>,
    edges: Vec<Value>,
    ways: Vec<Value>,
}

/// From where a step is reached.
enum From {
    /// From the start.
    Start,
    /// From a node.
    Node(String),
    /// By a choice that is drawn already.
    Choice,
}

impl Listing {
    /// Lists `steps`; bodies of loops come before the graph that uses them.
    fn add_graph(&mut self, body_of: Option<&str>, steps: &[Step]) {
        let mut drawing = Drawing::default();
        let end = self.add_chain(steps, From::Start, &mut drawing);
        drawing.connect(&end, None);
        self.graphs.push(json!({
            "body_of": body_of,
            "nodes": drawing.nodes,
            "joins": drawing.joins,
            "edges": drawing.edges,
            "ways": drawing.ways,
        }));
    }

    /// Draws `steps` after `from`, and gives what comes after from.
    fn add_chain(&mut self, steps: &[Step], from: From, drawing: &mut Drawing) -> From {
        let mut from = from;
        for step in steps {
            let ident = step.ident.as_str();
            self.nodes.push(entry(step));
            drawing.nodes.push(ident.to_owned());
            drawing.connect(&from, Some(&node(step)));
            from = From::Node(node(step));
            match &step.work {
                Work::Loop { body, .. } => self.add_graph(Some(ident), body),
                Work::Router(router) => from = self.add_branches(step, router, drawing),
                Work::Code(_) | Work::Piece { .. } => {}
            }
        }
        from
    }

    /// Branches meet again at the router's join. Where all are taken, they run one after the other, so
    /// each begins where the one before it ends.
    fn add_branches(&mut self, step: &Step, router: &Router, drawing: &mut Drawing) -> From {
        let join = format!("n_{}", router.join);
        drawing.joins.push(router.join.to_string());
        drawing.choose(&node(step), step, router, 0);
        for (index, branch) in router.branches.iter().enumerate() {
            let end = self.add_chain(&branch.steps, From::Choice, drawing);
            match end {
                From::Node(end) if router.all => drawing.choose(&end, step, router, index + 1),
                end => drawing.connect(&end, Some(&join)),
            }
        }
        From::Node(join)
    }
}

impl Drawing {
    /// A static edge to the node `to`, or to the end.
    fn connect(&mut self, from: &From, to: Option<&str>) {
        let from = match from {
            From::Start => None,
            From::Node(node) => Some(node),
            From::Choice => return,
        };
        self.edges.push(json!({"from": from, "to": to}));
    }

    /// An edge from `from` to the first branch of the router that is taken, the `next`-th or later.
    fn choose(&mut self, from: &str, step: &Step, router: &Router, next: usize) {
        let first = |branch: &Branch| branch.steps.first().map(node);
        let mut to: Vec<_> = router.branches.iter().skip(next).filter_map(first).collect();
        to.push(format!("n_{}", router.join));
        let router = step.ident.as_str();
        self.ways.push(json!({"from": from, "router": router, "next": next, "to": to}));
    }
}

/// Keyword arguments, in order.
type Fields = Vec<(&'static str, Value)>;

fn entry(step: &Step) -> Value {
    let (class, own) = match &step.work {
        Work::Code(code) => ("Code", code_fields(code)),
        Work::Piece { action, input, auth } => {
            ("Piece", piece_fields(action, input, auth.as_ref()))
        }
        Work::Loop { items, body } => ("Loop", loop_fields(items, body)),
        Work::Router(router) => ("Router", router_fields(router)),
    };
    let mut fields = vec![("name", json!(step.name))];
    fields.extend(own);
    if step.continue_on_failure {
        fields.push(("continue_on_failure", json!(true)));
    }
    if step.retry {
        fields.push(("retry", json!(true)));
    }
    let fields: Vec<_> =
        fields.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"ident": step.ident.as_str(), "class": class, "fields": fields})
}

fn code_fields(code: &Code) -> Fields {
    vec![("script", json!(code.sha256)), ("input", expr(&code.input))]
}

fn piece_fields(action: &str, input: &Expr, auth: Option<&Expr>) -> Fields {
    let mut fields = vec![("action", json!(action)), ("input", expr(input))];
    fields.extend(auth.map(|auth| ("auth", expr(auth))));
    fields
}

/// A loop tells its body's steps: what happens in loops and branches below it is theirs.
fn loop_fields(items: &Expr, body: &[Step]) -> Fields {
    let mut names = Vec::new();
    each_name(body, &mut names);
    vec![("items", expr(items)), ("body", json!(names))]
}

fn each_name<'a>(steps: &'a [Step], names: &mut Vec<&'a str>) {
    for step in steps {
        names.push(&step.name);
        if let Work::Router(router) = &step.work {
            router.branches.iter().for_each(|branch| each_name(&branch.steps, names));
        }
    }
}

fn router_fields(router: &Router) -> Fields {
    let branches: Vec<_> = router
        .branches
        .iter()
        .map(|branch| {
            let mut members = Map::new();
            members.insert("name".to_owned(), expr(&branch.name));
            if let Some(groups) = &branch.any {
                let group = |group: &Vec<Condition>| group.iter().map(condition).collect();
                let groups: Vec<Vec<Value>> = groups.iter().map(group).collect();
                members.insert("any".to_owned(), json!(groups));
            }
            members.insert("first".to_owned(), json!(branch.steps.first().map(node)));
            Value::Object(members)
        })
        .collect();
    let join = format!("n_{}", router.join);
    vec![("all", json!(router.all)), ("branches", json!(branches)), ("join", json!(join))]
}

fn condition(condition: &Condition) -> Value {
    let mut members = Map::new();
    members.insert("operator".to_owned(), json!(condition.operator));
    members.insert("first".to_owned(), expr(&condition.first));
    if let Some(second) = &condition.second {
        members.insert("second".to_owned(), expr(second));
    }
    if condition.case_sensitive {
        members.insert("case_sensitive".to_owned(), json!(true));
    }
    Value::Object(members)
}

/// A value in the form that the runtime's `activepieces_values.py` describes.
fn expr(value: &Expr) -> Value {
    let list = |parts: &[Expr]| parts.iter().map(expr).collect::<Vec<_>>();
    match value {
        Expr::Literal(value) => json!({"lit": value}),
        Expr::Output(path) => json!({"output": path}),
        Expr::Error(path) => json!({"error": path}),
        Expr::Both(step) => json!({"step": step}),
        Expr::Connection(variable, path) => json!({"connection": [variable, path]}),
        Expr::Variable(variable) => json!({"variable": variable}),
        Expr::Flatten(path, keys) => json!({"flatten": [path, keys]}),
        Expr::Text(parts) => json!({"text": list(parts)}),
        Expr::Zip(parts) => json!({"zip": list(parts)}),
        Expr::List(items) => json!({"list": list(items)}),
        Expr::Object(members) => {
            let member = |(name, value): (&String, &Expr)| (name.clone(), expr(value));
            json!({"object": members.iter().map(member).collect::<Map<_, _>>()})
        }
    }
}
