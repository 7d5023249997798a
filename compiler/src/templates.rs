//! The template set: parsed once, deny-by-default, named by one digest.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use colophon_model::{Artifact, ArtifactPath, Digest, FileMode};
use tera::{Context, Delimiters, Kwargs, State, Tera, TeraResult, Value};

use crate::overrides::{self, TemplateFiles, TemplateProblem};
use crate::texts::Rendered;
use crate::{Error, activepieces, cloud, edge, langflow, literal};

/// A file: its name, and its text. Those built into the program are `'static`.
pub(crate) type Source<'a> = (&'static str, &'a str);

/// Templates by name.
const TEMPLATES: &[&[Source<'static>]] =
    &[cloud::TEMPLATES, edge::TEMPLATES, langflow::TEMPLATES, activepieces::TEMPLATES];

/// Files that go into artifacts as they stand, by their path there.
const STATIC: &[&[Source<'static>]] = &[
    cloud::RUNTIME,
    edge::RUNTIME,
    langflow::RUNTIME,
    activepieces::RUNTIME,
    crate::bootstrap::FILES,
];

/// Every template, ready to render from any thread.
pub(crate) struct Templates {
    engine: Tera,
    /// What the templates say by themselves, all of them.
    fixed: String,
    digest: Digest,
    /// Names of the operator's templates.
    own: BTreeSet<String>,
    /// The operator's files that are copied as they stand, by the path of the built-in one.
    statics: BTreeMap<&'static str, String>,
    /// Every file that is copied as it stands, by the path of the built-in one.
    copies: BTreeMap<&'static str, Artifact>,
}

thread_local! {
    /// The texts that filters wrote since a rendering began on this thread. A filter has no other way
    /// to tell the one who renders.
    static PASSED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Templates {
    /// Parses the built-in templates, and lays an operator's files over them.
    pub(crate) fn new(files: &TemplateFiles) -> Result<Self, Error> {
        let built_in = |lists: &[&'static [Source<'static>]]| -> BTreeMap<&str, &str> {
            lists.iter().copied().flatten().copied().collect()
        };
        let (mut templates, mut statics) = (built_in(TEMPLATES), built_in(STATIC));
        let names: Vec<_> = templates.keys().copied().collect();
        let paths: Vec<_> = STATIC.iter().copied().flatten().map(|(path, _)| *path).collect();
        let own = overrides::sort(files, &names, &paths).map_err(Error::Overrides)?;
        templates.extend(own.templates.iter().copied());
        statics.extend(own.statics.iter().copied());
        let mut engine = engine()?;
        engine.add_raw_templates(templates.clone()).map_err(|error| match files.len() {
            0 => Error::Template(error),
            _ => Error::Overrides(vec![together(files, &error)]),
        })?;
        let fixed = templates.values().copied().map(without_tags).collect();
        let copy = |(path, text): (&&'static str, &&str)| (*path, as_it_stands(text));
        let copies = statics.iter().map(copy).collect();
        let all = templates.into_iter().chain(statics).collect();
        let owned = |(path, text): &Source<'_>| (*path, (*text).to_owned());
        Ok(Self {
            engine,
            fixed,
            digest: digest(all),
            own: own.templates.iter().map(|(name, _)| (*name).to_owned()).collect(),
            statics: own.statics.iter().map(owned).collect(),
            copies,
        })
    }

    /// What a fault of `template` is to be laid to.
    pub(crate) fn blame(&self, template: &str) -> String {
        if self.own.contains(template) {
            format!("the operator's template `{template}` failed, not the flow: ")
        } else {
            String::new()
        }
    }

    /// The operator's file in place of the built-in one at `path`.
    pub(crate) fn replaced(&self, path: &ArtifactPath) -> Option<&str> {
        self.statics.get(path.as_str()).map(String::as_str)
    }

    /// The built-in file at `path`, which is `text`, or the operator's in its place: hashed once for all builds.
    pub(crate) fn copy(&self, path: &ArtifactPath, text: &str) -> Artifact {
        self.copies.get(path.as_str()).cloned().unwrap_or_else(|| as_it_stands(text))
    }

    /// Digest of every template and static file.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Renders `template`; the message of a failure has its causes.
    pub(crate) fn render(&self, template: &str, context: &Context) -> Result<Rendered<'_>, String> {
        PASSED.take();
        let source = self.engine.render(template, context).map_err(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
            causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        })?;
        Ok(Rendered { source, passed: PASSED.take(), fixed: &self.fixed })
    }
}

fn as_it_stands(text: &str) -> Artifact {
    Artifact::new(FileMode::Regular, text.as_bytes().to_vec())
}

/// What a template says by itself: its text outside of tags.
fn without_tags(template: &str) -> String {
    let tags = [("<<", ">>"), ("<%", "%>"), ("<#", "#>")];
    let mut fixed = String::new();
    let mut rest = template;
    while let Some((at, end)) =
        tags.iter().filter_map(|(begin, end)| Some((rest.find(begin)?, end))).min()
    {
        fixed.push_str(&rest[..at]);
        // Keeps what stood on both sides of a tag from becoming one text.
        fixed.push('\n');
        rest = rest[at..].split_once(end).map_or("", |(_, rest)| rest);
    }
    fixed + rest
}

/// A fault that shows only when the templates are taken together, such as an include of nothing.
fn together(files: &TemplateFiles, error: &tera::Error) -> TemplateProblem {
    let text = error.to_string();
    let file = files.keys().find(|file| text.contains(file.as_str()));
    let file = file.or_else(|| files.keys().next()).cloned().unwrap_or_default();
    TemplateProblem { file, line: None, detail: text }
}

/// BLAKE3 over the files in order of their names, each name and text preceded by its length as a
/// little-endian `u64`.
fn digest(mut files: Vec<(&str, &str)>) -> Digest {
    files.sort_unstable();
    let mut bytes = Vec::new();
    for part in files.iter().flat_map(|(name, text)| [name, text]) {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bytes)
}

/// An engine in which text reaches the output through `lit` or `ident` only. The delimiters differ
/// from tera's own because flows use `{{ }}` for references.
pub(crate) fn engine() -> TeraResult<Tera> {
    let mut engine = Tera::new();
    engine.set_delimiters(Delimiters {
        block_start: "<%".into(),
        block_end: "%>".into(),
        variable_start: "<<".into(),
        variable_end: ">>".into(),
        comment_start: "<#".into(),
        comment_end: "#>".into(),
    })?;
    engine.autoescape_on([""]);
    engine.set_escape_fn(deny);
    engine.register_filter::<_, &Value, _>("lit", lit);
    engine.register_filter::<_, &Value, _>("lit_ahk", lit_ahk);
    engine.register_filter::<_, &Value, _>("lit_ps1", lit_ps1);
    engine.register_filter::<_, &Value, _>("ident", ident);
    engine.register_filter::<_, &Value, _>("safe", no_safe);
    Ok(engine)
}

fn deny(text: &str, _: &mut dyn io::Write) -> io::Result<()> {
    Err(io::Error::other(format!("text reached code without a filter: {text:?}")))
}

/// Any value as a Python literal.
fn lit(value: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    if let Some(text) = value.as_str() {
        // Most are.
        PASSED.with_borrow_mut(|passed| passed.push(text.to_owned()));
        return Ok(Value::safe_string(&literal::python_text(text)));
    }
    let json = passed(value)?;
    Ok(Value::safe_string(&literal::python(&json)))
}

/// Texts, integers, lists and objects as an AutoHotkey literal.
fn lit_ahk(value: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    let literal = literal::autohotkey(&passed(value)?).map_err(tera::Error::message)?;
    Ok(Value::safe_string(&literal))
}

/// Any value as a PowerShell literal.
fn lit_ps1(value: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    let literal = literal::powershell(&passed(value)?).map_err(tera::Error::message)?;
    Ok(Value::safe_string(&literal))
}

/// A value that is there, whose texts are counted from here on: an undefined one would be written as
/// null.
fn passed(value: &Value) -> TeraResult<serde_json::Value> {
    if value.is_undefined() {
        return Err(tera::Error::message("a literal of an undefined variable"));
    }
    let json = serde_json::to_value(value).map_err(|e| tera::Error::message(e.to_string()))?;
    PASSED.with_borrow_mut(|passed| literal::texts(&json, passed));
    Ok(json)
}

/// A text that already is an identifier or a dotted module name, as it stands.
fn ident(value: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    match value.as_str() {
        Some(text) if text.split('.').all(is_identifier) => Ok(Value::safe_string(text)),
        _ => Err(tera::Error::message("`ident` of something that is no identifier")),
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Takes the place of tera's filter that lets text through as it stands.
fn no_safe(_: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    Err(tera::Error::message("`safe` is not allowed; use `lit` or `ident`"))
}

/// A context from names and values.
pub(crate) fn context<const N: usize>(members: [(&'static str, serde_json::Value); N]) -> Context {
    let mut context = Context::new();
    for (name, value) in members {
        context.insert(Cow::Borrowed(name), &value);
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, value: serde_json::Value) -> Result<String, String> {
        let mut engine = engine().unwrap();
        engine.add_raw_template("t.py", template).map_err(|e| e.to_string())?;
        let (own, statics, copies) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let (fixed, digest) = (String::new(), Digest::of(b""));
        let templates = Templates { engine, fixed, digest, own, statics, copies };
        templates.render("t.py", &context([("x", value)])).map(|rendered| rendered.source)
    }

    /// The rule that keeps flows out of code: forgetting a filter is an error, not an injection.
    #[test]
    fn text_without_a_filter_does_not_render() {
        for (template, value) in [
            ("<< x >>", json!("os.system('id')")),
            ("<< x >>", json!("harmless")),
            ("<< x.y >>", json!({"y": "a"})),
            ("<% for i in x %><< i >><% endfor %>", json!(["a"])),
            ("<< x | upper >>", json!("a")),
            ("<< x | safe >>", json!("a")),
            ("<< y | lit >>", json!("a")),
            ("<< x.z | lit >>", json!({"y": "a"})),
            ("<< y >>", json!("a")),
            ("<< x | ident >>", json!("a b")),
            ("<< x | ident >>", json!("a()")),
            ("<< x | ident >>", json!("a..b")),
            ("<< x | ident >>", json!("")),
            ("<< x | ident >>", json!(1)),
        ] {
            assert!(render(template, value.clone()).is_err(), "{template} {value}");
        }
    }

    /// A filter at the end, so that nothing can rewrite a literal after it was made, and the one of the
    /// language that the template is in.
    #[test]
    fn templates_write_through_lit_or_ident_only() {
        for (name, text) in TEMPLATES.iter().copied().flatten() {
            assert_eq!(overrides::unfiltered(name, text), [], "{name}");
        }
    }

    #[test]
    fn filtered_values_render() {
        assert_eq!(
            render("<< x | lit >>", json!({"b": [1, "é"], "a": null})).unwrap(),
            r#"{"a": None, "b": [1, "\xe9"]}"#
        );
        assert_eq!(
            render("<< x | ident >>", json!("app.flows.acme_inc")).unwrap(),
            "app.flows.acme_inc"
        );
        assert_eq!(render("{{ x }} <# << x >> #>", json!("a")).unwrap(), "{{ x }} ");
    }

    /// What the text gate compares with.
    #[test]
    fn a_rendering_tells_what_it_was_given() {
        let template = "A = << x | lit >>\n<% if x %>B = << x.b | lit >> + \"c\"<% endif %>";
        let mut engine = engine().unwrap();
        engine.add_raw_template("t.py", template).unwrap();
        let fixed = without_tags(template);
        assert_eq!(fixed, "A = \n\n\nB = \n + \"c\"\n");
        let (own, statics, copies) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let templates = Templates { engine, fixed, digest: Digest::of(b""), own, statics, copies };
        for text in ["d", "e"] {
            let context = context([("x", json!({"b": [text, 1]}))]);
            let rendered = templates.render("t.py", &context).unwrap();
            assert_eq!(rendered.passed, ["b", text, text]);
            let module = ruff_python_parser::parse_module(&rendered.source).unwrap();
            rendered.check(module.syntax()).unwrap();
        }
    }

    #[test]
    fn the_digest_covers_names_and_texts_with_their_lengths() {
        let sets: [&[Source]; 4] =
            [&[("a", "bc")], &[("ab", "c")], &[("a", "b"), ("c", "")], &[("a", "bd")]];
        let digests: std::collections::BTreeSet<_> =
            sets.iter().map(|set| digest(set.to_vec())).collect();
        assert_eq!(digests.len(), sets.len());
        assert_eq!(digest(vec![("a", "1"), ("b", "2")]), digest(vec![("b", "2"), ("a", "1")]));
    }
}
