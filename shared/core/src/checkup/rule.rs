//! Whether a rule of a target Region forwards what the hub waits for.

use serde_json::{Value, json};

use super::finding::{Check, Finding, is_denied, words};
use super::pattern;
use super::seen::{RuleSeen, Tried};
use super::target::Expected;

/// What the rule must let through: a detail type, and states.
fn events(check: Check, expected: &Expected) -> Vec<Value> {
    let event = |kind: &str, state: &str| {
        json!({
            "source": "aws.codepipeline",
            "account": expected.place.key.account,
            "region": expected.place.key.region,
            "detail-type": kind,
            "detail": {"pipeline": expected.place.started.name(), "state": state},
        })
    };
    if check == Check::ForwardFailedAction {
        return vec![event("CodePipeline Action Execution State Change", "FAILED")];
    }
    ["STARTED", "RESUMED", "STOPPED", "SUPERSEDED", "CANCELED", "FAILED", "SUCCEEDED"]
        .map(|state| event("CodePipeline Pipeline Execution State Change", state))
        .into()
}

pub(super) fn judge(
    check: Check,
    rule: &str,
    seen: &Tried<RuleSeen>,
    inspect_role: &str,
    expected: &Expected,
) -> Finding {
    let install = format!("install deploy/member-region.yaml in the Region with HubBusArn={}", expected.bus_arn);
    match seen {
        Tried::Done(seen) => judge_seen(check, rule, seen, expected),
        Tried::Refused { code, message } if code == "ResourceNotFoundException" => {
            Finding::fails(check, format!("Rule {rule} not found"), install).with_detail(message)
        }
        Tried::Refused { code, message } if is_denied(code) => Finding::unknown(
            check,
            format!("Role {inspect_role} may not read rule {rule}"),
            format!(
                "update the stack of deploy/member-account.yaml with this ForwardRulePrefix, or add to role \
                 {inspect_role}: {}",
                json!({"Effect": "Allow", "Action": ["events:DescribeRule", "events:ListTargetsByRule"],
                    "Resource": format!("arn:{}:events:*:*:rule/{rule}", expected.partition())})
            ),
        )
        .with_detail(words(code, message)),
        Tried::Refused { code, message } => {
            Finding::unknown(check, format!("Rule {rule} can't be read"), "see EventBridge's words above")
                .with_detail(words(code, message))
        }
        Tried::Unanswered { reason } => Finding::unanswered(check, "EventBridge", reason),
        Tried::NotTried => Finding::follows(check, Check::InspectRole, format!("Role {inspect_role} was not assumed")),
    }
}

fn judge_seen(check: Check, rule: &str, seen: &RuleSeen, expected: &Expected) -> Finding {
    if !seen.state.starts_with("ENABLED") {
        let remedy = format!("in the account and Region: aws events enable-rule --name {rule}");
        return Finding::fails(check, format!("Rule {rule} is {}", seen.state.to_lowercase()), remedy);
    }
    let update = |what: &str| format!("update the stack of deploy/member-region.yaml in the Region with {what}");
    let Some(target) = seen.targets.iter().find(|target| target.arn == expected.bus_arn) else {
        let arns: Vec<&str> = seen.targets.iter().map(|target| target.arn.as_str()).collect();
        let points =
            if arns.is_empty() { "it has no target".to_owned() } else { format!("it points at {}", arns.join(", ")) };
        return Finding::fails(
            check,
            format!("Rule {rule} does not point at the hub bus"),
            update(&format!("HubBusArn={}", expected.bus_arn)),
        )
        .with_detail(points);
    };
    // Without a role EventBridge puts events only on a bus of the same account and Region (EventBridge User Guide,
    // "Sending and receiving events between AWS accounts" and "… AWS Regions").
    let in_account = format!("::{}:role/", expected.place.key.account);
    match &target.role {
        Some(role) if role.contains(&in_account) => {}
        None if expected.is_in_hub_region() => {}
        None => {
            return Finding::fails(
                check,
                format!("Rule {rule} has no role to send with"),
                update("ForwardRoleName as in deploy/member-account.yaml"),
            );
        }
        Some(role) => {
            return Finding::fails(
                check,
                format!("Rule {rule} sends with a role that is not the account's own"),
                update("ForwardRoleName as in deploy/member-account.yaml"),
            )
            .with_detail(role);
        }
    }
    let Some(pattern) = seen.pattern.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Finding::fails(check, format!("Rule {rule} has no event pattern"), update("TargetPipelines"));
    };
    let pipeline = expected.place.started.name();
    let mut all_known = true;
    for event in events(check, expected) {
        match pattern::matches(&pattern, &event) {
            Some(true) => {}
            Some(false) => {
                let state = event["detail"]["state"].as_str().unwrap_or_default();
                return Finding::fails(
                    check,
                    format!("Rule {rule} does not let {state} of pipeline {pipeline} through"),
                    update(&format!("a TargetPipelines that {pipeline} fits, such as TargetPipelines={pipeline}")),
                )
                .with_detail(format!("its pattern is {pattern}"));
            }
            None => all_known = false,
        }
    }
    if all_known {
        return Finding::ok(check);
    }
    Finding::unknown(
        check,
        format!("Whether rule {rule} matches pipeline {pipeline} can't be told from its pattern"),
        "compare it with the rule in deploy/member-region.yaml",
    )
    .with_detail(format!("its pattern is {pattern}"))
}
