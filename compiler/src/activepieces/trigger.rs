//! Triggers: what starts a flow. Its payload is the run's input; when a schedule runs is told to the
//! operator.

use serde_json::Value;

use super::read::Reader;
use crate::plan::activepieces::{Schedule, Trigger};
use crate::problem::Pointer;

/// Triggers that are compiled: piece, trigger, kind.
const KNOWN: [(&str, &str, &str); 11] = [
    ("@activepieces/piece-webhook", "catch_webhook", "webhook"),
    ("@activepieces/piece-schedule", "every_x_minutes", "schedule"),
    ("@activepieces/piece-schedule", "every_hour", "schedule"),
    ("@activepieces/piece-schedule", "every_day", "schedule"),
    ("@activepieces/piece-schedule", "every_week", "schedule"),
    ("@activepieces/piece-schedule", "every_month", "schedule"),
    ("@activepieces/piece-schedule", "cron_expression", "schedule"),
    ("@activepieces/piece-forms", "form_submission", "form"),
    ("@activepieces/piece-forms", "chat_submission", "chat"),
    ("@activepieces/piece-manual-trigger", "manual_trigger", "manual"),
    ("@activepieces/piece-subflows", "callableFlow", "callable"),
];

/// Reads the trigger.
pub(super) fn read(step: &Value, at: &Pointer, reader: &mut Reader<'_>) -> Option<Trigger> {
    let text = |pointer| step.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = text("/name");
    if text("/type") == "EMPTY" {
        let detail = "the flow has no trigger yet: choose one in ActivePieces, such as a webhook or \
                      a schedule";
        reader.report("E_AP_EMPTY_TRIGGER", at, name, detail);
        return None;
    }
    let (piece, trigger) = (text("/settings/pieceName"), text("/settings/triggerName"));
    let known = KNOWN.iter().find(|known| (known.0, known.1) == (piece, trigger));
    let Some((_, _, kind)) = known else {
        report_unknown(step, at, name, reader);
        return None;
    };
    let input = step.pointer("/settings/input").unwrap_or(&Value::Null);
    let schedule = match *kind {
        "schedule" => {
            let schedule = read_schedule(trigger, input);
            if schedule.is_none() {
                let detail = "the time is not set, is no number in its range, or is an expression";
                let at = at.key("settings").key("input");
                reader.report("E_AP_SCHEDULE", &at, name, detail);
            }
            Some(schedule?)
        }
        _ => None,
    };
    Some(Trigger { name: name.to_owned(), kind, schedule })
}

fn report_unknown(step: &Value, at: &Pointer, name: &str, reader: &mut Reader<'_>) {
    let shown = |pointer: &str| -> String {
        let text = step.pointer(pointer).and_then(Value::as_str).unwrap_or("(none)");
        text.chars().take(80).collect()
    };
    let known: Vec<_> = KNOWN.iter().map(|(piece, trigger, _)| short(piece, trigger)).collect();
    let detail = format!(
        "the trigger `{}` of `{}` is not compiled: {} are",
        shown("/settings/triggerName"),
        shown("/settings/pieceName"),
        known.join(", ")
    );
    reader.report("E_AP_TRIGGER_UNSUPPORTED", at, name, detail);
}

/// A piece and what it does, without what all names begin with.
pub(super) fn short(piece: &str, action: &str) -> String {
    format!("{}/{action}", piece.trim_start_matches("@activepieces/piece-"))
}

/// The cron expression that the trigger itself makes of its properties.
fn read_schedule(trigger: &str, input: &Value) -> Option<Schedule> {
    let number = |name: &str, most: u64| {
        let value = input.get(name)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        (number <= most).then_some(number)
    };
    let weekends = input.get("run_on_weekends") == Some(&Value::Bool(true));
    let days = if weekends { "*" } else { "1-5" };
    let hour = || number("hour_of_the_day", 23);
    let cron = match trigger {
        "every_x_minutes" => format!("*/{} * * * *", number("minutes", 59).filter(|n| *n > 0)?),
        "every_hour" => format!("0 * * * {days}"),
        "every_day" => format!("0 {} * * {days}", hour()?),
        "every_week" => format!("0 {} * * {}", hour()?, number("day_of_the_week", 6)?),
        "every_month" => {
            let day = number("day_of_the_month", 31).filter(|day| *day > 0)?;
            format!("0 {} {day} * *", hour()?)
        }
        _ => input.get("cronExpression")?.as_str().filter(|cron| is_cron(cron))?.to_owned(),
    };
    let zone = input.get("timezone").and_then(Value::as_str).unwrap_or("UTC");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let fits = !zone.is_empty() && zone.len() <= 64 && zone.chars().all(plain);
    fits.then(|| Schedule { cron, timezone: zone.to_owned() })
}

fn is_cron(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ,*/-?#".contains(c);
    text.len() <= 200 && text.chars().all(plain) && text.split_whitespace().count() == 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cron(trigger: &str, input: &Value) -> Option<String> {
        read_schedule(trigger, input).map(|s| format!("{} {}", s.cron, s.timezone))
    }

    /// As the pieces of @activepieces/piece-schedule 0.1.5 set their schedules.
    #[test]
    fn schedules_are_cron_expressions() {
        let zone = "Europe/Berlin";
        for (trigger, input, want) in [
            ("every_x_minutes", json!({"minutes": 5}), "*/5 * * * * UTC"),
            ("every_hour", json!({"run_on_weekends": true}), "0 * * * * UTC"),
            ("every_hour", json!({}), "0 * * * 1-5 UTC"),
            (
                "every_day",
                json!({"hour_of_the_day": "8", "timezone": zone}),
                "0 8 * * 1-5 Europe/Berlin",
            ),
            ("every_week", json!({"hour_of_the_day": 0, "day_of_the_week": 6}), "0 0 * * 6 UTC"),
            (
                "every_month",
                json!({"hour_of_the_day": 23, "day_of_the_month": 1}),
                "0 23 1 * * UTC",
            ),
            ("cron_expression", json!({"cronExpression": "0/1 * * * *"}), "0/1 * * * * UTC"),
        ] {
            assert_eq!(cron(trigger, &input).as_deref(), Some(want), "{trigger}");
        }
        for (trigger, input) in [
            ("every_x_minutes", json!({"minutes": 0})),
            ("every_x_minutes", json!({"minutes": "{{x}}"})),
            ("every_day", json!({"hour_of_the_day": 24})),
            ("every_day", json!({"hour_of_the_day": 1, "timezone": "a b"})),
            ("every_month", json!({"hour_of_the_day": 1, "day_of_the_month": 0})),
            ("cron_expression", json!({"cronExpression": "* * * *"})),
            ("cron_expression", json!({"cronExpression": "* * * * \n"})),
            ("cron_expression", json!({})),
        ] {
            assert_eq!(cron(trigger, &input), None, "{trigger} {input}");
        }
    }
}
