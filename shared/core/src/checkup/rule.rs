//! Whether a rule of a target Region forwards what the hub waits for.

use serde_json::{Value, json};

use super::finding::{Check, Finding, is_denied, words};
use super::rights::{self, arn};
use super::seen::{RuleSeen, Tried};
use super::target::Expected;
use super::{Place, pattern};
use crate::engine::{Service, Subject};

/// What the rule must let through: a detail type, and states.
fn events(check: Check, expected: &Expected) -> Vec<Value> {
    let started = &expected.place.started;
    let (kind, states): (&str, &[&str]) = match (started.service(), check == Check::ForwardFailedAction) {
        (Service::CodePipeline, true) => ("CodePipeline Action Execution State Change", &["FAILED"]),
        (Service::CodePipeline, false) => (
            "CodePipeline Pipeline Execution State Change",
            &["STARTED", "RESUMED", "STOPPED", "SUPERSEDED", "CANCELED", "FAILED", "SUCCEEDED"],
        ),
        (Service::CodeBuild, _) => {
            ("CodeBuild Build State Change", &["IN_PROGRESS", "STOPPED", "TIMED_OUT", "FAULT", "FAILED", "SUCCEEDED"])
        }
        (Service::CloudFormation, true) => {
            ("CloudFormation Resource Status Change", &["CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED"])
        }
        (Service::CloudFormation, false) => (
            "CloudFormation Stack Status Change",
            &[
                "CREATE_IN_PROGRESS",
                "CREATE_COMPLETE",
                "ROLLBACK_COMPLETE",
                "UPDATE_IN_PROGRESS",
                "UPDATE_ROLLBACK_COMPLETE",
                "UPDATE_ROLLBACK_FAILED",
                "UPDATE_COMPLETE",
            ],
        ),
        (Service::CodeDeploy, _) => (
            "CodeDeploy Deployment State-change Notification",
            &["START", "QUEUED", "READY", "STOP", "FAILURE", "SUCCESS"],
        ),
    };
    let event = |state: &&str| {
        json!({
            "source": format!("aws.{}", started.service().prefix()),
            "account": expected.place.key.account,
            "region": expected.place.key.region,
            "detail-type": kind,
            "detail": detail(expected, state),
        })
    };
    states.iter().map(event).collect()
}

/// What a pattern can see of an event's detail.
fn detail(expected: &Expected, state: &str) -> Value {
    let Place { key, started, .. } = &expected.place;
    match started {
        Subject::Pipeline(name) => json!({"pipeline": name, "state": state}),
        Subject::Project(name) => json!({"project-name": name, "build-status": state}),
        Subject::Stack(_) => json!({"stack-id": arn(started, key), "status-details": {"status": state}}),
        Subject::Group(name) => {
            json!({"application": name.application(), "deploymentGroup": name.group(), "state": state})
        }
    }
}

/// The state in such an event.
fn state(event: &Value) -> &str {
    let detail = &event["detail"];
    let places = [&detail["state"], &detail["build-status"], &detail["status-details"]["status"]];
    places.into_iter().find_map(Value::as_str).unwrap_or_default()
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
    let parameter = rights::parameter(expected.place.started.service());
    let Some(pattern) = seen.pattern.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Finding::fails(check, format!("Rule {rule} has no event pattern"), update(parameter));
    };
    let (started, name) = (expected.place.started.words(), expected.place.started.name());
    let mut all_known = true;
    for event in events(check, expected) {
        match pattern::matches(&pattern, &event) {
            Some(true) => {}
            Some(false) => {
                return Finding::fails(
                    check,
                    format!("Rule {rule} does not let {} of {started} through", state(&event)),
                    update(&format!("a {parameter} that {name} fits, such as {parameter}={name}")),
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
        format!("Whether rule {rule} matches {started} can't be told from its pattern"),
        "compare it with the rule in deploy/member-region.yaml",
    )
    .with_detail(format!("its pattern is {pattern}"))
}
