//! Reading the steps of a `shell.powershell`: cmdlets of an allow-list, with the parameters that are
//! listed for them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::expr::Expressions;
use super::kinds::{expressions, read_header, read_url};
use super::node::RawNode;
use super::object::Object;
use super::steps::{read_as, read_op};
use crate::plan::builder::{Cmdlet, Part, Template};
use crate::problem::Pointer;

/// What a parameter takes. The word stands in the generated script, and its runtime checks the value
/// again when references are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Any text.
    Text,
    /// A path of the file system. Other drives of PowerShell hold functions, aliases and variables:
    /// what is written there becomes code.
    Path,
    /// A web address.
    Url,
    /// A number from 0.
    Integer,
    /// True or false.
    Switch,
    /// An object of texts.
    Headers,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Takes {
    const fn word(self) -> &'static str {
        match self {
            Self::Text | Self::Word(_) => "text",
            Self::Path => "path",
            Self::Url => "url",
            Self::Integer => "integer",
            Self::Switch => "switch",
            Self::Headers => "headers",
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Path | Self::Url => "a text is expected here",
            Self::Word(_) => "this is not one of the words that the parameter takes",
            Self::Integer => "a number from 0 to 86400000 is expected",
            Self::Switch => "true or false is expected",
            Self::Headers => "an object of texts is expected",
        }
    }
}

const MAX_INTEGER: u64 = 86_400_000;

use Takes::{Headers, Integer, Path, Switch, Text, Url, Word};

const ENCODING: Takes = Word(&["UTF8", "Unicode", "ASCII"]);

/// Every cmdlet that flows may run, with its parameters. Nothing here takes code, and no parameter
/// can be abbreviated or be another's alias.
const ALLOWED: &[(&str, &[(&str, Takes)])] = &[
    ("Add-Content", &[("Encoding", ENCODING), ("LiteralPath", Path), ("Value", Text)]),
    ("Compress-Archive", &[("DestinationPath", Path), ("Force", Switch), ("LiteralPath", Path)]),
    (
        "Copy-Item",
        &[("Destination", Path), ("Force", Switch), ("LiteralPath", Path), ("Recurse", Switch)],
    ),
    ("Expand-Archive", &[("DestinationPath", Path), ("Force", Switch), ("LiteralPath", Path)]),
    (
        "Get-ChildItem",
        &[
            ("Directory", Switch),
            ("File", Switch),
            ("Filter", Text),
            ("LiteralPath", Path),
            ("Recurse", Switch),
        ],
    ),
    (
        "Get-Content",
        &[
            ("Encoding", ENCODING),
            ("LiteralPath", Path),
            ("Raw", Switch),
            ("Tail", Integer),
            ("TotalCount", Integer),
        ],
    ),
    ("Get-Date", &[("Format", Text)]),
    (
        "Get-FileHash",
        &[("Algorithm", Word(&["SHA256", "SHA384", "SHA512"])), ("LiteralPath", Path)],
    ),
    ("Get-Item", &[("LiteralPath", Path)]),
    ("Get-Process", &[("Name", Text)]),
    ("Get-Service", &[("Name", Text)]),
    (
        "Import-Csv",
        &[("Delimiter", Word(&[",", ";", "|"])), ("Encoding", ENCODING), ("LiteralPath", Path)],
    ),
    (
        "Invoke-RestMethod",
        &[
            ("Body", Text),
            ("ContentType", Text),
            ("Headers", Headers),
            ("Method", Word(&["Get", "Post", "Put", "Patch", "Delete", "Head"])),
            ("TimeoutSec", Integer),
            ("Uri", Url),
        ],
    ),
    ("Move-Item", &[("Destination", Path), ("Force", Switch), ("LiteralPath", Path)]),
    ("New-Item", &[("Force", Switch), ("ItemType", Word(&["File", "Directory"])), ("Path", Path)]),
    ("Remove-Item", &[("Force", Switch), ("LiteralPath", Path), ("Recurse", Switch)]),
    (
        "Set-Content",
        &[("Encoding", ENCODING), ("LiteralPath", Path), ("NoNewline", Switch), ("Value", Text)],
    ),
    ("Start-Service", &[("Name", Text)]),
    ("Start-Sleep", &[("Milliseconds", Integer), ("Seconds", Integer)]),
    ("Stop-Service", &[("Name", Text)]),
    ("Test-Path", &[("LiteralPath", Path)]),
];

/// Cmdlets that flows may run, by name.
pub(crate) fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().map(|(name, _)| *name)
}

/// The name of what a step keeps.
pub(super) fn result(step: &Cmdlet) -> Option<&str> {
    step.name.as_ref().map(crate::plan::Ident::as_str)
}

/// Reads one step.
pub(super) fn read(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<Cmdlet> {
    read_op(object, &["invoke"])?;
    let name = object.optional("as").is_some().then(|| read_as(object));
    let text = object.text("cmdlet")?;
    let known = ALLOWED.iter().find(|(name, _)| *name == text);
    let Some((cmdlet, known)) = known else {
        let all: Vec<_> = allowed().collect();
        let shown: String = text.chars().take(60).collect();
        let shown = shown.escape_debug();
        let detail = format!("flows may not run `{shown}`; allowed are {}", all.join(", "));
        object.report("E_CMDLET_DENIED", "cmdlet", detail);
        return None;
    };
    let place = object.place().key("params");
    let mut params = BTreeMap::new();
    let pairs = object.pairs("params");
    let count = pairs.len();
    for (name, value) in pairs {
        let here = place.key(name);
        let Some((name, takes)) = known.iter().find(|(known, _)| known == name) else {
            let words: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            let detail = format!("`{cmdlet}` is given {} and nothing else", words.join(", "));
            object.findings().add_at("E_CMDLET_DENIED", &here, &raw.id, detail);
            continue;
        };
        let mut expressions = expressions(object, raw).with_credentials();
        let template = read_param(&mut expressions, *takes, value, &here);
        params.extend(template.map(|template| (*name, (takes.word(), template))));
    }
    let name = match name {
        Some(name) => Some(name?),
        None => None,
    };
    (params.len() == count).then_some(Cmdlet { cmdlet, params, name })
}

fn read_param(
    expressions: &mut Expressions<'_, '_>,
    takes: Takes,
    value: &Value,
    place: &Pointer,
) -> Option<Template> {
    let (template, wrong) = match (takes, value) {
        (Url, Value::String(text)) => (read_url(expressions, text, place), None),
        (Headers, Value::Object(members)) => (read_headers(expressions, members, place)?, None),
        (Text, Value::String(text)) => (expressions.text(text, place), None),
        (Path, Value::String(text)) => {
            let path = expressions.text(text, place);
            let wrong = (!may_be_path(&path)).then_some(
                "a path of the file system is expected: `C:\\…`, `\\\\server\\…`, or one without `:`",
            );
            (path, wrong)
        }
        (Word(words), Value::String(text)) if words.contains(&text.as_str()) => {
            (Template::Literal(value.clone()), None)
        }
        (Switch, Value::Bool(_)) => (Template::Literal(value.clone()), None),
        (Integer, Value::Number(number)) if number.as_u64().is_some_and(|n| n <= MAX_INTEGER) => {
            (Template::Literal(value.clone()), None)
        }
        _ => (Template::Literal(Value::Null), Some(takes.expected())),
    };
    if let Some(detail) = wrong {
        expressions.report("E_SCHEMA", place, detail);
    }
    Some(template)
}

/// The keys of PowerShell's tables do not know upper from lower case, so no name may stand twice.
fn read_headers(
    expressions: &mut Expressions<'_, '_>,
    members: &serde_json::Map<String, Value>,
    place: &Pointer,
) -> Option<Template> {
    let mut seen = BTreeSet::new();
    let mut headers = BTreeMap::new();
    for (name, value) in members {
        let here = place.key(name);
        if !seen.insert(name.to_ascii_lowercase()) {
            expressions.report("E_SCHEMA", &here, "another header has this name");
        }
        headers.insert(name.clone(), read_header(expressions, name, value, &here)?);
    }
    Some(Template::Object(headers))
}

/// Whether what is known of a path before the run can be one of the file system.
fn may_be_path(template: &Template) -> bool {
    match template {
        Template::Literal(value) => value.as_str().is_some_and(is_path),
        Template::Text(parts) => parts.iter().enumerate().all(|(index, part)| match part {
            Part::Text(text) if index == 0 => is_path(text),
            Part::Text(text) => !text.contains(':'),
            Part::Reference(_) => true,
        }),
        Template::Reference(_) | Template::List(_) | Template::Object(_) => true,
    }
}

fn is_path(text: &str) -> bool {
    let rest = match text.as_bytes() {
        [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic() => &text[2..],
        _ => text,
    };
    !rest.contains([':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Function:`, `Alias:`, `Env:`, provider names and streams are no files.
    #[test]
    fn only_paths_of_the_file_system_are_paths() {
        for good in ["C:\\Orders\\a.csv", "c:/x", "\\\\server\\share\\a", "a\\b.csv", "/srv/a", ""]
        {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "Function:\\Invoke-Step",
            "alias:x",
            "Env:\\PATH",
            "C:relative",
            "C:\\a.txt:stream",
            "Microsoft.PowerShell.Core\\Function::x",
            "é:\\x",
            "C:\\a\0",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    /// The second lock: a cmdlet that is not in the runtime's list fails there.
    #[test]
    fn the_runtime_knows_the_same_cmdlets() {
        let runtime = include_str!("../../../templates/runtime/edge/colophon_edge.ps1");
        let list =
            runtime.split_once("$EdgeAllowed = @(").and_then(|(_, rest)| rest.split_once("\n)"));
        let lines = list.map_or("", |(list, _)| list).lines();
        let known: Vec<_> = lines.filter_map(|line| line.split('\'').nth(1)).collect();
        assert_eq!(known, allowed().collect::<Vec<_>>());
    }

    #[test]
    fn the_list_is_sorted_and_runs_no_code() {
        let names: Vec<_> = allowed().collect();
        assert!(names.is_sorted());
        for word in
            ["Invoke-Expression", "Invoke-Command", "Start-Process", "Set-Alias", "Add-Type"]
        {
            assert!(!names.contains(&word), "{word}");
        }
    }
}
