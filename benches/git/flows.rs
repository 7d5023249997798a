//! The flows of one made-up tenant, and their edits.

use serde_json::{Value, json};

use crate::builder::{self, Steps};
use crate::dice::{Dice, OFFICE};

/// How many flows the tenant has.
pub(crate) const FLOWS: u64 = 150;
/// Nodes of a flow, from and to.
const SIZES: (u64, u64) = (6, 24);
const STEPS: Steps = Steps { http: 4, chat: 4, map: 4, router: 2, each: 2, browser: 1 };
const SEED: u64 = 20_261_121;

/// First every flow once, then edits of one flow after the other, by chance.
pub(crate) struct Flows {
    dice: Dice,
    all: Vec<Value>,
    revision: u64,
}

impl Flows {
    pub(crate) const fn new() -> Self {
        Self { dice: Dice::new(SEED), all: Vec::new(), revision: 1_000 }
    }

    /// The next flow as a builder delivers it.
    pub(crate) fn deliver(&mut self) -> anyhow::Result<Vec<u8>> {
        self.revision += 1;
        let number = self.all.len() as u64;
        if number < FLOWS {
            let size = self.dice.between(SIZES.0, SIZES.1);
            self.all.push(builder::flow(&mut self.dice, &OFFICE, STEPS, size, number));
            return self.send(number as usize);
        }
        let which = self.dice.between(0, FLOWS - 1) as usize;
        self.edit(which);
        self.send(which)
    }

    fn send(&mut self, which: usize) -> anyhow::Result<Vec<u8>> {
        self.all[which]["revision"] = self.revision.into();
        Ok(serde_json::to_vec(&self.all[which])?)
    }

    /// One or two nodes get another text, as when a person works on a flow.
    fn edit(&mut self, which: usize) {
        let nodes = self.all[which]["nodes"].as_array_mut().map_or(&mut [][..], |n| n);
        for _ in 0..self.dice.between(1, 2) {
            let node = &mut nodes[self.dice.between(0, nodes.len() as u64 - 1) as usize];
            let text = OFFICE.sentence(&mut self.dice);
            match node["kind"].as_str() {
                Some("llm.chat") => node["system"] = text.into(),
                Some("http.request") => {
                    node["timeout_ms"] = (self.dice.between(1, 60) * 1000).into();
                    node["retry"] = self.dice.between(1, 5).into();
                }
                Some("data.map") => node["fields"]["comment"] = json!(text),
                _ => node["label"] = OFFICE.title(&mut self.dice).into(),
            }
        }
    }
}
