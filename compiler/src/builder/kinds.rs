//! Reading what each kind of node has of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expr::{Expressions, credential_only, has_reference};
use super::node::{Kind, RawNode};
use super::object::Object;
use super::{router, secrets, steps};
use crate::javascript;
use crate::plan::Ident;
use crate::plan::builder::{
    CloudKind, CodeJs, CredentialRef, HttpRequest, LlmChat, Loop, Part, Region, Template, Trigger,
};
use crate::problem::Pointer;

/// The kinds of node, by their words.
pub(super) const WORDS: [&str; 12] = [
    "trigger.manual",
    "trigger.webhook",
    "trigger.schedule",
    "llm.chat",
    "http.request",
    "data.map",
    "logic.router",
    "logic.loop",
    "code.js",
    "browser.run",
    "desktop.run",
    "shell.powershell",
];

/// Reads the members of the node's kind. None when something necessary is missing or malformed,
/// which then is among the findings.
pub(super) fn read(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<Kind> {
    let kind = match raw.word? {
        "trigger.manual" => CloudKind::Trigger(Trigger::Manual),
        "trigger.webhook" => CloudKind::Trigger(Trigger::Webhook),
        "trigger.schedule" => CloudKind::Trigger(read_schedule(object)?),
        "llm.chat" => CloudKind::LlmChat(read_llm(object, raw)?),
        "http.request" => CloudKind::HttpRequest(read_http(object, raw)?),
        "data.map" => CloudKind::DataMap(read_map(object, raw)?),
        "logic.router" => CloudKind::Router(router::read(object, raw)?),
        "logic.loop" => CloudKind::Loop(read_loop(object, raw)?),
        "code.js" => CloudKind::CodeJs(read_code(object, raw)?),
        word => return steps::read(word, object, raw).map(Kind::Edge),
    };
    Some(Kind::Cloud(kind))
}

/// A reader of templates for the node that `object` is.
pub(super) fn expressions<'o>(
    object: &'o mut Object<'_, '_>,
    raw: &'o mut RawNode,
) -> Expressions<'o, 'o> {
    Expressions::new(&raw.id, object.findings(), &mut raw.uses)
}

fn read_schedule(object: &mut Object<'_, '_>) -> Option<Trigger> {
    let cron = object.text("cron")?;
    let field = |f: &str| f.bytes().all(|b| b.is_ascii_digit() || b"*/,-".contains(&b));
    let fields: Vec<_> = cron.split(' ').collect();
    if fields.len() != 5 || !fields.iter().all(|f| !f.is_empty() && field(f)) {
        object.report(
            "E_SCHEMA",
            "cron",
            "five fields of digits, `*`, `/`, `,` and `-` are expected",
        );
        return None;
    }
    Some(Trigger::Schedule(cron.to_owned()))
}

fn read_llm(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<LlmChat> {
    let model = object.text("model");
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
    if model.is_some_and(|m| !(1..=120).contains(&m.len()) || !m.bytes().all(allowed)) {
        object.report("E_SCHEMA", "model", "1 to 120 letters, digits and `._:/-` are expected");
    }
    let place = object.place().clone();
    let prompt = object.text("prompt");
    let prompt = prompt.map(|p| expressions(object, raw).text(p, &place.key("prompt")));
    let system = object.optional_text("system");
    let system = system.map(|s| expressions(object, raw).text(s, &place.key("system")));
    let temperature = object.optional("temperature").map(|value| {
        let number = value.as_f64().filter(|number| (0.0..=2.0).contains(number));
        if number.is_none() {
            object.report("E_SCHEMA", "temperature", "a number from 0 to 2 is expected");
        }
        number.unwrap_or_default()
    });
    let api_key = object.optional_text("api_key").and_then(|text| {
        let credential = read_secret(object, "api_key", text)?;
        let reference = crate::plan::builder::Reference::Credential(credential.clone());
        raw.uses.push(super::expr::Use { reference, place: place.key("api_key") });
        Some(credential)
    });
    Some(LlmChat { model: model?.to_owned(), system, prompt: prompt?, temperature, api_key })
}

/// A member that holds a secret: a reference to a credential and nothing else.
pub(super) fn read_secret(
    object: &mut Object<'_, '_>,
    name: &str,
    text: &str,
) -> Option<CredentialRef> {
    let credential = credential_only(text);
    if credential.is_none() {
        let detail = "a secret is never written out; use {{credential.<name>}}";
        object.report("E_PLAINTEXT_SECRET", name, detail);
    }
    credential
}

fn read_http(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<HttpRequest> {
    let method = object
        .required("method")
        .map(|_| object.word("method", &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]));
    let url = object.text("url");
    url.inspect(|url| object.line("url", url, 2048));
    let place = object.place().clone();
    let url = url.map(|url| read_url(&mut expressions(object, raw), url, &place.key("url")));
    let headers = read_headers(object, raw);
    let json = object.optional("json").map(|json| {
        let place = place.key("json");
        let mut expressions = expressions(object, raw).with_credentials();
        check_fields(&mut expressions, json, &place);
        expressions.template(json, &place)
    });
    Some(HttpRequest { method: method?, url: url?, headers, json })
}

/// Reads a web address: what is known of it before the run must be `http` or `https`.
pub(super) fn read_url(
    expressions: &mut Expressions<'_, '_>,
    text: &str,
    place: &Pointer,
) -> Template {
    expressions.credentials = true;
    let template = expressions.text(text, place);
    let beginning = match &template {
        Template::Literal(value) => value.as_str().unwrap_or_default(),
        Template::Text(parts) => match parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Reference(_)) | None => return template,
        },
        Template::Reference(_) | Template::List(_) | Template::Object(_) => return template,
    };
    if !beginning.starts_with("http://") && !beginning.starts_with("https://") {
        expressions.report("E_URL_SCHEME", place, "an address begins with http:// or https://");
    }
    if secrets::has_userinfo(beginning) {
        let detail = "an address holds no user name or password; use a header with a credential";
        expressions.report("E_PLAINTEXT_SECRET", place, detail);
    }
    template
}

fn read_headers(object: &mut Object<'_, '_>, raw: &mut RawNode) -> BTreeMap<String, Template> {
    let place = object.place().key("headers");
    let pairs = object.pairs("headers");
    let mut expressions = expressions(object, raw).with_credentials();
    let read = |(name, value): (&String, &Value)| {
        let template = read_header(&mut expressions, name, value, &place.key(name))?;
        Some((name.clone(), template))
    };
    pairs.into_iter().filter_map(read).collect()
}

/// Reads one header of a request.
pub(super) fn read_header(
    expressions: &mut Expressions<'_, '_>,
    name: &str,
    value: &Value,
    place: &Pointer,
) -> Option<Template> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&b);
    if !(1..=128).contains(&name.len()) || !name.bytes().all(token) {
        expressions.report("E_SCHEMA", place, "this is not the name of a header (RFC 9110)");
    }
    let Some(text) = value.as_str() else {
        expressions.report("E_SCHEMA", place, "a text is expected here");
        return None;
    };
    if text.chars().any(char::is_control) {
        let detail = "control characters would end the header";
        expressions.report("E_CONTROL_CHAR", place, detail);
    }
    let template = expressions.text(text, place);
    if secrets::is_secret_header(name) && secrets::spells_out(&template) {
        let detail = "a secret is never written out; use {{credential.<name>}}";
        expressions.report("E_PLAINTEXT_SECRET", place, detail);
    }
    Some(template)
}

/// Looks for fields that are secrets by their name and written out.
fn check_fields(expressions: &mut Expressions<'_, '_>, value: &Value, place: &Pointer) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let here = place.key(name);
                let own = member
                    .as_str()
                    .is_some_and(|text| !text.trim().is_empty() && !has_reference(text));
                if secrets::is_secret_name(name) && (own || member.is_number()) {
                    let detail = "a secret is never written out; use {{credential.<name>}}";
                    expressions.report("E_PLAINTEXT_SECRET", &here, detail);
                }
                check_fields(expressions, member, &here);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_fields(expressions, item, &place.index(index));
            }
        }
        _ => {}
    }
}

fn read_map(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<BTreeMap<String, Template>> {
    let value = object.required("fields")?;
    let place = object.place().key("fields");
    let Some(members) = value.as_object().filter(|members| members.len() <= 128) else {
        object.report("E_SCHEMA", "fields", "an object of at most 128 members is expected");
        return None;
    };
    let mut expressions = expressions(object, raw);
    check_fields(&mut expressions, value, &place);
    let mut fields = BTreeMap::new();
    for (name, member) in members {
        let here = place.key(name);
        if Ident::new(name).is_none() {
            expressions.report("E_IDENT", &here, "a field is named like a node");
        }
        fields.insert(name.clone(), expressions.template(member, &here));
    }
    Some(fields)
}

fn read_code(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<CodeJs> {
    let source = object.text("source")?;
    if source.trim().is_empty() || source.len() > MAX_SOURCE {
        let detail = format!("1 to {MAX_SOURCE} bytes of JavaScript are expected");
        object.report("E_SCHEMA", "source", detail);
    } else if let Err(faults) = javascript::check(source) {
        for fault in faults {
            let code = if fault.is_import() { "E_CODE_DEPENDENCIES" } else { "E_CODE_SYNTAX" };
            object.report(code, "source", fault.to_string());
        }
    }
    let place = object.place().key("input");
    let pairs = object.pairs("input");
    if let Some(value) = object.optional("input") {
        check_fields(&mut expressions(object, raw), value, &place);
    }
    let mut expressions = expressions(object, raw);
    let read = |(name, value): (&String, &Value)| {
        (name.clone(), expressions.template(value, &place.key(name)))
    };
    let input = pairs.into_iter().map(read).collect();
    Some(CodeJs { source: source.to_owned(), input })
}

/// Longest source of a `code.js`, in bytes.
const MAX_SOURCE: usize = 64 << 10;

fn read_loop(object: &mut Object<'_, '_>, raw: &mut RawNode) -> Option<Loop> {
    let place = object.place().clone();
    let items = object.text("items");
    let items = items.map(|text| expressions(object, raw).text(text, &place.key("items")));
    if items.as_ref().is_some_and(|items| !matches!(items, Template::Reference(_))) {
        object.report("E_EXPR", "items", "one reference to a list is expected");
    }
    let max_items = object.integer("max_items", 1..=10_000).unwrap_or(1000);
    let body = object.list("body");
    raw.body = body.iter().map(|id| id.as_str().unwrap_or_default().to_owned()).collect();
    if body.is_empty() {
        object.report("E_SCHEMA", "body", "a loop has at least one node");
    }
    let body = Region { steps: Vec::new() };
    Some(Loop { items: items?, max_items: max_items as u32, body })
}
