//! The bundle: fourteen scripts for a browser with wheels beside them, in twenty versions.
//!
//! What changes from one version to the next follows what people do: most often one step of one script,
//! sometimes a script more or less, now and then another version of a package.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dice::{Dice, OFFICE};

/// How many versions there are.
pub(crate) const VERSIONS: usize = 20;
/// The flow that the bundle is of.
pub(crate) const FLOW: &str = "invoices";
/// Scripts in the first version.
const SCRIPTS: u64 = 14;
const SEED: u64 = 42;

/// A bundle of a size, and the packages in it.
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// Packages that the other has not.
    packages: &'static [&'static str],
    /// Packages that a later version brings, with its number.
    bumps: &'static [(usize, &'static str)],
}

/// About 2 MB as a zip.
pub(crate) const SMALL: Profile = Profile {
    name: "2 MB",
    packages: &[],
    bumps: &[
        (11, "httpx==0.27.2"),
        (11, "httpcore==1.0.6"),
        (11, "h11==0.14.0"),
        (11, "anyio==4.6.2.post1"),
        (11, "sniffio==1.3.1"),
    ],
};

/// About 9 MB.
pub(crate) const LARGE: Profile = Profile {
    name: "9 MB",
    packages: &["mpmath==1.3.0", "sympy==1.13.2"],
    bumps: &[(11, "sympy==1.13.3")],
};

/// What is in both, and which other versions of it come.
const PACKAGES: [&str; 14] = [
    "requests==2.32.3",
    "urllib3==2.2.3",
    "certifi==2024.8.30",
    "idna==3.10",
    "jinja2==3.1.4",
    "openpyxl==3.1.5",
    "et_xmlfile==2.0.0",
    "python_dateutil==2.9.0.post0",
    "six==1.16.0",
    "tenacity==9.0.0",
    "click==8.1.7",
    "tzdata==2024.2",
    "tqdm==4.67.0",
    "pytz==2024.2",
];
const BUMPS: [(usize, &str); 6] = [
    (5, "certifi==2024.12.14"),
    (9, "urllib3==2.3.0"),
    (13, "jinja2==3.1.6"),
    (13, "requests==2.32.4"),
    (17, "certifi==2025.1.31"),
    (19, "tzdata==2025.1"),
];

impl Profile {
    /// Whether the bars are about this one.
    pub(crate) fn is_small(&self) -> bool {
        self.name == SMALL.name
    }

    /// The flow in each of its versions, as a builder delivers it.
    pub(crate) fn versions(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut scripts = Scripts::new();
        let mut packages = BTreeMap::new();
        let split = |package: &'static str| package.split_once("==").unwrap_or((package, ""));
        packages.extend(PACKAGES.iter().chain(self.packages).map(|package| split(package)));
        let mut flows = Vec::new();
        for version in 1..=VERSIONS {
            if version > 1 {
                scripts.edit(version);
            }
            let bumps = BUMPS.iter().chain(self.bumps).filter(|(at, _)| *at == version);
            packages.extend(bumps.map(|(_, package)| split(package)));
            flows.push(serde_json::to_vec(&flow(&scripts.all, &packages, version))?);
        }
        Ok(flows)
    }
}

/// The steps of each script, by its name.
struct Scripts {
    dice: Dice,
    all: BTreeMap<String, Vec<Value>>,
}

impl Scripts {
    fn new() -> Self {
        let mut scripts = Self { dice: Dice::new(SEED), all: BTreeMap::new() };
        for number in 0..SCRIPTS {
            let steps = scripts.dice.between(15, 90);
            scripts.add(&format!("page_{number:02}"), steps);
        }
        scripts
    }

    fn add(&mut self, name: &str, steps: u64) {
        let steps = (0..steps).map(|_| step(&mut self.dice)).collect();
        self.all.insert(name.to_owned(), steps);
    }

    /// One to three scripts are edited; three versions do more.
    fn edit(&mut self, version: usize) {
        let count = [1, 1, 1, 2, 3][self.dice.between(0, 4) as usize];
        for _ in 0..count {
            let which = self.dice.between(0, self.all.len() as u64 - 1) as usize;
            let which = self.nth(which);
            self.edit_script(&which);
        }
        match version {
            7 => self.add("page_07b", 40),
            12 => {
                let name = self.nth(3);
                let steps = self.all.remove(&name).unwrap_or_default();
                self.all.insert(format!("{name}_renamed"), steps);
            }
            15 => drop(self.all.remove(&self.nth(5))),
            _ => {}
        }
    }

    fn edit_script(&mut self, name: &str) {
        let (dice, Some(steps)) = (&mut self.dice, self.all.get_mut(name)) else { return };
        let at = dice.between(0, steps.len() as u64 - 1) as usize;
        match dice.between(0, 9) {
            0..=4 => steps[at] = step(dice),
            5..=7 => steps.insert(at, step(dice)),
            8 => drop(steps.remove(at)),
            _ => steps.rotate_left(1),
        }
    }

    fn nth(&self, n: usize) -> String {
        self.all.keys().nth(n).cloned().unwrap_or_default()
    }
}

fn step(dice: &mut Dice) -> Value {
    let selector = format!(
        "#{}-{} > div.{}:nth-child({}) [data-id=\"{:012x}\"]",
        dice.of(OFFICE.verbs),
        dice.of(OFFICE.nouns),
        dice.of(OFFICE.fields),
        dice.between(1, 12),
        dice.next() >> 16
    );
    if dice.once_in(3) {
        return json!({"op": "click", "selector": selector});
    }
    let value = format!("{} {{{{input.customer}}}}", OFFICE.sentence(dice));
    json!({"op": "fill", "selector": selector, "value": value})
}

/// A cloud node before each script, so that each is a segment of its own.
fn flow(
    scripts: &BTreeMap<String, Vec<Value>>,
    packages: &BTreeMap<&str, &str>,
    revision: usize,
) -> Value {
    let mut nodes = vec![json!({"id": "start", "kind": "trigger.webhook"})];
    let (mut edges, mut before) = (Vec::new(), "start".to_owned());
    for (name, steps) in scripts {
        let mapped = format!("before_{name}");
        let mut all = vec![json!({"op": "goto", "url": "https://erp.example.com/"})];
        all.extend(steps.iter().cloned());
        all.push(json!({"op": "read_text", "selector": "#done", "as": "done"}));
        nodes.push(json!({"id": mapped, "kind": "data.map", "fields": {"n": 1}}));
        nodes.push(json!({"id": name, "kind": "browser.run", "timeout_ms": 10_000, "steps": all}));
        for to in [mapped, name.clone()] {
            edges.push(json!({"from": before, "to": to}));
            before = to;
        }
    }
    let pinned = |(name, version): (&&str, &&str)| json!({"name": name, "version": version, "bundled": true});
    json!({
        "schema_version": "1.0", "id": FLOW, "slug": FLOW, "name": "Invoices", "target": "dual",
        "revision": revision, "inputs": {"customer": {"required": true}},
        "edge_requirements": packages.iter().map(pinned).collect::<Vec<_>>(),
        "nodes": nodes, "edges": edges,
    })
}
