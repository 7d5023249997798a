//! The files that every side stores: generated modules, in the shape of `templates/cloud/flow.py.tera`.
//!
//! One module in eight is a short runner. The others hold a flow of 36 to 52 nodes, so that the median is
//! about 23 KB and 4,000 files are about 82 MB. The same number of files is the same bytes on any machine.

mod words;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use words::{NOUNS, VERBS};

/// Names the corpus. Another seed would make other measurements.
const SEED: u64 = 0x636f_6c6f_7068_6f6e;
/// Flows of one tenant share a directory.
const TENANTS: usize = 300;

/// A small generator of numbers (SplitMix64): fast, and the same everywhere.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// The sequence that `seed` names.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn some<'a, const N: usize>(&mut self, words: &[&'a str]) -> [&'a str; N] {
        std::array::from_fn(|_| self.of(words))
    }

    /// Bytes that no compressor makes smaller.
    pub(crate) fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Writes `files` modules below `dir` and returns their size in bytes.
pub(crate) fn write(dir: &Path, files: usize) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for number in 0..files {
        let path = dir.join(path(number));
        let text = file(number);
        bytes += text.len() as u64;
        fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        fs::write(path, text)?;
    }
    Ok(bytes)
}

/// All files below `dir`, by path.
pub(crate) fn list(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let to = if entry.file_type()?.is_dir() { &mut dirs } else { &mut files };
            to.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What a small build stores: a module of four nodes, a runner, a smoke test and a manifest. A
/// different number gives four different files.
pub(crate) fn small_build(number: u64) -> [Vec<u8>; 4] {
    let mut author = Author::new(number);
    let name = author.name();
    let manifest = format!(
        "{{\"flow\":\"{name}\",\"build\":{number},\"files\":[\"app/flows/acme/flow_{name}.py\"]}}\n"
    );
    let smoke = format!(
        "# Build {number}.\nfrom app.flows.acme import flow_{name}\n\n\ndef test_{name}():\n    \
         assert flow_{name}.build() is not None\n"
    );
    let (runner, module) = (author.runner(&name), author.module(&name, 4));
    [module, runner, smoke, manifest].map(String::into_bytes)
}

fn path(number: usize) -> String {
    let tenant = number % TENANTS;
    let name = Author::new(SEED ^ number as u64).name();
    if is_runner(number) {
        format!("app/runners/tenant_{tenant}/{name}_{number}_runner.py")
    } else {
        format!("app/flows/tenant_{tenant}/flow_{name}_{number}.py")
    }
}

const fn is_runner(number: usize) -> bool {
    number % 8 == 7
}

fn file(number: usize) -> String {
    let mut author = Author::new(SEED ^ number as u64);
    let name = author.name();
    if is_runner(number) {
        return author.runner(&name);
    }
    let nodes = 25 + author.numbers.below(14);
    author.module(&name, nodes)
}

/// Writes one module. A flow is about a few things, so its words are few.
struct Author {
    numbers: Numbers,
    verbs: [&'static str; 9],
    nouns: [&'static str; 14],
}

struct Node {
    id: String,
    kind: usize,
}

impl Author {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let (verbs, nouns) = (numbers.some(VERBS), numbers.some(NOUNS));
        Self { numbers, verbs, nouns }
    }

    fn verb(&mut self) -> &'static str {
        self.numbers.of(&self.verbs)
    }

    fn noun(&mut self) -> &'static str {
        self.numbers.of(&self.nouns)
    }

    fn name(&mut self) -> String {
        format!("{}_{}", self.verb(), self.noun())
    }

    /// Six to ten words.
    fn sentence(&mut self) -> String {
        let length = 3 + self.numbers.below(3);
        let pairs: Vec<String> =
            (0..length).map(|_| format!("{} the {}", self.verb(), self.noun())).collect();
        pairs.join(", ")
    }

    fn runner(&mut self, name: &str) -> String {
        let (host, key) = (self.noun(), self.numbers.next());
        format!(
            "# Generated by colophon. Change the flow in its builder, not here.\n\
             from __future__ import annotations\n\nimport sys\n\n\
             from app.colophon_rt import cli\nfrom app.flows import flow_{name} as flow\n\n\
             BUILD_KEY = \"{key:016x}\"\nEDGE = \"https://{host}.example.com/edge/notify\"\n\n\n\
             def main(argv=None):\n    return cli.run(flow, argv, edge=EDGE, key=BUILD_KEY)\n\n\n\
             if __name__ == \"__main__\":\n    sys.exit(main())\n"
        )
    }

    fn module(&mut self, name: &str, nodes: usize) -> String {
        let nodes: Vec<Node> = (0..nodes).map(|place| self.node(place)).collect();
        let mut text = self.head(name);
        for (place, node) in nodes.iter().enumerate() {
            let before = place.checked_sub(1).map_or("start", |before| &nodes[before].id);
            text.push_str(&self.constant(node, before));
        }
        for Node { id, .. } in &nodes {
            let _ = write!(
                text,
                "\nasync def n_{id}(state: rt.State) -> rt.Update:\n    \
                 return await rt.run(C_{id}, state)\n\n"
            );
        }
        text.push_str(&graph(&nodes));
        text
    }

    fn head(&mut self, name: &str) -> String {
        let mut text = format!(
            "# Generated by colophon. Change the flow in its builder, not here.\n\
             from __future__ import annotations\n\n\
             from langgraph.graph import END, START, StateGraph\n\n\
             from app.colophon_rt import builder as rt\n\n\
             NAME = \"{name}: {}\"\nINPUTS = {{\n",
            self.sentence()
        );
        for _ in 0..3 {
            let (input, default) = (self.noun(), self.numbers.below(100_000));
            let _ = writeln!(
                text,
                "    \"{input}_no\": {{\"default\": {default}, \"required\": True}},"
            );
        }
        text.push_str("}\n\n");
        text
    }

    fn node(&mut self, place: usize) -> Node {
        Node { id: format!("{}_{place}", self.name()), kind: self.numbers.below(4) }
    }

    /// The constant that describes a node.
    fn constant(&mut self, node: &Node, before: &str) -> String {
        let Node { id, kind } = node;
        let class = ["HttpRequest", "LlmChat", "Router", "DataMap"][*kind];
        let fields = match kind {
            0 => self.http(before),
            1 => self.chat(before),
            2 => self.router(before),
            _ => self.map(before),
        };
        format!(
            "C_{id} = rt.{class}(\n    id=\"{id}\",\n    after=[[\"{before}\", None]],\n{fields})\n\n"
        )
    }

    fn http(&mut self, before: &str) -> String {
        let (host, what, version) = (self.noun(), self.noun(), 1 + self.numbers.below(4));
        let method = self.numbers.of(&["GET", "POST"]);
        let (retry, timeout) = (self.numbers.below(4), 5000 * (1 + self.numbers.below(12)));
        format!(
            "    method=\"{method}\",\n    \
             url={{\n        \"text\": [\n            \
             \"https://{host}.example.com/api/v{version}/{what}s/\",\n            \
             [\"{before}\", \"body\", \"id\"],\n        ]\n    }},\n    \
             headers={{\n        \"Accept\": {{\"lit\": \"application/json\"}},\n        \
             \"Authorization\": {{\"text\": [\"Bearer \", [\"credential\", \"{host}\"]]}},\n    }},\n    \
             retry={retry},\n    timeout_ms={timeout},\n"
        )
    }

    fn chat(&mut self, before: &str) -> String {
        let model = self.numbers.of(&["gpt-4o-mini", "gpt-4o", "llama-3.1-70b"]);
        let (system, prompt) = (self.sentence(), self.noun());
        let (field, warmth) = (self.noun(), self.numbers.below(10));
        format!(
            "    model=\"{model}\",\n    system={{\n        \"lit\": \"{system}\"\n    }},\n    \
             prompt={{\n        \"text\": [\n            \"{prompt}: \",\n            \
             [\"{before}\", \"body\", \"{field}\"],\n        ]\n    }},\n    \
             temperature=0.{warmth},\n    timeout_ms=60000,\n"
        )
    }

    fn router(&mut self, before: &str) -> String {
        let mut text = "    mode=\"first\",\n    branches=[\n".to_owned();
        for _ in 0..=self.numbers.below(2) {
            let (right, name) = (self.noun(), self.verb());
            let _ = write!(
                text,
                "        {{\n            \"any\": [\n                [\n                    {{\n                        \
                 \"case_sensitive\": False,\n                        \
                 \"left\": {{\"ref\": [\"{before}\", \"text\"]}},\n                        \
                 \"op\": \"eq\",\n                        \
                 \"right\": {{\"lit\": \"{right}\"}},\n                    }}\n                ]\n            ],\n            \
                 \"name\": \"{name}\",\n        }},\n"
            );
        }
        text.push_str("        {\"fallback\": True, \"name\": \"other\"},\n    ],\n");
        text
    }

    fn map(&mut self, before: &str) -> String {
        let mut text = "    fields={\n        \"object\": {\n".to_owned();
        for _ in 0..=self.numbers.below(3) {
            let (key, field, value) = (self.noun(), self.noun(), self.numbers.below(100));
            let _ = write!(
                text,
                "            \"{key}\": {{\"ref\": [\"{before}\", \"body\", \"{field}\"]}},\n            \
                 \"{key}_no\": {{\"lit\": {value}}},\n"
            );
        }
        text.push_str("        }\n    },\n");
        text
    }
}

/// The function that puts the nodes together.
fn graph(nodes: &[Node]) -> String {
    let mut text = "\ndef build(checkpointer=None):\n    graph = StateGraph(rt.State)\n".to_owned();
    for Node { id, .. } in nodes {
        let _ = writeln!(text, "    graph.add_node(\"n_{id}\", n_{id})");
    }
    for pair in nodes.windows(2) {
        let _ = writeln!(text, "    graph.add_edge(\"n_{}\", \"n_{}\")", pair[0].id, pair[1].id);
    }
    text.push_str("    return graph.compile(checkpointer=checkpointer, name=NAME)\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers measured at different times are about the same bytes.
    #[test]
    fn the_corpus_is_the_same_everywhere() {
        let mut all = blake3::Hasher::new();
        for number in 0..400 {
            all.update(path(number).as_bytes());
            all.update(file(number).as_bytes());
        }
        let golden = "caedcaea78202ec46a52a7e09dbc791a931e28aed8f83a57b75b9ae0bcde9464";
        assert_eq!(all.finalize().to_hex().as_str(), golden);
    }

    /// What the documentation says of the corpus.
    #[test]
    fn the_sizes_are_those_of_generated_modules() {
        let mut sizes: Vec<usize> = (0..4000).map(|number| file(number).len()).collect();
        sizes.sort_unstable();
        let total: usize = sizes.iter().sum();
        assert!((80_000_000..84_000_000).contains(&total), "{total}");
        assert!((22_000..24_000).contains(&sizes[2000]), "{}", sizes[2000]);
    }

    #[test]
    fn no_two_small_builds_share_a_file() {
        let files: std::collections::BTreeSet<_> = (0..500).flat_map(small_build).collect();
        assert_eq!(files.len(), 2000);
    }
}
