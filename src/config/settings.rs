//! Every setting by its key. docs/config.md is the list, for people and for the program: what is
//! missing there is in no example and has no variable, and a test says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::Config;

const DOCUMENT: &str = include_str!("../../docs/config.md");

/// Values for settings that have none by default, as they would stand in the file.
const SAMPLES: &[(&str, &str)] = &[
    ("public_url", "\"https://colophon.example.com\""),
    ("server.trusted_proxies", "[\"10.0.0.0/8\"]"),
    ("server.cors_origins", "[\"https://portal.example.com\"]"),
    ("tls.cert", "\"/etc/colophon/tls/cert.pem\""),
    ("tls.key", "\"/etc/colophon/tls/key.pem\""),
    ("tls.client_ca", "\"/etc/colophon/tls/clients.pem\""),
    ("keys.master", "\"systemd:master.key\""),
    ("secrets.vault.address", "\"https://vault.example.com:8200\""),
    ("secrets.vault.token", "\"systemd:vault.token\""),
    ("secrets.vault.namespace", "\"press\""),
    ("export.endpoint", "\"https://s3.example.com\""),
    ("export.region", "\"eu-central-1\""),
    ("export.access_key", "\"AKIDEXAMPLE\""),
    ("export.secret_key", "\"systemd:export.secret\""),
    ("export.kms_key", "\"alias/colophon\""),
    ("export.keys", "\"s3://colophon-keys/prod\""),
    ("export.recipients", "[\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]"),
    ("export.lock", "\"governance\""),
    ("compiler.templates", "\"/etc/colophon/templates\""),
    ("compiler.wheels", "\"/var/lib/colophon-wheels\""),
    ("gates.dir", "\"/var/tmp\""),
    ("gates.launcher", "\"/usr/bin/colophon\""),
    ("gates.command", "[{ name = \"scan\", argv = [\"clamscan\", \"-r\", \".\"] }]"),
    ("outbound.allow", "[\"10.0.0.0/8\", \"runner.internal\"]"),
    ("outbound.ports", "[990]"),
    ("admin.listen", "\"127.0.0.1:9187\""),
    ("telemetry.otlp_endpoint", "\"http://127.0.0.1:4318/v1/traces\""),
    ("telemetry.otlp_headers", "{ authorization = \"env:OTLP_AUTHORIZATION\" }"),
    ("telemetry.project", "\"press\""),
    ("telemetry.log", "\"info,access=off\""),
];

/// A setting.
pub(super) struct Setting {
    pub(super) key: &'static str,
    /// What it is about, in the words of the document.
    about: String,
    /// Its default, or a sample for one that has none.
    value: Value,
    has_default: bool,
}

impl Setting {
    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("COLOPHON_{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// `text` as a value of its kind.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        match &self.value {
            Value::String(_) => Ok(Value::String(text.to_owned())),
            Value::Boolean(_) => match text {
                "on" | "true" | "1" | "yes" => Ok(Value::Boolean(true)),
                "off" | "false" | "0" | "no" => Ok(Value::Boolean(false)),
                _ => Err("must be `on` or `off`".to_owned()),
            },
            _ => literal(text).ok_or_else(|| "cannot be read as a value of TOML".to_owned()),
        }
    }
}

fn literal(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value")
}

/// Every setting, in the order of the document.
pub(super) fn all() -> Vec<Setting> {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| {
        let (key, rest) = row.split_once('`')?;
        let about = rest.split(" | ").skip(2).collect::<Vec<_>>().join(" | ");
        Some((key, plain(about.trim_end_matches(" |"))))
    });
    let setting = |(key, about): (&'static str, String)| {
        let sample = SAMPLES.iter().find(|(name, _)| *name == key);
        let value = match sample {
            Some((_, text)) => literal(text)?,
            None => find(&defaults, key)?.clone(),
        };
        Some(Setting { key, about, value, has_default: sample.is_none() })
    };
    rows.filter_map(setting).collect()
}

/// Text without links and marks of code.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.replace(['`', '['], "").trim().to_owned()
}

/// The value at a dotted key.
pub(super) fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Puts a value at a dotted key.
pub(super) fn put(table: &mut Table, key: &str, value: Value) {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Some(section) = section.as_table_mut() {
        put(section, rest, value);
    }
}

/// A file with every setting, each behind a `#`: its default, or a sample where it has none.
pub fn example() -> String {
    let mut sections: BTreeMap<usize, (&str, Vec<Setting>)> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for setting in all() {
        let section = setting.key.rsplit_once('.').map_or("", |(section, _)| section);
        let at = order.iter().position(|known| *known == section).unwrap_or_else(|| {
            order.push(section);
            order.len() - 1
        });
        sections.entry(at).or_insert((section, Vec::new())).1.push(setting);
    }
    let mut text =
        "# Every setting of colophon with its default. Take the `#` away before what you set.\n\
                    # What has no default is marked as a sample.\n"
            .to_owned();
    for (section, settings) in sections.into_values() {
        let _ = if section.is_empty() { Ok(()) } else { write!(text, "\n[{section}]\n") };
        for setting in settings {
            let name = setting.key.rsplit('.').next().unwrap_or_default();
            let mark = if setting.has_default { "" } else { " (sample; default: none)" };
            let _ = write!(text, "# {}{mark}\n#{name} = {}\n", setting.about, setting.value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Keys of the defaults, and of what has none.
    fn keys() -> BTreeSet<String> {
        let mut keys: BTreeSet<String> = SAMPLES.iter().map(|(key, _)| (*key).to_owned()).collect();
        add("", &Table::try_from(Config::default()).unwrap(), &mut keys);
        keys
    }

    /// A table without anything in it is a setting itself, unless it is a whole section.
    fn add(before: &str, table: &Table, keys: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = format!("{before}{name}");
            match value.as_table() {
                Some(names) if !names.is_empty() => add(&format!("{key}."), names, keys),
                Some(_) if before.is_empty() => {}
                _ => drop(keys.insert(key)),
            }
        }
    }

    #[test]
    fn the_document_names_every_setting() {
        let listed: BTreeSet<String> = all().iter().map(|s| s.key.to_owned()).collect();
        let missing: Vec<_> = keys().difference(&listed).cloned().collect();
        assert!(missing.is_empty(), "no row in docs/config.md: {missing:?}");
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, listed.len(), "rows of docs/config.md that are no settings");
    }

    /// The third column, read as a variable would be, changes nothing.
    #[test]
    fn the_document_tells_the_defaults() {
        for setting in all().iter().filter(|setting| setting.has_default) {
            let row = DOCUMENT.lines().find(|l| l.starts_with(&format!("| `{}` ", setting.key)));
            let cells: Vec<&str> =
                row.unwrap().trim_matches('|').split('|').map(str::trim).collect();
            let mut table = Table::new();
            put(&mut table, setting.key, setting.read(cells[2].trim_matches('`')).unwrap());
            let config: Config =
                table.try_into().unwrap_or_else(|e| panic!("{}: {e}", setting.key));
            assert_eq!(config, Config::default(), "the default of `{}`", setting.key);
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let example = example();
        assert_eq!(toml::from_str::<Config>(&example).unwrap(), Config::default());
        let bare = |line: &str| {
            let bare = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
            bare.unwrap_or(line).to_owned() + "\n"
        };
        let active: String = example.lines().map(bare).collect();
        let config: Config = toml::from_str(&active).unwrap_or_else(|e| panic!("{e}\n{active}"));
        assert!(config.problems().is_empty(), "{:?}", config.problems());
        assert_ne!(config, Config::default(), "samples are set");
    }
}
