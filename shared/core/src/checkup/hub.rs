//! What the looks at the hub mean.

use serde_json::{Value, json};

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

/// Whether the hub bus's policy lets a target's account in.
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
    if *account == expected.hub_account {
        return Finding::ok(CHECK);
    }
    let update = "update the hub's stack with a MemberAccounts that names all accounts of fleet.yaml";
    let source = format!("aws.{}", expected.place.started.service().prefix());
    match policy_on(policy, account.as_str(), &source) {
        Letting::In => Finding::ok(CHECK),
        Letting::Out(None) => Finding::fails(CHECK, "The hub bus does not let the account in", update),
        Letting::Out(Some(why)) if why.contains(SOURCE) => {
            let cause = format!("The hub bus takes no events of {source}");
            Finding::fails(CHECK, cause, "update the hub's stack: manifold install").with_detail(why)
        }
        Letting::Out(Some(why)) => {
            Finding::fails(CHECK, "The hub bus does not let the account in", update).with_detail(why)
        }
        Letting::Unknown(why) => Finding::unknown(
            CHECK,
            "Whether the hub bus lets the account in can't be told from its policy",
            "compare it with HubBus in deploy/hub.yaml",
        )
        .with_detail(why),
    }
}

/// Whether a bus takes an account's events.
#[derive(Debug, PartialEq, Eq)]
enum Letting {
    In,
    /// No statement allows it, or one denies it; with what stands in the way, if that can be named.
    Out(Option<String>),
    /// It hangs on a condition that is not known here.
    Unknown(String),
}

/// The condition on where events come from.
const SOURCE: &str = "events:source";

/// What a bus's policy says of events of a source that a rule in the account forwards. A denial goes before all that is allowed (IAM User
/// Guide, "Policy evaluation logic").
fn policy_on(policy: &str, account: &str, source: &str) -> Letting {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let mut best = Letting::Out(None);
    for statement in listed(&policy["Statement"]).into_iter().filter(|statement| concerns(statement, account)) {
        let denies = statement["Effect"] == "Deny";
        let unmet = match conditions(&statement["Condition"], account, source) {
            Letting::In if denies => return Letting::Out(Some("a statement of its policy denies it".to_owned())),
            // A denial that does not apply says nothing.
            Letting::Out(_) if denies => continue,
            Letting::Unknown(why) if denies => return Letting::Unknown(why),
            letting @ (Letting::In | Letting::Out(_) | Letting::Unknown(_)) => letting,
        };
        best = match (best, unmet) {
            (Letting::In, _) | (_, Letting::In) => Letting::In,
            (Letting::Unknown(why), _) | (_, Letting::Unknown(why)) => Letting::Unknown(why),
            (Letting::Out(first), Letting::Out(second)) => Letting::Out(second.or(first)),
        };
    }
    best
}

/// Whether a statement is about the account's putting of events.
fn concerns(statement: &Value, account: &str) -> bool {
    let root = format!("::{account}:root");
    let is_named = |principal: &str| principal == "*" || principal == account || principal.ends_with(&root);
    let principal = &statement["Principal"];
    let principals = if principal.is_string() { principal } else { &principal["AWS"] };
    let effects = [json!("Allow"), json!("Deny")];
    effects.contains(&statement["Effect"])
        && listed(&statement["Action"])
            .into_iter()
            .any(|action| ["events:PutEvents", "events:*", "*"].iter().any(|known| action == known))
        && listed(principals).into_iter().filter_map(Value::as_str).any(is_named)
}

/// Whether all conditions hold for what a forwarding rule sends: events of the source, from the account, by a bus. The
/// organization is taken for right: the hub's own roles demand the same of the roles that they assume, and that is tried.
fn conditions(conditions: &Value, account: &str, source: &str) -> Letting {
    let mut all = Letting::In;
    let operators = conditions.as_object().into_iter().flatten();
    for (operator, key, wanted) in operators.flat_map(|(operator, keys)| {
        keys.as_object().into_iter().flatten().map(move |(key, wanted)| (operator, key, wanted))
    }) {
        let wanted = listed(wanted);
        // What has one value may stand there as truth or as text.
        let is = |value: &str| {
            wanted.iter().any(|wanted| match wanted {
                Value::Bool(wanted) => wanted.then_some("true") == Some(value),
                Value::String(wanted) => wanted == value,
                Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
            })
        };
        let name = operator.rsplit(':').next().unwrap_or_default().trim_end_matches("IfExists");
        // Keys are written in any case (IAM User Guide, "IAM JSON policy elements: Condition").
        let holds = match (name, key.to_lowercase().as_str()) {
            ("StringEquals", SOURCE) => Some(is(source)),
            ("Bool", "events:eventbusinvocation") => Some(is("true")),
            ("StringEquals", "aws:principalaccount" | "aws:sourceaccount") => Some(is(account)),
            ("StringEquals", "aws:principalorgid") => Some(true),
            _ => None,
        };
        match holds {
            Some(true) => {}
            Some(false) => {
                return Letting::Out(Some(format!("its policy demands {operator} {key} {}", values(&wanted))));
            }
            None => all = Letting::Unknown(format!("its policy demands {operator} {key} {}", values(&wanted))),
        }
    }
    all
}

fn values(values: &[&Value]) -> String {
    let texts = values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    texts.collect::<Vec<_>>().join(", ")
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

    fn policy_on(policy: &str, account: &str) -> Letting {
        super::policy_on(policy, account, "aws.codepipeline")
    }

    fn allows(policy: &str, account: &str) -> bool {
        policy_on(policy, account) == Letting::In
    }

    #[test]
    fn each_service_is_a_source_of_its_own() {
        let condition = json!({"ForAllValues:StringEquals": {"events:source": ["aws.codepipeline", "aws.codebuild"]}});
        let policy = bus(&[statement("Allow", &condition)]);
        assert_eq!(super::policy_on(&policy, "444455556666", "aws.codebuild"), Letting::In);
        let out = super::policy_on(&policy, "444455556666", "aws.codedeploy");
        assert!(matches!(&out, Letting::Out(Some(why)) if why.contains(SOURCE)), "{out:?}");
    }

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
    fn bus(statements: &[Value]) -> String {
        json!({"Version": "2012-10-17", "Statement": statements}).to_string()
    }

    fn statement(effect: &str, condition: &Value) -> Value {
        json!({"Effect": effect, "Principal": {"AWS": "arn:aws:iam::444455556666:root"}, "Action": "events:PutEvents",
            "Condition": condition})
    }

    #[test]
    fn the_conditions_of_the_hubs_template_hold() {
        let condition = json!({
            "ForAllValues:StringEquals": {"events:source": "aws.codepipeline"},
            "BoolIfExists": {"events:eventBusInvocation": "true"},
            "StringEquals": {"aws:PrincipalOrgID": "o-exampleorg1"},
        });
        assert_eq!(policy_on(&bus(&[statement("Allow", &condition)]), "444455556666"), Letting::In);
    }

    #[test]
    fn a_condition_that_forwarded_events_do_not_meet_keeps_them_out() {
        for condition in [
            json!({"StringEquals": {"events:source": ["my.app", "aws.codebuild"]}}),
            json!({"Bool": {"events:eventBusInvocation": "false"}}),
            json!({"StringEquals": {"AWS:PrincipalAccount": "777788889999"}}),
        ] {
            let seen = policy_on(&bus(&[statement("Allow", &condition)]), "444455556666");
            assert!(matches!(seen, Letting::Out(Some(_))), "{condition}: {seen:?}");
            let open = statement("Allow", &json!({}));
            assert_eq!(policy_on(&bus(&[statement("Allow", &condition), open]), "444455556666"), Letting::In);
        }
    }

    #[test]
    fn a_condition_that_is_not_known_here_is_not_well() {
        let condition = json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}});
        let told = Letting::Unknown("its policy demands IpAddress aws:SourceIp 192.0.2.0/24".to_owned());
        assert_eq!(policy_on(&bus(&[statement("Allow", &condition)]), "444455556666"), told);
    }

    #[test]
    fn a_denial_goes_before_what_is_allowed() {
        let open = || statement("Allow", &json!({}));
        let policy = |condition| bus(&[open(), statement("Deny", &condition)]);
        let out = Letting::Out(Some("a statement of its policy denies it".to_owned()));
        assert_eq!(policy_on(&policy(json!({})), "444455556666"), out);
        assert_eq!(policy_on(&policy(json!({})), "777788889999"), Letting::Out(None));
        let other_source = json!({"StringEquals": {"events:source": "my.app"}});
        assert_eq!(policy_on(&policy(other_source), "444455556666"), Letting::In);
        let unknown = policy_on(&policy(json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})), "444455556666");
        assert!(matches!(unknown, Letting::Unknown(_)), "{unknown:?}");
    }
}
