//! The document as a page: one part for each group, one entry for each operation. No script, no outside file.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use colophon_model::Sha256;
use data_encoding::BASE64;
use serde_json::Value;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}\
code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;padding:.5rem;border:1px solid #8886}\
summary{cursor:pointer;padding:.25rem 0}summary b{display:inline-block;width:4.5rem;text-transform:uppercase}\
details details{margin-left:1rem}table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .75rem .15rem 0;vertical-align:top}";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = BASE64.encode(Sha256::of(STYLE.as_bytes()).as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The page of a document.
pub(super) fn show(document: &str) -> Response {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(page(&document))).into_response()
}

fn page(document: &Value) -> String {
    let title =
        format!("{} {}", text(&document["info"]["title"]), text(&document["info"]["version"]));
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p>{} <a href=\"/v1/openapi.json\">openapi.json</a></p>",
        text(&document["info"]["description"]),
    );
    let operations = operations(document);
    let mut tags: Vec<&Value> = Vec::new();
    for (_, _, operation) in &operations {
        if !tags.contains(&&operation["tags"][0]) {
            tags.push(&operation["tags"][0]);
        }
    }
    for tag in tags {
        let _ = write!(html, "<h2>{}</h2>", text(tag));
        for (path, method, operation) in operations.iter().filter(|(_, _, o)| o["tags"][0] == *tag)
        {
            entry(&mut html, document, (path, method), operation);
        }
    }
    html.push_str("<h2>Forms</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(html, "<details id=\"{name}\"><summary>{name}</summary>");
        json(&mut html, schema);
        html.push_str("</details>");
    }
    html
}

/// Path, method and operation of each.
fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (path, method, operation))
        })
        .collect()
}

fn entry(html: &mut String, document: &Value, (path, method): (&str, &str), operation: &Value) {
    let _ = write!(
        html,
        "<details><summary><b>{}</b><code>{}</code> {}</summary><p>{}</p>",
        escaped(method),
        escaped(path),
        text(&operation["summary"]),
        text(&operation["description"]),
    );
    parameters(html, operation);
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(html, "<p>Body: {} {}</p>", escaped(media), form(&content["schema"]));
        if !content["example"].is_null() {
            json(html, &content["example"]);
        }
    }
    html.push_str("<table>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let name = answer["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let answer = name.map_or(answer, |name| &document["components"]["responses"][name]);
        let about = text(&answer["description"]);
        let _ = write!(html, "<tr><th>{}<td>{about}<td>", escaped(status));
        for (media, content) in answer["content"].as_object().into_iter().flatten() {
            let _ = write!(html, "{} {}", escaped(media), form(&content["schema"]));
        }
    }
    html.push_str("</table></details>");
}

fn parameters(html: &mut String, operation: &Value) {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if parameters.is_empty() {
        return;
    }
    html.push_str("<table>");
    for parameter in parameters {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let about = text(&parameter["description"]);
        let _ = write!(html, "<tr><td><code>{name}</code><td>{place}<td>{about}");
    }
    html.push_str("</table>");
}

/// A link to a form, or nothing.
fn form(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.map(escaped).map_or_else(String::new, |name| format!("<a href=\"#{name}\">{name}</a>"))
}

fn json(html: &mut String, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = write!(html, "<pre>{}</pre>", escaped(&text));
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes into the document from a flow of ours must not become markup one day.
    #[test]
    fn nothing_of_the_document_is_markup() {
        let hostile = "<script>\"&'</script>";
        let document = serde_json::json!({
            "info": {"title": hostile, "version": hostile, "description": hostile},
            "paths": {hostile: {"get": {"tags": [hostile], "summary": hostile,
                "parameters": [{"name": hostile, "in": hostile}],
                "responses": {"200": {"description": hostile}}}}},
            "components": {"schemas": {hostile: {"description": hostile}}}
        });
        let html = page(&document);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;"));
    }
}
