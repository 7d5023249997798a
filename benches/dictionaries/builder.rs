//! Made-up Builder flows: a chain of steps with diamonds, loops and work at the edge in it.

use serde_json::{Map, Value, json};

use crate::dice::{Dice, Words};

/// How often each kind of step comes, by weight.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) http: u64,
    pub(crate) chat: u64,
    pub(crate) map: u64,
    pub(crate) router: u64,
    pub(crate) each: u64,
    pub(crate) browser: u64,
}

/// A flow of about `size` nodes. `number` makes its id and slug.
pub(crate) fn flow(dice: &mut Dice, words: &Words, steps: Steps, size: u64, number: u64) -> Value {
    let mut draft = Draft::new(words);
    draft.begin(dice);
    while (draft.nodes.len() as u64) < size {
        draft.step(dice, steps);
    }
    draft.finish(dice, number)
}

struct Draft<'a> {
    words: &'a Words,
    nodes: Vec<Value>,
    edges: Vec<Value>,
    /// What the next node follows: a node, or a branch of a router.
    tips: Vec<(String, Option<String>)>,
    /// References that hold at the end of the chain.
    known: Vec<String>,
    edge: bool,
}

impl<'a> Draft<'a> {
    fn new(words: &'a Words) -> Self {
        let known = vec!["input.message".to_owned(), "input.base".to_owned()];
        Self { words, nodes: Vec::new(), edges: Vec::new(), tips: Vec::new(), known, edge: false }
    }

    fn begin(&mut self, dice: &mut Dice) {
        let trigger = match dice.between(0, 2) {
            0 => json!({"kind": "trigger.manual"}),
            1 => json!({"kind": "trigger.webhook"}),
            _ => {
                let (minute, hour) = (dice.between(0, 59), dice.between(0, 23));
                json!({"kind": "trigger.schedule", "cron": format!("{minute} {hour} * * 1-5")})
            }
        };
        self.add(dice, trigger);
    }

    fn step(&mut self, dice: &mut Dice, steps: Steps) {
        let Steps { http, chat, map, router, each, browser } = steps;
        match dice.weighed(&[http, chat, map, router, each, browser]) {
            3 => self.router(dice),
            4 => self.each(dice),
            5 => self.browser(dice),
            plain => {
                let step = self.plain(dice, plain);
                self.add(dice, step);
            }
        }
    }

    /// Puts a node after the tips; it is the tip then. Returns its id.
    fn add(&mut self, dice: &mut Dice, mut node: Value) -> String {
        let id = self.words.ident(dice, self.nodes.len());
        node["id"] = id.clone().into();
        node["label"] = self.words.title(dice).into();
        node["position"] = json!({"x": 220 * self.nodes.len(), "y": dice.between(0, 40) * 10});
        if let Some(path) = result_of(&node) {
            self.known.push(format!("{id}.{path}"));
        }
        for (from, branch) in std::mem::take(&mut self.tips) {
            let mut edge = json!({"id": format!("e{}", self.edges.len()), "from": from, "to": id});
            if let Some(branch) = branch {
                edge["branch"] = branch.into();
            }
            self.edges.push(edge);
        }
        self.nodes.push(node);
        self.tips.push((id.clone(), None));
        id
    }

    /// An HTTP request, a chat or a map, by number.
    fn plain(&self, dice: &mut Dice, kind: usize) -> Value {
        match kind {
            0 => self.http(dice),
            1 => self.chat(dice),
            _ => self.map(dice),
        }
    }

    fn http(&self, dice: &mut Dice) -> Value {
        let path = format!("{}s/{}", dice.of(self.words.nouns), self.reference(dice));
        let url = if dice.once_in(3) {
            format!("{{{{input.base}}}}/{path}")
        } else {
            format!("https://{}/{path}", dice.of(self.words.hosts))
        };
        let method = dice.of(&["GET", "GET", "POST", "PUT", "PATCH"]);
        let mut node = json!({"kind": "http.request", "method": method, "url": url,
            "headers": {"Accept": "application/json", "Authorization": "Bearer {{credential.api}}"}});
        if method != "GET" {
            node["json"] = self.object(dice);
        }
        if dice.once_in(2) {
            node["retry"] = dice.between(1, 5).into();
            node["timeout_ms"] = (dice.between(1, 60) * 1000).into();
        }
        if dice.once_in(5) {
            node["on_error"] = "continue".into();
        }
        node
    }

    fn chat(&self, dice: &mut Dice) -> Value {
        let prompt = format!("{}{}", self.words.sentence(dice), self.reference(dice));
        let mut node =
            json!({"kind": "llm.chat", "model": dice.of(self.words.models), "prompt": prompt});
        if dice.once_in(2) {
            node["system"] = self.words.sentence(dice).into();
        }
        if dice.once_in(2) {
            node["temperature"] = (f64::from(dice.between(0, 10) as u32) / 10.0).into();
        }
        node
    }

    fn map(&self, dice: &mut Dice) -> Value {
        json!({"kind": "data.map", "fields": self.object(dice)})
    }

    /// A diamond: one plain node on each branch.
    fn router(&mut self, dice: &mut Dice) {
        let names: Vec<String> =
            (0..dice.between(1, 3)).map(|n| format!("{}_{n}", dice.of(self.words.nouns))).collect();
        let mut branches: Vec<Value> = names.iter().map(|name| self.branch(dice, name)).collect();
        branches.push(json!({"name": "otherwise", "fallback": true}));
        let mode = dice.of(&["first", "first", "all"]);
        let router =
            self.add(dice, json!({"kind": "logic.router", "mode": mode, "branches": branches}));
        let (mut ends, mut results) = (Vec::new(), Vec::new());
        let outside = self.known.len();
        for name in names.into_iter().chain(["otherwise".to_owned()]) {
            self.tips = vec![(router.clone(), Some(name))];
            let kind = dice.between(0, 2) as usize;
            let node = self.plain(dice, kind);
            self.add(dice, node);
            ends.append(&mut self.tips);
            // A branch may not name what runs on another one.
            results.extend(self.known.drain(outside..));
        }
        self.known.append(&mut results);
        self.tips = ends;
    }

    fn branch(&self, dice: &mut Dice, name: &str) -> Value {
        let condition = |dice: &mut Dice| {
            let left = self.reference(dice);
            match dice.between(0, 3) {
                0 => json!({"op": "not_empty", "left": left}),
                1 => json!({"op": "gt", "left": left, "right": dice.between(1, 500)}),
                2 => {
                    json!({"op": "eq", "left": left, "right": dice.of(self.words.nouns), "case_sensitive": false})
                }
                _ => json!({"op": "contains", "left": left, "right": dice.of(self.words.nouns)}),
            }
        };
        let groups: Vec<Vec<Value>> = (0..dice.between(1, 2))
            .map(|_| (0..dice.between(1, 2)).map(|_| condition(dice)).collect())
            .collect();
        json!({"name": name, "any": groups})
    }

    /// A loop over what an HTTP request gave, with two or three nodes in its body.
    fn each(&mut self, dice: &mut Dice) {
        let request = self.http(dice);
        let list = self.add(dice, request);
        let items = format!("{{{{{list}.body.{}s}}}}", dice.of(self.words.nouns));
        let most = dice.between(1, 20) * 50;
        let each = self.add(dice, json!({"kind": "logic.loop", "items": items, "max_items": most}));
        let place = self.nodes.len() - 1;
        let count = self.known.pop();
        let outside = self.known.len();
        self.known.push(format!("{each}.item.{}", dice.of(self.words.fields)));
        let mut body = Vec::new();
        for _ in 0..dice.between(2, 3) {
            let kind = dice.between(0, 2) as usize;
            let node = self.plain(dice, kind);
            body.push(self.add(dice, node));
        }
        self.known.truncate(outside);
        self.known.extend(count);
        self.nodes[place]["body"] = body.into();
        self.tips = vec![(each, None)];
    }

    fn browser(&mut self, dice: &mut Dice) {
        self.edge = true;
        let url = format!("https://{}/{}", dice.of(self.words.hosts), dice.of(self.words.nouns));
        let mut steps = vec![json!({"op": "goto", "url": url})];
        for _ in 0..dice.between(2, 8) {
            steps.push(self.at_page(dice));
        }
        steps.push(json!({"op": "read_text", "selector": format!("#{}-no", dice.of(self.words.nouns)), "as": "shown"}));
        let timeout = dice.between(5, 60) * 1000;
        self.add(dice, json!({"kind": "browser.run", "timeout_ms": timeout, "steps": steps}));
    }

    fn at_page(&self, dice: &mut Dice) -> Value {
        let field = format!("input[name=\"{}\"]", dice.of(self.words.fields));
        match dice.between(0, 5) {
            0 => json!({"op": "click", "selector": format!("text=\"{}\"", self.words.title(dice))}),
            1 => json!({"op": "wait", "selector": format!("#{}-form", dice.of(self.words.nouns))}),
            2 => json!({"op": "fill", "selector": field, "value": "{{credential.desk.user}}"}),
            3 => json!({"op": "select", "selector": field, "value": dice.of(self.words.nouns)}),
            _ => json!({"op": "fill", "selector": field, "value": self.reference(dice)}),
        }
    }

    fn object(&self, dice: &mut Dice) -> Value {
        let mut object = Map::new();
        for _ in 0..dice.between(1, 5) {
            let value = match dice.between(0, 5) {
                0 => dice.between(0, 10_000).into(),
                1 => self.words.sentence(dice).into(),
                2 => json!([dice.of(self.words.nouns), dice.once_in(2)]),
                3 => format!("{} ({})", self.reference(dice), self.reference(dice)).into(),
                _ => self.reference(dice).into(),
            };
            object.insert(dice.of(self.words.fields).to_owned(), value);
        }
        object.into()
    }

    /// A reference to something that ran before; late ones more often.
    fn reference(&self, dice: &mut Dice) -> String {
        let back = dice.between(0, 6).min(self.known.len() as u64 - 1) as usize;
        format!("{{{{{}}}}}", self.known[self.known.len() - 1 - back])
    }

    fn finish(self, dice: &mut Dice, number: u64) -> Value {
        let title = self.words.title(dice);
        let slug = format!("{}_{number}", title.to_lowercase().replace(' ', "_"));
        let mut flow = json!({
            "schema_version": "1.0", "id": format!("flw_{:08x}", dice.next() as u32), "slug": slug,
            "revision": dice.between(1, 40), "name": title, "credentials": ["api", "desk"],
            "inputs": {
                "message": {"required": true, "description": self.words.title(dice)},
                "base": {"default": format!("https://{}", dice.of(self.words.hosts))},
            },
            "nodes": self.nodes, "edges": self.edges,
            "viewport": {"x": dice.between(0, 900), "y": 0, "zoom": 0.8},
        });
        if self.edge {
            flow["target"] = "dual".into();
            flow["edge_runtime"] = "python".into();
            flow["edge_env"] = json!({"DESK_USER": "{{credential.desk.user}}"});
        }
        flow
    }
}

/// What later nodes may name of a node.
fn result_of(node: &Value) -> Option<String> {
    let path = match node["kind"].as_str()? {
        "http.request" => "body.id".to_owned(),
        "llm.chat" => "text".to_owned(),
        "logic.loop" => "count".to_owned(),
        "browser.run" => "shown".to_owned(),
        "data.map" => node["fields"].as_object()?.keys().next()?.clone(),
        _ => return None,
    };
    Some(path)
}
