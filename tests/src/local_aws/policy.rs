//! IAM's policy language, as far as bus policies, queue policies and trust policies use it.
//!
//! The emulator evaluates the policies of roles itself. It does not keep bus policies and does not apply queue and trust
//! policies to what EventBridge does, so that the router evaluates those here. Whatever this module does not know is a
//! panic, never a silent yes or no. By "IAM JSON policy elements: Condition operators" and "Policy evaluation logic" of
//! the IAM User Guide.

use std::collections::BTreeMap;

use serde_json::Value;

/// Who asks for what.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `AWS` with an account's root or role ARN, or `Service` with a service's name.
    pub principal: (&'a str, &'a str),
    /// Such as `events:PutEvents`.
    pub action: &'a str,
    /// The ARN that is acted on; empty in a trust policy, which has no resource.
    pub resource: &'a str,
    /// Condition keys and their values. A key that is not here is absent from the request.
    pub context: BTreeMap<&'a str, Vec<String>>,
}

/// Whether a resource's policy allows the request: some statement does, and none denies it.
///
/// # Panics
/// The policy uses what this module does not know.
#[must_use]
pub fn allows(policy: &Value, request: &Request<'_>) -> bool {
    let statements = list(&policy["Statement"]);
    assert!(!statements.is_empty(), "a policy without statements: {policy}");
    let mut allowed = false;
    for statement in statements {
        known(statement);
        if !applies(statement, request) {
            continue;
        }
        match statement["Effect"].as_str() {
            Some("Allow") => allowed = true,
            Some("Deny") => return false,
            _ => panic!("a statement without effect: {statement}"),
        }
    }
    allowed
}

fn known(statement: &Value) {
    for key in statement.as_object().into_iter().flat_map(serde_json::Map::keys) {
        let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"].contains(&key.as_str());
        assert!(known, "{key} of a policy's statement is not understood: {statement}");
    }
}

fn applies(statement: &Value, request: &Request<'_>) -> bool {
    let (kind, who) = request.principal;
    let named = &statement["Principal"];
    let principal =
        named == "*" || list(&named[kind]).into_iter().filter_map(Value::as_str).any(|name| same_principal(name, who));
    let action = strings(&statement["Action"]).any(|pattern| like(pattern, request.action));
    let resource = statement["Resource"].is_null()
        || strings(&statement["Resource"]).any(|pattern| like(pattern, request.resource));
    principal && action && resource && conditions(&statement["Condition"], request)
}

/// An account may be named by its id or by its root's ARN; both mean everybody whom that account lets.
fn same_principal(name: &str, who: &str) -> bool {
    let account = |arn: &str| arn.split(':').nth(4).unwrap_or_default().to_owned();
    let whole_account = name.len() == 12 || name.ends_with(":root");
    let named = if name.len() == 12 { name.to_owned() } else { account(name) };
    name == "*" || name == who || (whole_account && !named.is_empty() && named == account(who))
}

fn conditions(block: &Value, request: &Request<'_>) -> bool {
    let Some(operators) = block.as_object() else { return true };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().expect("a condition's operator has keys");
        keys.iter().all(|(key, expected)| condition(operator, key, expected, request))
    })
}

fn condition(operator: &str, key: &str, expected: &Value, request: &Request<'_>) -> bool {
    let (for_all, operator) = match operator.strip_prefix("ForAllValues:") {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let (if_exists, operator) = match operator.strip_suffix("IfExists") {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let Some(values) = request.context.get(key) else { return if_exists || for_all };
    let matches = |value: &str| {
        strings(expected).any(|expected| match operator {
            "StringEquals" | "ArnEquals" if operator == "StringEquals" => expected == value,
            // ArnEquals and ArnLike behave identically: each of the six parts may hold wildcards.
            "ArnEquals" | "ArnLike" => like_arn(expected, value),
            "StringLike" => like(expected, value),
            "Bool" => expected.eq_ignore_ascii_case(value),
            _ => panic!("condition operator {operator} is not understood"),
        })
    };
    if for_all { values.iter().all(|value| matches(value)) } else { values.iter().any(|value| matches(value)) }
}

fn like_arn(pattern: &str, arn: &str) -> bool {
    let parts = |arn: &str| arn.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, arn) = (parts(pattern), parts(arn));
    pattern.len() == arn.len() && pattern.iter().zip(&arn).all(|(pattern, part)| like(pattern, part))
}

/// `*` stands for any text and `?` for one character.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| like(&pattern[1..], &text[at..]))
        }
        Some(first) => text.chars().next().is_some_and(|begin| {
            (first == '?' || first == begin) && like(&pattern[first.len_utf8()..], &text[begin.len_utf8()..])
        }),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value.as_array() {
        Some(values) => values.iter().collect(),
        None if value.is_null() => Vec::new(),
        None => vec![value],
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).into_iter().map(|value| value.as_str().expect("policies hold strings"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bus() -> Value {
        json!({"Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": ["444455556666", "777788889999"]},
            "Action": "events:PutEvents",
            "Resource": "arn:aws:events:us-east-1:111122223333:event-bus/manifold",
            "Condition": {
                "ForAllValues:StringEquals": {"events:source": "aws.codepipeline"},
                "BoolIfExists": {"events:eventBusInvocation": "true"},
                "StringEquals": {"aws:PrincipalOrgID": "o-exampleorg1"},
            },
        }]})
    }

    fn forwarded<'a>(account: &'a str, source: &str, organization: Option<&str>) -> Request<'a> {
        let mut context = BTreeMap::from([
            ("events:source", vec![source.to_owned()]),
            ("events:eventBusInvocation", vec!["true".to_owned()]),
        ]);
        context.extend(organization.map(|id| ("aws:PrincipalOrgID", vec![id.to_owned()])));
        Request {
            principal: ("AWS", account),
            action: "events:PutEvents",
            resource: "arn:aws:events:us-east-1:111122223333:event-bus/manifold",
            context,
        }
    }

    #[test]
    fn every_part_of_a_statement_must_fit() {
        let member = "arn:aws:iam::444455556666:role/ManifoldForward";
        let organization = Some("o-exampleorg1");
        assert!(allows(&bus(), &forwarded(member, "aws.codepipeline", organization)));
        assert!(!allows(&bus(), &forwarded("arn:aws:iam::999999999999:role/X", "aws.codepipeline", organization)));
        assert!(!allows(&bus(), &forwarded(member, "my.app", organization)), "another source");
        assert!(!allows(&bus(), &forwarded(member, "aws.codepipeline", None)), "an absent key matches nothing");
        let other_bus = Request {
            resource: "arn:aws:events:us-east-1:111122223333:event-bus/other",
            ..forwarded(member, "aws.codepipeline", organization)
        };
        assert!(!allows(&bus(), &other_bus));
        let mut by_hand = forwarded(member, "aws.codepipeline", organization);
        by_hand.context.insert("events:eventBusInvocation", vec!["false".to_owned()]);
        assert!(!allows(&bus(), &by_hand));
        by_hand.context.remove("events:eventBusInvocation");
        assert!(allows(&bus(), &by_hand), "IfExists");
    }

    #[test]
    fn a_denial_beats_every_permission() {
        let mut policy = bus();
        let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "events:*", "Resource": "*"});
        policy["Statement"].as_array_mut().unwrap().push(deny);
        let member = "arn:aws:iam::444455556666:role/ManifoldForward";
        assert!(!allows(&policy, &forwarded(member, "aws.codepipeline", Some("o-exampleorg1"))));
    }

    #[test]
    fn arns_match_part_by_part() {
        let rule = "arn:aws:events:eu-west-1:444455556666:rule/manifold-forward-pipeline";
        assert!(like_arn("arn:aws:events:*:444455556666:rule/manifold-*", rule));
        assert!(!like_arn("arn:aws:events:*:444455556666:rule/other-*", rule));
        assert!(!like_arn("arn:aws:events:*:rule/manifold-*", rule), "a wildcard does not reach over a colon");
    }
}
