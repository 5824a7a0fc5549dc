//! What the looks at the hub mean.

use serde_json::Value;

use super::finding::{Check, Finding, is_denied, words};
use super::seen::{BusSeen, HubSeen, PipelineAsked, Tried};
use super::target::{Expected, no_function};

/// Why a function of the hub did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubTrouble {
    /// There is no such function.
    NotFound,
    /// Whoever asks may not invoke it.
    Denied {
        /// Lambda's words.
        message: String,
    },
    /// It does not understand the question: its version is another one.
    Older {
        /// Its words.
        message: String,
    },
    /// It failed, or returned what is no answer.
    Failed {
        /// Its words.
        message: String,
    },
    /// Lambda throttled, or was not reached.
    Unanswered {
        /// Why.
        reason: String,
    },
}

/// Whether a function exists and answers.
#[must_use]
pub fn judge_function(name: &str, trouble: Option<&HubTrouble>) -> Finding {
    const CHECK: Check = Check::HubFunction;
    const INSTALL: &str = "package and install this version in the hub account: manifold install";
    match trouble {
        None => Finding::ok(CHECK),
        Some(HubTrouble::NotFound) => Finding::fails(
            CHECK,
            "The hub is not installed, is older, or has another prefix: functions not found",
            format!("{INSTALL}; if it is there with a Prefix of its own, give --prefix"),
        ),
        Some(HubTrouble::Denied { message }) => Finding::unknown(
            CHECK,
            "You may not invoke the hub's functions",
            "sign in with a role of the hub account that allows lambda:InvokeFunction on the hub's functions",
        )
        .with_detail(message),
        Some(HubTrouble::Older { message }) => {
            Finding::fails(CHECK, "The hub is of another version: functions do not know this checkup", INSTALL)
                .with_detail(message)
        }
        Some(HubTrouble::Failed { message }) => Finding::unknown(
            CHECK,
            format!("Function {name} failed"),
            format!("read its log: aws logs tail /aws/lambda/{name}"),
        )
        .with_detail(message),
        Some(HubTrouble::Unanswered { reason }) => Finding::unanswered(CHECK, "Lambda", reason),
    }
}

/// Whether the hub runs the fleet file that was given. `theirs` is `None` when dispatch did not answer.
#[must_use]
pub fn judge_fleet_file(ours: &str, theirs: Option<&str>) -> Finding {
    const CHECK: Check = Check::FleetFile;
    match theirs {
        None => no_function(CHECK, "dispatch"),
        Some(theirs) if theirs == ours => Finding::ok(CHECK),
        Some(theirs) => Finding::fails(
            CHECK,
            "The hub runs another fleet file",
            "package and install this one (manifold install), or check the one that the hub runs",
        )
        .with_detail(format!("SHA-256 {} here, {} there", short(ours), short(theirs))),
    }
}

/// Whether the hub bus exists. `None` when inspect did not answer.
#[must_use]
pub fn judge_bus(name: &str, seen: Option<&HubSeen>) -> Finding {
    const CHECK: Check = Check::HubBus;
    match seen.map(|seen| &seen.bus) {
        None => no_function(CHECK, "inspect"),
        Some(Tried::Done(_)) => Finding::ok(CHECK),
        Some(Tried::Refused { code, message }) if code == "ResourceNotFoundException" => {
            Finding::fails(CHECK, format!("Bus {name} not found"), "update the hub's stack: manifold install")
                .with_detail(message)
        }
        Some(Tried::Refused { code, message }) => {
            Finding::unknown(CHECK, format!("Bus {name} can't be read"), "update the hub's stack: manifold install")
                .with_detail(words(code, message))
        }
        Some(Tried::Unanswered { reason }) => Finding::unanswered(CHECK, "EventBridge", reason),
        Some(Tried::NotTried) => no_function(CHECK, "inspect"),
    }
}

/// Whether a release pipeline exists. `None` when inspect did not answer.
#[must_use]
pub fn judge_release(asked: &PipelineAsked, seen: Option<&Tried<()>>) -> Finding {
    const CHECK: Check = Check::ReleasePipeline;
    let PipelineAsked { region, name } = asked;
    match seen {
        None | Some(Tried::NotTried) => no_function(CHECK, "inspect"),
        Some(Tried::Done(())) => Finding::ok(CHECK),
        Some(Tried::Refused { code, message }) if code == "PipelineNotFoundException" => Finding::fails(
            CHECK,
            format!("Release pipeline {name} not found in {region}"),
            "correct apps.*.release in fleet.yaml, or create the pipeline",
        )
        .with_detail(message),
        // Dispatch may read what the same parameter names.
        Some(Tried::Refused { code, message }) if is_denied(code) => Finding::fails(
            CHECK,
            format!("The hub may not read release pipeline {name}"),
            format!("update the hub's stack with a ReleasePipelines that {name} fits"),
        )
        .with_detail(message),
        Some(Tried::Refused { code, message }) => {
            Finding::unknown(CHECK, format!("Release pipeline {name} can't be read"), "see CodePipeline's words above")
                .with_detail(words(code, message))
        }
        Some(Tried::Unanswered { reason }) => Finding::unanswered(CHECK, "CodePipeline", reason),
    }
}

/// Whether the hub bus's policy names a target's account.
#[must_use]
pub fn judge_member(expected: &Expected, bus: Option<&Tried<BusSeen>>) -> Finding {
    const CHECK: Check = Check::BusPolicy;
    let account = &expected.place.key.account;
    let policy = match bus {
        None => return no_function(CHECK, "inspect"),
        Some(Tried::Done(bus)) => bus.policy.as_deref().unwrap_or("{}"),
        Some(Tried::Refused { .. } | Tried::Unanswered { .. } | Tried::NotTried) => {
            return Finding::follows(CHECK, Check::HubBus, "the hub bus was not read");
        }
    };
    // The account that the bus is in needs no resource policy.
    if *account == expected.hub_account || allows(policy, account.as_str()) {
        return Finding::ok(CHECK);
    }
    Finding::fails(
        CHECK,
        "The hub bus does not let the account in",
        "update the hub's stack with a MemberAccounts that names all accounts of fleet.yaml",
    )
}

/// Whether a statement allows the account to put events. Conditions are not looked at: the hub's template has them.
fn allows(policy: &str, account: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let root = format!("::{account}:root");
    let is_named = |principal: &str| principal == "*" || principal == account || principal.ends_with(&root);
    let statements = listed(&policy["Statement"]);
    statements.into_iter().any(|statement| {
        let principal = &statement["Principal"];
        let principals = if principal.is_string() { principal } else { &principal["AWS"] };
        statement["Effect"] == "Allow"
            && listed(&statement["Action"])
                .into_iter()
                .any(|action| action == "events:PutEvents" || action == "events:*")
            && listed(principals).into_iter().filter_map(Value::as_str).any(is_named)
    })
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_let_in_by_its_id_its_root_or_anybody() {
        let policy = |principal: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"events:PutEvents"}}]}}"#)
        };
        for principal in [
            r#"{"AWS":"444455556666"}"#,
            r#"{"AWS":["arn:aws:iam::777788889999:root","arn:aws:iam::444455556666:root"]}"#,
            r#""*""#,
        ] {
            assert!(allows(&policy(principal), "444455556666"), "{principal}");
        }
        for principal in [r#"{"AWS":"777788889999"}"#, r#"{"Service":"events.amazonaws.com"}"#] {
            assert!(!allows(&policy(principal), "444455556666"), "{principal}");
        }
        assert!(!allows(&policy("\"*\"").replace("Allow", "Deny"), "444455556666"));
        assert!(!allows(&policy("\"*\"").replace("PutEvents", "PutRule"), "444455556666"));
        assert!(!allows("{}", "444455556666") && !allows("no JSON", "444455556666"));
    }
}
