//! An operator's own templates: which names they may have, and what is checked before any flow is
//! rendered with them.

use std::collections::BTreeMap;
use std::fmt;

use crate::templates::{Source, engine};
use crate::{bootstrap, edge};

/// An operator's files by their name below the folder, such as `cloud/flow.py.tera`; the names are
/// those below `templates/` of the sources.
pub type TemplateFiles = BTreeMap<String, String>;

/// What is wrong with an operator's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The file's name below the folder.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.detail),
            None => write!(f, "{}: {}", self.file, self.detail),
        }
    }
}

/// An operator's files, sorted by what they stand for. Each is sound by itself.
#[derive(Debug, Default)]
pub(crate) struct Overrides<'a> {
    /// Templates, those that others include among them.
    pub(crate) templates: Vec<(&'a str, &'a str)>,
    /// Files that are copied as they stand, by the path that the built-in one has.
    pub(crate) statics: Vec<Source<'a>>,
}

/// Sorts and checks `files`; all problems at once.
pub(crate) fn sort<'a>(
    files: &'a TemplateFiles,
    templates: &[&str],
    statics: &[&'static str],
) -> Result<Overrides<'a>, Vec<TemplateProblem>> {
    let (mut sorted, mut problems) = (Overrides::default(), Vec::new());
    for (name, text) in files {
        if extension(name) == Some("tera") {
            let known = templates.contains(&name.as_str());
            if !known && !is_included(name, files) {
                problems.push(unknown(name, templates));
            }
            problems.extend(faults(name, text));
            sorted.templates.push((name, text));
        } else if let Some(path) = path_of(name, statics) {
            problems.extend(syntax(name, text));
            sorted.statics.push((path, text));
        } else {
            problems.push(unknown(name, templates));
        }
    }
    if problems.is_empty() { Ok(sorted) } else { Err(problems) }
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// The path that a file of the folder `templates/` has where it is copied to.
pub(crate) fn path_of(name: &str, statics: &[&'static str]) -> Option<&'static str> {
    let find = |wanted: &dyn Fn(&str) -> bool| statics.iter().copied().find(|path| wanted(path));
    if let Some(file) = name.strip_prefix("bootstrap/") {
        let planted = |path: &str| bootstrap::FILES.iter().any(|(at, _)| *at == path);
        return find(&|path| planted(path) && path.rsplit('/').next() == Some(file));
    }
    if let Some(file) = name.strip_prefix("runtime/edge/") {
        let bundled = |path: &str| edge::RUNTIME.iter().any(|(at, _)| *at == path);
        return find(&|path| bundled(path) && path == file);
    }
    let file = name.strip_prefix("runtime/")?;
    find(&|path| path.strip_prefix("app/") == Some(file))
}

/// Whether another of the operator's templates includes the template `name`.
fn is_included(name: &str, files: &TemplateFiles) -> bool {
    let quoted = [format!("\"{name}\""), format!("'{name}'")];
    let mut others = files.iter().filter(|(file, _)| file.as_str() != name);
    others.any(|(_, text)| quoted.iter().any(|quoted| text.contains(quoted)))
}

fn unknown(name: &str, templates: &[&str]) -> TemplateProblem {
    let file = name.rsplit('/').next().unwrap_or(name);
    let like = templates.iter().filter(|known| shared(known, name) >= file.len().min(6));
    let like = like.max_by_key(|known| shared(known, name));
    let hint = like.map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
    let detail = format!("no template or file has this name, and no template includes it{hint}");
    TemplateProblem { file: name.to_owned(), line: None, detail }
}

/// How many bytes two names share at their beginning and end.
fn shared(a: &str, b: &str) -> usize {
    let begin = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    begin + a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count()
}

/// What is wrong with a template by itself.
fn faults(name: &str, text: &str) -> Vec<TemplateProblem> {
    let problem = |line, detail| TemplateProblem { file: name.to_owned(), line, detail };
    let mut found: Vec<_> = unfiltered(text)
        .into_iter()
        .map(|(line, written)| {
            let detail = format!("`<<{written}>>` must end in the filter `lit` or `ident`");
            problem(Some(line), detail)
        })
        .collect();
    found.extend(blocks_that_rewrite(text).map(|line| {
        problem(Some(line), "a `filter` block could rewrite literals and is not allowed".to_owned())
    }));
    let parsed = engine().and_then(|mut engine| engine.add_raw_template(name, text));
    if let Err(error) = parsed
        && let tera::ErrorKind::SyntaxError(report) = error.kind()
    {
        found.push(problem(Some(report.span().start_line), report.message().to_owned()));
    }
    found
}

/// What a template writes without `lit` or `ident` as its last filter, with the line.
pub(crate) fn unfiltered(text: &str) -> Vec<(usize, String)> {
    let text = without_comments(text);
    let (mut found, mut line, mut rest) = (Vec::new(), 1, text.as_str());
    while let Some((before, after)) = rest.split_once("<<") {
        line += before.matches('\n').count();
        let (written, next) = after.split_once(">>").unwrap_or((after, ""));
        let last = written.trim_end_matches('-').rsplit_once('|').map(|(_, last)| last.trim());
        if !matches!(last, Some("lit" | "ident")) {
            found.push((line, written.to_owned()));
        }
        line += written.matches('\n').count();
        rest = next;
    }
    found
}

fn blocks_that_rewrite(text: &str) -> impl Iterator<Item = usize> {
    let opens = |line: &str| {
        line.split("<%").skip(1).any(|tag| tag.trim_start_matches('-').trim().starts_with("filter"))
    };
    text.lines().enumerate().filter(move |(_, line)| opens(line)).map(|(index, _)| index + 1)
}

/// The template with its comments blanked, line by line.
fn without_comments(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("<#") {
        kept.push_str(before);
        let (comment, next) = after.split_once("#>").unwrap_or((after, ""));
        kept.extend(comment.matches('\n'));
        rest = next;
    }
    kept + rest
}

/// Runtime files are copied without a gate, so their syntax is checked here.
fn syntax(name: &str, text: &str) -> Option<TemplateProblem> {
    let python = extension(name) == Some("py");
    let error = ruff_python_parser::parse_module(text).err().filter(|_| python)?;
    let line = text[..error.location.start().to_usize()].matches('\n').count() + 1;
    Some(TemplateProblem {
        file: name.to_owned(),
        line: Some(line),
        detail: error.error.to_string(),
    })
}
