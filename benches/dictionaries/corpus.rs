//! The blobs that dictionaries are trained and measured on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use colophon_compiler::Compiler;
use colophon_model::{Digest, FileSet};
use serde_json::Value;

use crate::builder::{self, Steps};
use crate::dice::{Dice, FIELD, OFFICE, Words};
use crate::langflow;
use crate::tenant::Tenant;

/// Every distinct blob, by what it is.
#[derive(Default)]
pub(crate) struct Corpus {
    kinds: BTreeMap<&'static str, Vec<Vec<u8>>>,
    seen: BTreeSet<Digest>,
}

/// Which flows a corpus is made of.
pub(crate) struct Mix {
    seed: u64,
    words: &'static Words,
    steps: Steps,
    /// Nodes of a Builder flow, from and to.
    sizes: (u64, u64),
    tenants: u64,
    flows: u64,
    /// One flow in so many is LangFlow's.
    langflow: u64,
}

/// What dictionaries are trained on.
pub(crate) const TRAINED: Mix = Mix {
    seed: 1,
    words: &OFFICE,
    steps: Steps { http: 4, chat: 4, map: 4, router: 2, each: 2, browser: 2 },
    sizes: (4, 60),
    tenants: 12,
    flows: 24,
    langflow: 3,
};

/// What they are measured on: other numbers, words, sizes and nodes.
pub(crate) const HELD_OUT: Mix = Mix {
    seed: 77_003,
    words: &FIELD,
    steps: Steps { http: 5, chat: 1, map: 6, router: 1, each: 1, browser: 1 },
    sizes: (2, 90),
    tenants: 6,
    flows: 40,
    langflow: 4,
};

/// What speed is measured on: 4,000 modules of about 20 KB.
pub(crate) const MODULES: Mix = Mix {
    seed: 990_001,
    words: &FIELD,
    steps: Steps { http: 3, chat: 3, map: 3, router: 1, each: 1, browser: 0 },
    sizes: (10, 55),
    tenants: 1000,
    flows: 4,
    langflow: u64::MAX,
};

impl Corpus {
    /// The blobs of `mix`.
    pub(crate) fn generated(compiler: &Compiler, mix: &Mix) -> anyhow::Result<Self> {
        let mut corpus = Self::default();
        let mut dice = Dice::new(mix.seed);
        for number in 0..mix.tenants {
            let names = mix.words.tenants;
            let slug = format!("{}-{number}", names[number as usize % names.len()]);
            let mut tenant = Tenant::new(&mut corpus, compiler, &slug)?;
            for flow in 0..mix.flows {
                tenant.build(&mut corpus, compiler, &mix.flow(&mut dice, flow))?;
            }
        }
        Ok(corpus)
    }

    /// The blobs of the flows in a folder of JSON files, built by one tenant.
    pub(crate) fn of_folder(compiler: &Compiler, folder: &Path) -> anyhow::Result<Self> {
        let mut corpus = Self::default();
        let mut tenant = Tenant::new(&mut corpus, compiler, "acme-inc")?;
        let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<anyhow::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
            let flow = serde_json::from_slice(&fs::read(path)?)?;
            tenant
                .build(&mut corpus, compiler, &flow)
                .with_context(|| path.display().to_string())?;
        }
        Ok(corpus)
    }

    /// Both together, each blob once.
    pub(crate) fn with(mut self, other: Self) -> Self {
        for (kind, blobs) in other.kinds {
            for blob in &blobs {
                self.add(kind, blob);
            }
        }
        self
    }

    /// The blobs by kind.
    pub(crate) const fn kinds(&self) -> &BTreeMap<&'static str, Vec<Vec<u8>>> {
        &self.kinds
    }

    /// The blobs of one kind.
    pub(crate) fn of(&self, kind: &str) -> &[Vec<u8>] {
        self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn add(&mut self, kind: &'static str, bytes: &[u8]) {
        if !bytes.is_empty() && self.seen.insert(Digest::of(bytes)) {
            self.kinds.entry(kind).or_default().push(bytes.to_vec());
        }
    }

    pub(crate) fn add_files(&mut self, files: &FileSet) {
        for (path, file) in files.iter() {
            self.add(kind_of(path.as_str()), file.bytes());
        }
        self.add("trees", &files.tree().encode());
    }
}

impl Mix {
    fn flow(&self, dice: &mut Dice, number: u64) -> Value {
        let size = dice.between(self.sizes.0, self.sizes.1);
        if (number + 1).is_multiple_of(self.langflow) {
            langflow::flow(dice, self.words, size.div_ceil(8), number)
        } else {
            builder::flow(dice, self.words, self.steps, size, number)
        }
    }
}

/// What a file on a tenant's branch, or in a bundle, is.
fn kind_of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    match (path.split('/').next(), extension) {
        _ if name == "manifest.json" => "edge manifests",
        _ if path.contains("colophon_rt/") || name == "colophon_edge.py" => "runtime files",
        (_, Some("json")) => "canonical flows",
        (_, Some("py")) if name.starts_with("flow_") => "flow modules",
        (_, Some("py")) if name.ends_with("_runner.py") => "runners",
        (Some("tests"), Some("py")) => "smoke tests",
        (Some("app"), Some("py")) => "component sources",
        (_, Some("py")) => "edge scripts",
        _ => "README, YAML, text",
    }
}
