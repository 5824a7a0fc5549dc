//! What the looks at one target mean together.
//!
//! What was really tried goes before what IAM's simulator says of it, and what either function saw of a Region or a
//! pipeline counts: a target that `deploy` can't enter may still be seen by `inspect`.

use serde_json::json;

use super::Place;
use super::finding::{Check, Finding, State, is_denied, knows_caller, words};
use super::hub::judge_member;
use super::pipeline::{self, Sends};
use super::rights::{parameter, pattern, reads, rights};
use super::rule;
use super::seen::{AccessSeen, BusSeen, Decision, PipelineSeen, PipelineSpotSeen, SpotSeen, Tried};
use crate::engine::Service;
use crate::ids::{AccountId, Region};

const LIST_EXECUTIONS: &str = "codepipeline:ListPipelineExecutions";
const LIST_ACTIONS: &str = "codepipeline:ListActionExecutions";

/// How a target should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where.
    pub place: Place,
    /// What a start carries.
    pub sends: Sends,
    /// The hub account.
    pub hub_account: AccountId,
    /// The hub's Region.
    pub hub_region: Region,
    /// The ARN of the hub bus.
    pub bus_arn: String,
    /// What the names of the hub's resources begin with.
    pub prefix: String,
    /// The forwarding rules of its service ([`super::forward_rules`]).
    pub rules: Vec<ExpectedRule>,
}

/// A forwarding rule as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRule {
    /// The check that looks at it.
    pub check: Check,
    /// Its name.
    pub name: String,
    /// Its position in the question about its spot ([`super::Spot::rules`]).
    pub at: usize,
}

impl Expected {
    pub(super) fn partition(&self) -> &'static str {
        self.place.key.region.partition().as_str()
    }

    pub(super) fn is_in_hub_region(&self) -> bool {
        self.place.key.account == self.hub_account && self.place.key.region == self.hub_region
    }

    fn hub_role(&self, function: &str) -> String {
        format!("arn:{}:iam::{}:role/{}-{function}", self.partition(), self.hub_account, self.prefix)
    }

    /// The stack of the account, as it should be installed.
    fn account_stack(&self) -> String {
        let external_id = self.place.external_id.as_deref().unwrap_or("(external_id of fleet.yaml, which has none)");
        format!(
            "install or update deploy/member-account.yaml in the account with HubDeployRoleArn={} \
             HubInspectRoleArn={} ExternalId={external_id}",
            self.hub_role("deploy"),
            self.hub_role("inspect"),
        )
    }

    /// A statement for the target role.
    fn statement(&self, actions: &[&str]) -> String {
        json!({"Effect": "Allow", "Action": actions,
            "Resource": pattern(&self.place.started, self.partition())})
        .to_string()
    }
}

/// What a target's looks mean. `None` stands for a function that did not answer; [`Check::HubFunction`] tells why. The
/// bus is the hub's, as [`super::HubSeen`] has it.
#[must_use]
pub fn judge_target(
    expected: &Expected,
    access: Option<&AccessSeen>,
    spot: Option<(&SpotSeen, &PipelineSpotSeen)>,
    bus: Option<&Tried<BusSeen>>,
    inspect_role: &str,
) -> Vec<Finding> {
    let target = Target { expected, access, spot, inspect_role };
    let mut findings = vec![target.assume_role()];
    let region = target.region();
    let is_disabled = region.state == State::Fails;
    findings.push(region);
    let existence = target.pipeline(is_disabled);
    let lists = |seen: &AccessSeen| (seen.list_executions.clone(), seen.list_actions.clone());
    let (executions, actions) = access.map(lists).unzip();
    if target.is_pipeline() {
        findings.push(target.list(Check::ListPipelineExecutions, LIST_EXECUTIONS, executions.as_ref(), is_disabled));
        findings.push(target.list(Check::ListActionExecutions, LIST_ACTIONS, actions.as_ref(), is_disabled));
    }
    findings.push(target.start());
    findings.push(target.inspect_role());
    if target.is_pipeline() {
        findings.extend(target.structure(is_disabled, &existence));
    }
    findings.push(existence);
    findings.extend(target.rules(is_disabled));
    findings.push(judge_member(expected, bus));
    findings.sort_by_key(|finding| finding.check);
    findings
}

struct Target<'a> {
    expected: &'a Expected,
    access: Option<&'a AccessSeen>,
    spot: Option<(&'a SpotSeen, &'a PipelineSpotSeen)>,
    inspect_role: &'a str,
}

impl Target<'_> {
    fn service(&self) -> Service {
        self.expected.place.started.service()
    }

    /// Whether the rest of what is known of pipelines is looked at, too.
    fn is_pipeline(&self) -> bool {
        self.service() == Service::CodePipeline
    }

    fn assume_role(&self) -> Finding {
        const CHECK: Check = Check::AssumeRole;
        let Some(access) = self.access else { return no_function(CHECK, "deploy") };
        let role = self.expected.place.role.name();
        match &access.assumed {
            Tried::Done(()) => Finding::ok(CHECK),
            Tried::Refused { code, message } if is_denied(code) => {
                // Whose policy is at fault is in STS's words, where it says so at all.
                let remedy = if message.contains("no identity-based policy allows") {
                    format!(
                        "update the hub's stack: MemberAccounts must name the account, and TargetRole be the role of \
                         fleet.yaml ({role})"
                    )
                } else {
                    format!(
                        "{}; the hub's MemberAccounts must name the account, and its TargetRole be {role}",
                        self.expected.account_stack()
                    )
                };
                Finding::fails(CHECK, format!("AccessDenied on role {role}"), remedy).with_detail(message)
            }
            Tried::Refused { code, message } if code.starts_with("RegionDisabled") => Finding::fails(
                CHECK,
                format!("STS is disabled for role {role} in the hub's Region"),
                "in the account's IAM settings, activate STS in the hub's Region",
            )
            .with_detail(message),
            Tried::Refused { code, message } => {
                Finding::unknown(CHECK, format!("Role {role} was not assumed"), "see STS's words above")
                    .with_detail(words(code, message))
            }
            Tried::Unanswered { reason } => Finding::unanswered(CHECK, "STS", reason),
            Tried::NotTried => Finding::follows(CHECK, Check::HubFunction, "it was not tried"),
        }
    }

    /// Whatever was asked there counts. A Region that an account has not enabled does not know the account's
    /// credentials.
    fn region(&self) -> Finding {
        const CHECK: Check = Check::Region;
        let mut answers = Vec::new();
        if let Some(access) = self.access {
            answers.extend([knows_caller(&access.list_executions), knows_caller(&access.list_actions)]);
        }
        if let Some((spot, pipeline)) = self.spot {
            answers.push(knows_caller(&pipeline.pipeline));
            answers.extend(spot.rules.iter().map(knows_caller));
        }
        if answers.contains(&Some(true)) {
            return Finding::ok(CHECK);
        }
        if !answers.contains(&Some(false)) {
            let is_in = self.access.is_some_and(|access| access.assumed.done().is_some());
            let from = match (is_in, self.is_pipeline()) {
                (true, true) => Check::ListPipelineExecutions,
                (true, false) => Check::InspectRole,
                (false, _) => Check::AssumeRole,
            };
            return Finding::follows(CHECK, from, "nobody got an answer in the Region");
        }
        let region = &self.expected.place.key.region;
        Finding::fails(
            CHECK,
            format!("Region {region} is not enabled in the account"),
            format!("in the account: aws account enable-region --region-name {region}, and wait until it is ENABLED"),
        )
        .with_detail("the Region does not know the credentials that STS has just issued")
    }

    fn list(&self, check: Check, action: &str, tried: Option<&Tried<()>>, is_disabled: bool) -> Finding {
        let Some(tried) = tried else { return no_function(check, "deploy") };
        let role = self.expected.place.role.name();
        let operation = action.rsplit(':').next().unwrap_or(action);
        match tried {
            Tried::Done(()) => Finding::ok(check),
            Tried::Refused { .. } if is_disabled => Finding::follows(check, Check::Region, "the Region is not enabled"),
            Tried::Refused { code, message } if code == "PipelineNotFoundException" => {
                Finding::follows(check, Check::Pipeline, message.as_str())
            }
            Tried::Refused { code, message } if is_denied(code) => Finding::fails(
                check,
                format!("AccessDenied for {operation} in role {role}"),
                format!(
                    "update the stack of deploy/member-account.yaml with a TargetPipelines that {pipeline} fits, or \
                     add to role {role}: {}",
                    self.expected.statement(&[action]),
                    pipeline = self.expected.place.started.name(),
                ),
            )
            .with_detail(message),
            Tried::Refused { code, message } => {
                Finding::unknown(check, format!("{code} for {operation}"), "see CodePipeline's words above")
                    .with_detail(words(code, message))
            }
            Tried::Unanswered { reason } => Finding::unanswered(check, "CodePipeline", reason),
            Tried::NotTried => Finding::follows(check, Check::AssumeRole, format!("role {role} was not assumed")),
        }
    }

    /// May the pipeline be started? The one thing that can't be tried without doing it.
    fn start(&self) -> Finding {
        const CHECK: Check = Check::StartPermission;
        let Some((_, seen)) = self.spot else { return no_function(CHECK, "inspect") };
        let role = self.expected.place.role.name();
        let decisions = match &seen.decisions {
            Tried::Done(decisions) => decisions,
            Tried::Refused { code, message } if code == "NoSuchEntity" || code == "NoSuchEntityException" => {
                return Finding::fails(CHECK, format!("Role {role} not found"), self.expected.account_stack())
                    .with_detail(message);
            }
            Tried::Refused { code, message } => {
                let statement = json!({"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy",
                    "Resource": format!("arn:{}:iam::*:role/{role}", self.expected.partition())});
                return Finding::unknown(
                    CHECK,
                    format!("Role {} may not ask IAM what role {role} may do", self.inspect_role),
                    format!("{}, or add to role {}: {statement}", self.expected.account_stack(), self.inspect_role),
                )
                .with_detail(words(code, message));
            }
            Tried::Unanswered { reason } => return Finding::unanswered(CHECK, "IAM", reason),
            Tried::NotTried => {
                let why = format!("Role {} was not assumed", self.inspect_role);
                return Finding::follows(CHECK, Check::InspectRole, why);
            }
        };
        // What was really tried needs no simulation.
        let is_tried = |tried: &Tried<()>| tried.done().is_some() || tried.code().is_some();
        let was_tried = |action: &str| match action {
            LIST_EXECUTIONS => self.access.is_some_and(|access| is_tried(&access.list_executions)),
            LIST_ACTIONS => self.access.is_some_and(|access| is_tried(&access.list_actions)),
            _ => false,
        };
        let asked = rights(self.service()).iter().copied().filter(|action| !was_tried(action));
        let mut denied = Vec::new();
        let mut unsure = Vec::new();
        for action in asked {
            match decisions.iter().find(|decision| decision.action == action) {
                Some(decision) if decision.decision == "allowed" => {}
                Some(decision) if decision.missing.is_empty() => denied.push(decision),
                Some(decision) => unsure.push((action, format!("policies ask for {}", decision.missing.join(", ")))),
                None => unsure.push((action, "IAM's simulator said nothing of it".to_owned())),
            }
        }
        if let Some(first) = denied.first() {
            let actions: Vec<&str> = denied.iter().map(|decision| decision.action.as_str()).collect();
            return self.denied(role, first, &actions);
        }
        if let Some((action, why)) = unsure.first() {
            return Finding::unknown(
                CHECK,
                format!("Whether role {role} may call {} depends on what can't be told from outside", short(action)),
                format!("look at the conditions in the policies of role {role}"),
            )
            .with_detail(why);
        }
        Finding::ok(CHECK)
    }

    fn denied(&self, role: &str, first: &Decision, actions: &[&str]) -> Finding {
        let names: Vec<&str> = actions.iter().map(|action| short(action)).collect();
        let names = names.join(", ");
        let started = self.expected.place.started.words();
        let (name, parameter) = (self.expected.place.started.name(), parameter(self.service()));
        let tag = if self.is_pipeline() { " (and tag the pipeline, if TargetPipelineTag is set)" } else { "" };
        let (cause, remedy) = if first.by_organization == Some(false) {
            (
                format!("A policy of the organisation denies {names} to role {role}"),
                "change the service control policy".to_owned(),
            )
        } else if first.by_boundary == Some(false) {
            (format!("The permissions boundary of role {role} denies {names}"), "change the boundary".to_owned())
        } else if first.decision == "explicitDeny" {
            (format!("A policy of role {role} denies {names}"), "remove the Deny statement that applies".to_owned())
        } else {
            (
                format!("Role {role} does not allow {names} on {started}"),
                format!(
                    "update the stack of deploy/member-account.yaml with a {parameter} that {name} fits{tag}, or add to \
                     role {role}: {}",
                    self.expected.statement(actions)
                ),
            )
        };
        Finding::fails(Check::StartPermission, cause, remedy)
            .with_detail(format!("IAM's simulator says {}", first.decision))
    }

    fn inspect_role(&self) -> Finding {
        const CHECK: Check = Check::InspectRole;
        let Some((spot, _)) = self.spot else { return no_function(CHECK, "inspect") };
        match &spot.assumed {
            Tried::Done(()) => Finding::ok(CHECK),
            // A rollout does not need this role: the checkup does.
            Tried::Refused { code, message } => Finding::unknown(
                CHECK,
                format!("Read-only role {} can't be assumed", self.inspect_role),
                format!("{}; the hub's InspectRole must be its name", self.expected.account_stack()),
            )
            .with_detail(words(code, message)),
            Tried::Unanswered { reason } => Finding::unanswered(CHECK, "STS", reason),
            Tried::NotTried => Finding::follows(CHECK, Check::HubFunction, "it was not tried"),
        }
    }

    /// Whether the pipeline is there, as told by whoever saw.
    fn pipeline(&self, is_disabled: bool) -> Finding {
        const CHECK: Check = Check::Pipeline;
        let started = &self.expected.place.started;
        let looked = self.spot.map(|(_, seen)| &seen.pipeline);
        let lists = self.access.map(|access| [&access.list_executions, &access.list_actions]);
        let lists = lists.into_iter().flatten();
        if looked.is_some_and(|looked| looked.done().is_some()) || lists.clone().any(|list| list.done().is_some()) {
            return Finding::ok(CHECK);
        }
        if is_disabled {
            return Finding::follows(CHECK, Check::Region, "the Region is not enabled");
        }
        let codes = lists.clone().map(Tried::code).chain([looked.and_then(Tried::code)]);
        if codes.flatten().any(is_not_found) {
            return Finding::fails(
                CHECK,
                format!("{} not found", started.sentence()),
                format!(
                    "create {} in the account and Region, or change the app's engine or targets in fleet.yaml",
                    started.words()
                ),
            );
        }
        if !self.is_pipeline() {
            return self.unseen(CHECK, looked);
        }
        let from = if self.spot.is_some_and(|(spot, _)| spot.assumed.done().is_some()) {
            Check::PipelineType
        } else {
            Check::InspectRole
        };
        Finding::follows(CHECK, from, "nobody got as far as to see it")
    }

    /// Why it is not known whether something that is no pipeline is there.
    fn unseen(&self, check: Check, looked: Option<&Tried<PipelineSeen>>) -> Finding {
        let started = &self.expected.place.started;
        let service = self.service();
        match looked {
            None => no_function(check, "inspect"),
            Some(Tried::Done(_)) => Finding::ok(check),
            Some(Tried::NotTried) => {
                Finding::follows(check, Check::InspectRole, format!("Role {} was not assumed", self.inspect_role))
            }
            Some(Tried::Refused { code, message }) if is_denied(code) => {
                let statement = json!({"Effect": "Allow", "Action": reads(service),
                    "Resource": pattern(started, self.expected.partition())});
                Finding::unknown(
                    check,
                    format!("Role {} may not read {}", self.inspect_role, started.words()),
                    format!(
                        "update the stack of deploy/member-account.yaml with a {} that {} fits, or add to role {}: \
                         {statement}",
                        parameter(service),
                        started.name(),
                        self.inspect_role
                    ),
                )
                .with_detail(message)
            }
            Some(Tried::Refused { code, message }) => Finding::unknown(
                check,
                format!("{} can't be read", started.sentence()),
                format!("see {service}'s words above"),
            )
            .with_detail(words(code, message)),
            Some(Tried::Unanswered { reason }) => Finding::unanswered(check, service.name(), reason),
        }
    }

    /// Type, variables and source action.
    fn structure(&self, is_disabled: bool, existence: &Finding) -> Vec<Finding> {
        const CHECKS: [Check; 3] = [Check::PipelineType, Check::Variables, Check::SourceAction];
        let name = self.expected.place.started.name();
        let all = |from: Check, why: &str| CHECKS.map(|check| Finding::follows(check, from, why)).to_vec();
        let Some((_, seen)) = self.spot else {
            return CHECKS.map(|check| no_function(check, "inspect")).to_vec();
        };
        let first = match &seen.pipeline {
            Tried::Done(seen) => return pipeline::judge(name, seen, &self.expected.sends).to_vec(),
            _ if is_disabled => return all(Check::Region, "the Region is not enabled"),
            _ if existence.state == State::Fails => return all(Check::Pipeline, "the pipeline is not there"),
            Tried::NotTried => {
                return all(Check::InspectRole, &format!("Role {} was not assumed", self.inspect_role));
            }
            Tried::Refused { code, message } if is_denied(code) => {
                let statement = json!({"Effect": "Allow", "Action": "codepipeline:GetPipeline",
                    "Resource": format!("arn:{}:codepipeline:*:*:{name}", self.expected.partition())});
                Finding::unknown(
                    CHECKS[0],
                    format!("Role {} may not read pipeline {name}", self.inspect_role),
                    format!(
                        "update the stack of deploy/member-account.yaml with a TargetPipelines that {name} fits, or \
                         add to role {}: {statement}",
                        self.inspect_role
                    ),
                )
                .with_detail(message)
            }
            Tried::Refused { code, message } => {
                Finding::unknown(CHECKS[0], format!("Pipeline {name} can't be read"), "see CodePipeline's words above")
                    .with_detail(words(code, message))
            }
            Tried::Unanswered { reason } => Finding::unanswered(CHECKS[0], "CodePipeline", reason),
        };
        let why = "the pipeline was not read";
        vec![first, Finding::follows(CHECKS[1], CHECKS[0], why), Finding::follows(CHECKS[2], CHECKS[0], why)]
    }

    fn rules(&self, is_disabled: bool) -> Vec<Finding> {
        let each = self.expected.rules.iter().map(|ExpectedRule { check, name, at }| {
            let check = *check;
            let Some((spot, _)) = self.spot else { return no_function(check, "inspect") };
            if is_disabled {
                return Finding::follows(check, Check::Region, "the Region is not enabled");
            }
            match spot.rules.get(*at) {
                Some(seen) => rule::judge(check, name, seen, self.inspect_role, self.expected),
                None => {
                    Finding::follows(check, Check::HubFunction, format!("the function said nothing of rule {name}"))
                }
            }
        });
        each.collect()
    }
}

/// What the services say of a pipeline, a project (which is told by no error of its own), and an application or its group
/// that is not there.
fn is_not_found(code: &str) -> bool {
    [
        "PipelineNotFoundException",
        "ResourceNotFoundException",
        "ApplicationDoesNotExistException",
        "DeploymentGroupDoesNotExistException",
    ]
    .contains(&code)
}

fn short(action: &str) -> &str {
    action.rsplit(':').next().unwrap_or(action)
}

pub(super) fn no_function(check: Check, function: &str) -> Finding {
    Finding::follows(check, Check::HubFunction, format!("{function} did not answer"))
}
