//! The templates of the console, and the frame around each page.
//!
//! Every value is escaped for HTML wherever it stands, and there is no way around: `safe` is an error. What is not plain
//! text (highlighted code, drawings) comes as data too, and the template makes the elements.

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

/// A template: its name, and its text.
type Source = (&'static str, &'static str);

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/console/", $name)))),*]
    };
}

const TEMPLATES: &[Source] = sources![
    "agents.html",
    "audit.html",
    "base.html",
    "build.html",
    "code.html",
    "deliveries.html",
    "diff.html",
    "error.html",
    "flows.html",
    "graph.html",
    "health.html",
    "login.html",
    "tenant.html",
    "tenants.html",
    "timeline.html",
    "webhooks.html",
];

/// What every page shows around its content.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Frame {
    /// The title, without the program's name.
    pub title: String,
    /// Whether the operator is logged in.
    pub operator: bool,
    /// Who is logged in, for people; none: nobody.
    pub viewer: Option<String>,
    /// The key that forms carry.
    pub form_key: String,
    /// The tenant that the page is about.
    pub tenant: Option<String>,
    /// Which of the links in the head the page belongs to.
    pub here: &'static str,
    /// The pages above, nearest last.
    pub crumbs: Vec<Link>,
    /// Whether the viewer may read code.
    pub reads_code: bool,
    /// Whether the viewer may read the audit log.
    pub reads_audit: bool,
}

/// A link.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// Where to: a path below `/console`.
    pub href: String,
    /// What it says.
    pub text: String,
}

impl Link {
    /// A link to a path below `/console`.
    pub fn new(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self { href: href.into(), text: text.into() }
    }
}

#[derive(Serialize)]
struct Whole<'a, T> {
    frame: &'a Frame,
    page: &'a T,
}

/// The templates, ready to render from any thread.
pub struct Pages(Tera);

impl Pages {
    /// Parses the templates.
    pub(super) fn new() -> Self {
        let mut engine = Tera::default();
        engine.autoescape_on([""]);
        engine.register_filter::<_, &Value, _>("safe", no_safe);
        engine.add_raw_templates(TEMPLATES.iter().copied()).expect("tests render every template");
        Self(engine)
    }

    /// Renders a page.
    ///
    /// # Errors
    /// When the template asks for what `page` does not have, a defect.
    pub fn render(
        &self,
        template: &str,
        frame: &Frame,
        page: &impl Serialize,
    ) -> Result<String, tera::Error> {
        self.0.render(template, &Context::from_serialize(&Whole { frame, page })?)
    }
}

fn no_safe(_: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    Err(tera::Error::message("`safe` is not possible in pages of the console"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is escaped is only safe as text, or as an attribute in double quotes.
    #[test]
    fn values_stand_in_text_or_in_quotes() {
        for (name, text) in TEMPLATES {
            for (at, _) in text.match_indices("{{") {
                let before = &text[..at];
                let tag = &before[before.rfind(['<', '>']).unwrap_or(0)..];
                let in_tag = tag.starts_with('<');
                let quotes = tag.matches('"').count();
                assert!(
                    !in_tag || quotes % 2 == 1,
                    "{name}: a value in a tag, not in quotes: {tag}"
                );
            }
        }
    }

    /// The policy of the pages allows neither; a browser would drop them without a word.
    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for (name, text) in TEMPLATES {
            for bad in [
                " style=",
                " onclick=",
                " onload=",
                "<style",
                "javascript:",
                "//",
                "|safe",
                "| safe",
            ] {
                assert!(!text.contains(bad), "{name}: {bad}");
            }
            assert!(!text.contains("<script>"), "{name}");
        }
    }

    /// An address is a path of ours, whole or up to a value.
    #[test]
    fn links_stay_below_the_console() {
        for (name, text) in TEMPLATES {
            for attribute in ["href=\"", "action=\"", "src=\""] {
                for (at, _) in text.match_indices(attribute) {
                    let to = &text[at + attribute.len()..];
                    let ours = ["/console", "#", "{{ "].iter().any(|begin| to.starts_with(begin));
                    assert!(ours, "{name}: {}", &to[..to.len().min(40)]);
                    if to.starts_with("{{ ") {
                        let value = &to[3..to.find("}}").unwrap()];
                        assert!(value.contains("href"), "{name}: {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn text_is_escaped_and_safe_is_refused() {
        let pages = Pages::new();
        let frame = Frame { title: "<b>&\"'".to_owned(), ..Frame::default() };
        let told = serde_json::json!({"detail": "<script>alert(1)</script>", "hint": null});
        let html = pages.render("error.html", &frame, &told).unwrap();
        assert!(html.contains("&lt;b&gt;&amp;&quot;&#39;"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;"), "{html}");
        let mut engine = pages.0;
        engine.add_raw_template("bad.html", "{{ x | safe }}").unwrap();
        let mut context = Context::new();
        context.insert("x", "<i>");
        assert!(engine.render("bad.html", &context).is_err());
    }
}
