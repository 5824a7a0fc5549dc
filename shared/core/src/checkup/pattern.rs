//! Whether an EventBridge pattern matches an event, as far as forwarding rules need it (EventBridge User Guide,
//! "Comparison operators for use in event patterns"): exact values, `prefix`, `suffix`, `wildcard`, `exists` and
//! `anything-but` of plain values. What else there is can't be told here.

use serde_json::{Map, Value};

use crate::wildcard;

/// `None` when the pattern uses what is not known here and nothing else decides.
pub(super) fn matches(pattern: &Value, event: &Value) -> Option<bool> {
    let pattern = pattern.as_object()?;
    let mut all = Some(true);
    for (key, wanted) in pattern {
        let found = event.get(key);
        let matched = match wanted.as_array() {
            Some(choices) if key != "$or" => any(choices, found),
            Some(_) => None,
            None => matches(wanted, found.unwrap_or(&Value::Null)),
        };
        match matched {
            Some(false) => return Some(false),
            Some(true) => {}
            None => all = None,
        }
    }
    all
}

fn any(choices: &[Value], found: Option<&Value>) -> Option<bool> {
    let mut none = Some(false);
    for choice in choices {
        let matched = match choice.as_object() {
            Some(operator) => compare(operator, found),
            None => Some(found == Some(choice)),
        };
        match matched {
            Some(true) => return Some(true),
            Some(false) => {}
            None => none = None,
        }
    }
    none
}

fn compare(operator: &Map<String, Value>, found: Option<&Value>) -> Option<bool> {
    let (name, operand) = operator.iter().next().filter(|_| operator.len() == 1)?;
    let text = found.and_then(Value::as_str);
    match (name.as_str(), operand) {
        ("prefix", Value::String(prefix)) => Some(text.is_some_and(|text| text.starts_with(prefix.as_str()))),
        ("suffix", Value::String(suffix)) => Some(text.is_some_and(|text| text.ends_with(suffix.as_str()))),
        ("wildcard", Value::String(pattern)) => Some(text.is_some_and(|text| wildcard::fits(pattern, text))),
        ("exists", Value::Bool(exists)) => Some(found.is_some() == *exists),
        ("anything-but", Value::Array(values)) if values.iter().all(Value::is_string) => {
            Some(found.is_some_and(|found| !values.contains(found)))
        }
        ("anything-but", value @ Value::String(_)) => Some(found.is_some_and(|found| found != value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_keys_must_match_and_what_is_not_known_decides_nothing() {
        let event = json!({"source": "aws.codepipeline", "detail": {"pipeline": "svc-deploy", "state": "FAILED"}});
        let table = [
            (json!({"source": ["aws.codepipeline"], "detail": {"state": ["STARTED", "FAILED"]}}), Some(true)),
            (json!({"source": ["my.app"]}), Some(false)),
            (json!({"detail": {"pipeline": [{"prefix": "web"}, {"wildcard": "svc-*"}]}}), Some(true)),
            (json!({"detail": {"pipeline": [{"numeric": ["=", 1]}]}}), None),
            (json!({"detail": {"pipeline": [{"numeric": ["=", 1]}, "svc-deploy"]}}), Some(true)),
            (json!({"detail": {"pipeline": [{"numeric": ["=", 1]}], "state": ["STARTED"]}}), Some(false)),
            (json!({"detail": {"state": [{"anything-but": ["FAILED"]}]}}), Some(false)),
            (json!({"detail": {"state": [{"anything-but": "STARTED"}]}}), Some(true)),
            (json!({"detail": {"stage": [{"exists": false}]}}), Some(true)),
            (json!({"$or": [{"source": ["aws.codepipeline"]}]}), None),
            (json!({"account": ["444455556666"]}), Some(false)),
        ];
        for (pattern, expected) in table {
            assert_eq!(matches(&pattern, &event), expected, "{pattern}");
        }
    }
}
