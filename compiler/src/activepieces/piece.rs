//! PIECE steps: those that the runtime has, and what of them it does not.

use serde_json::Value;

use super::read::{Here, Reader, spells_out};
use super::trigger::short;
use crate::builder::secrets::{has_userinfo, is_secret_header};
use crate::plan::activepieces::Work;
use crate::problem::Pointer;

/// Actions of the runtime, as `piece/action` without `@activepieces/piece-`. The runtime has a table of
/// the same names; a test compares them.
const KNOWN: [&str; 38] = [
    "csv/convert_csv_to_json",
    "csv/convert_json_to_csv",
    "data-mapper/advanced_mapping",
    "date-helper/add_subtract_date",
    "date-helper/date_difference",
    "date-helper/extract_date_parts",
    "date-helper/format_date",
    "date-helper/get_current_date",
    "delay/delayFor",
    "delay/delay_until",
    "forms/return_response",
    "gmail/send_email",
    "http/return_response",
    "http/send_request",
    "json/convertJsonToText",
    "json/convertTextToJson",
    "json/convert_json_to_text",
    "json/convert_text_to_json",
    "math-helper/addition_math",
    "math-helper/division_math",
    "math-helper/generateRandom_math",
    "math-helper/modulo_math",
    "math-helper/multiplication_math",
    "math-helper/subtraction_math",
    "store/add_to_list",
    "store/append",
    "store/get",
    "store/put",
    "store/remove_from_list",
    "store/remove_value",
    "subflows/returnResponse",
    "text-helper/concat",
    "text-helper/defaultValue",
    "text-helper/find",
    "text-helper/find_all",
    "text-helper/replace",
    "text-helper/split",
    "webhook/return_response",
];

/// The action that signs in with a connection.
const SIGNS_IN: &str = "gmail/send_email";

/// The pause up to which the runtime waits by itself, in milliseconds, as the piece does.
const LONGEST_WAIT: f64 = 10_000.0;

/// Reads the settings of a PIECE step.
pub(super) fn read(
    settings: &Value,
    at: &Pointer,
    step: &str,
    reader: &mut Reader<'_>,
) -> Option<Work> {
    let text = |name: &str| settings.get(name).and_then(Value::as_str).unwrap_or_default();
    let action = short(text("pieceName"), text("actionName"));
    let known = KNOWN.iter().find(|known| **known == action);
    let official = text("pieceName").starts_with("@activepieces/piece-");
    let Some(known) = known.filter(|_| official) else {
        report_unknown(settings, at, step, reader);
        return None;
    };
    let place = at.key("input");
    let input = settings.get("input");
    match *known {
        "http/send_request" => check_request(input, &place, step, reader),
        "gmail/send_email" => check_mail(input, &place, step, reader),
        "delay/delayFor" | "delay/delay_until" if reader.loops > 0 => {
            check_delay(known, input, &place, step, reader);
        }
        _ => {}
    }
    let here = Here { step, connections: *known == "http/send_request" };
    let mut input = input.cloned().unwrap_or_default();
    let auth = input.as_object_mut().and_then(|members| members.remove("auth"));
    let auth = auth.filter(|_| *known == SIGNS_IN).map(|auth| {
        let at = place.key("auth");
        if spells_out(&auth) {
            reader.report("E_PLAINTEXT_SECRET", &at, step, "a connection is expected here");
        }
        reader.value(&auth, &at, Here { step, connections: true })
    });
    let input = reader.input(Some(&input), &place, here);
    Some(Work::Piece { action: known, input, auth })
}

fn report_unknown(settings: &Value, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    let shown = |name: &str| -> String {
        let text = settings.get(name).and_then(Value::as_str).unwrap_or("(none)");
        text.chars().take(80).collect()
    };
    let detail = format!(
        "the action `{}` of `{}` {} is not compiled; these are: {}",
        shown("actionName"),
        shown("pieceName"),
        shown("pieceVersion"),
        KNOWN.join(", ")
    );
    reader.report("E_AP_PIECE_UNSUPPORTED", at, step, detail);
}

/// What of `send_request` the runtime does not do, and what no flow may hold.
fn check_request(input: Option<&Value>, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    let Some(input) = input else { return };
    for name in ["use_proxy", "response_to_file"] {
        if input.get(name) == Some(&Value::Bool(true)) {
            let detail = "this property of an HTTP request is not compiled: switch it off";
            reader.report("E_AP_PROP_UNSUPPORTED", &at.key(name), step, detail);
        }
    }
    let fields = input.pointer("/body/data").and_then(Value::as_array);
    for (index, field) in fields.into_iter().flatten().enumerate() {
        if field.get("fieldType").and_then(Value::as_str) == Some("file") {
            let at = at.key("body").key("data").index(index);
            let detail = "files in a form are not compiled; text fields are";
            reader.report("E_AP_PROP_UNSUPPORTED", &at, step, detail);
        }
    }
    let headers = input.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        if is_secret_header(name) && spells_out(value) {
            let detail = "a secret is written out here; use a connection";
            reader.report("E_PLAINTEXT_SECRET", &at.key("headers").key(name), step, detail);
        }
    }
    check_url(input.get("url").and_then(Value::as_str), &at.key("url"), step, reader);
}

fn check_mail(input: Option<&Value>, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    for name in ["attachment", "attachments", "in_reply_to"] {
        let empty = |value: &Value| {
            value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty)
        };
        if input.and_then(|input| input.get(name)).is_some_and(|value| !empty(value)) {
            let detail = "this property of a mail is not compiled: leave it empty";
            reader.report("E_AP_PROP_UNSUPPORTED", &at.key(name), step, detail);
        }
    }
}

fn check_url(url: Option<&str>, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    let Some(url) = url.map(str::trim) else { return };
    let fixed = url.split("{{").next().unwrap_or_default();
    let whole = fixed.len() == url.len();
    let web = ["http://", "https://"].iter().any(|scheme| {
        let length = fixed.len().min(scheme.len());
        fixed.is_char_boundary(length) && fixed[..length].eq_ignore_ascii_case(&scheme[..length])
    });
    if !web || (whole && !fixed.contains("://")) {
        let detail = "an address begins with http:// or https://";
        reader.report("E_URL_SCHEME", at, step, detail);
    }
    if has_userinfo(fixed) {
        let detail = "a name and password are written into the address; use a connection";
        reader.report("E_PLAINTEXT_SECRET", at, step, detail);
    }
}

/// A run cannot stop in the middle of a loop, so a pause there must be one that is waited for.
fn check_delay(
    action: &str,
    input: Option<&Value>,
    at: &Pointer,
    step: &str,
    reader: &mut Reader<'_>,
) {
    let amount = input.and_then(|input| input.get("delayFor"));
    let amount = amount.and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
    let unit = input.and_then(|input| input.get("unit")?.as_str()).unwrap_or("seconds");
    let unit = match unit {
        "seconds" => 1_000.0,
        "minutes" => 60_000.0,
        "hours" => 3_600_000.0,
        _ => 86_400_000.0,
    };
    let short = action == "delay/delayFor" && amount.is_some_and(|n| n * unit <= LONGEST_WAIT);
    if !short {
        let detail = "a pause in a loop must be one of at most 10 seconds, written as a number: a \
                      longer one stops the run, and a run cannot stop inside a loop";
        reader.report("E_AP_DELAY_IN_LOOP", at, step, detail);
    }
}
