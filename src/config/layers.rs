//! Where settings come from, each with its place: the file, then variables.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use toml::de::DeTable;
use toml::{Table, Value};

use super::Config;
use super::settings::{self, Setting};

/// What was set, and where.
#[derive(Default)]
pub(super) struct Layers {
    table: Table,
    places: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Layers {
    /// Lays a file.
    pub(super) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read configuration `{}`", path.display()))?;
        let invalid = || format!("configuration `{}` is not valid", path.display());
        self.table = toml::from_str(&text).with_context(invalid)?;
        let parsed = DeTable::parse(&text).with_context(invalid)?;
        for (name, value) in parsed.get_ref() {
            let place = |at: usize| format!("{} line {}", path.display(), line(&text, at));
            let section = name.get_ref().to_string();
            if let Some(names) = value.get_ref().as_table() {
                for inner in names.keys() {
                    let key = format!("{section}.{}", inner.get_ref());
                    self.places.insert(key, place(inner.span().start));
                }
            }
            self.places.insert(section, place(name.span().start));
        }
        Ok(())
    }

    /// Lays the variables that `read` finds.
    pub(super) fn environment(&mut self, read: &dyn Fn(&str) -> Option<String>) {
        for setting in settings::all() {
            let name = setting.variable();
            if let Some(text) = read(&name) {
                self.variable(&setting, &name, &text);
            }
        }
    }

    fn variable(&mut self, setting: &Setting, name: &str, text: &str) {
        match setting.read(text) {
            Ok(value) => settings::put(&mut self.table, setting.key, value),
            Err(why) => self.problems.push(format!("`{}` {why} (in {name})", setting.key)),
        }
        self.places.insert(setting.key.to_owned(), name.to_owned());
    }

    /// The configuration, or everything that cannot be read.
    pub(super) fn config(&mut self) -> Option<Config> {
        match Config::deserialize_table(self.table.clone()) {
            Ok(config) => return Some(config),
            Err(whole) => {
                let before = self.problems.len();
                for (section, value) in self.table.clone() {
                    self.section(&section, value);
                }
                if self.problems.len() == before {
                    self.problems.push(whole);
                }
            }
        }
        None
    }

    /// Reads each value alone, so that the first mistake does not hide the others.
    fn section(&mut self, section: &str, value: Value) {
        let values = match value {
            Value::Table(names) => names
                .into_iter()
                .map(|(name, value)| (format!("{section}.{name}"), value))
                .collect(),
            value => vec![(section.to_owned(), value)],
        };
        for (key, value) in values {
            let mut table = Table::new();
            settings::put(&mut table, &key, value);
            if let Err(why) = Config::deserialize_table(table) {
                let problem = self.placed(format!("`{key}`: {}", why.trim()));
                self.problems.push(problem);
            }
        }
    }

    /// A problem with the place of the setting that it names first.
    pub(super) fn placed(&self, problem: String) -> String {
        let key = problem.split('`').nth(1).unwrap_or_default();
        match self.places.get(key) {
            Some(place) => format!("{problem} (in {place})"),
            None => problem,
        }
    }

    /// What was found wrong so far.
    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_win_over_the_file_and_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "[limits]\nbuilds = 3\nreads = 4\n").unwrap();
        let mut layers = Layers::default();
        layers.file(&path).unwrap();
        let set = [
            ("COLOPHON_LIMITS_BUILDS", "7"),
            ("COLOPHON_GIT_REF_IN_WANT", "on"),
            ("COLOPHON_SERVER_TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            ("COLOPHON_TELEMETRY_SAMPLING", "0.5"),
            ("COLOPHON_RETENTION_TAGS", "7d"),
        ];
        layers.environment(&|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let config = layers.config().unwrap();
        assert_eq!((config.limits.builds, config.limits.reads), (7, 4));
        assert!(config.git.ref_in_want);
        assert_eq!(config.server.trusted_proxies.len(), 1);
        assert_eq!(config.retention.tags.to_string(), "7days");
        let placed = layers.placed("`limits.builds` is odd".to_owned());
        assert!(placed.ends_with("(in COLOPHON_LIMITS_BUILDS)"), "{placed}");
        let placed = layers.placed("`limits.reads` is even".to_owned());
        assert!(placed.ends_with("c.toml line 3)"), "{placed}");
    }

    #[test]
    fn every_value_that_cannot_be_read_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let text = "lisen = \"x\"\n[limits]\nbuilds = \"many\"\n[git]\nidle = 60\nnonsense = 1\n";
        std::fs::write(&path, text).unwrap();
        let mut layers = Layers::default();
        layers.file(&path).unwrap();
        layers
            .environment(&|name| (name == "COLOPHON_GIT_REF_IN_WANT").then(|| "maybe".to_owned()));
        assert!(layers.config().is_none());
        let problems = layers.into_problems().join("\n");
        for word in [
            "`lisen`",
            "c.toml line 1",
            "`limits.builds`",
            "c.toml line 3",
            "`git.idle`",
            "`git.nonsense`",
            "`git.ref_in_want` must be `on` or `off` (in COLOPHON_GIT_REF_IN_WANT)",
        ] {
            assert!(problems.contains(word), "`{word}` in:\n{problems}");
        }
    }
}
