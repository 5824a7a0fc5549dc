//! EventBridge's part in the forwarding of service events, played from what the templates really installed.
//!
//! The emulator takes no events of `aws.*` sources (as AWS takes none from its customers) and does not forward
//! from bus to bus over accounts and Regions. So this puts an event on the default bus of the account and Region that it
//! happened in: it asks the emulator for the rules there, whether their patterns match, and for their targets. Then it
//! demands what EventBridge demands:
//!
//! | target | what must hold | by the EventBridge User Guide |
//! |---|---|---|
//! | a bus elsewhere | a role on the target, which EventBridge may assume for this rule and which may put events there | "Sending and receiving events between AWS accounts" |
//! | | a policy of the bus that lets the sender in | "Permissions for event buses" |
//! | | the event's first hop: what came from another bus goes to no third one | "Sending and receiving events between event buses" |
//! | a queue | the rule's own account and Region, and a policy of the queue that lets the rule in | "Using resource-based policies" |
//!
//! What is refused goes to the target's dead-letter queue, with the reason in its attributes, and is reported.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_eventbridge::types::{Rule, RuleState, Target};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde_json::{Value, json};

use super::policy::{self, Request};
use super::server::Server;
use super::template::Template;

/// What became of an event at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A queue took it.
    Taken {
        /// The queue's ARN.
        queue: String,
    },
    /// It was not delivered.
    Refused {
        /// The ARN of the rule that would have.
        rule: String,
        /// EventBridge's error code.
        code: &'static str,
        /// What is missing.
        reason: String,
    },
}

/// Routes events of the emulator's accounts.
#[derive(Debug, Default)]
pub struct Router {
    accounts: Mutex<BTreeMap<(String, String), SdkConfig>>,
}

/// A bus: `default`, or one that was made.
#[derive(Debug, Clone)]
struct Bus {
    account: String,
    region: String,
    name: String,
}

/// Why a target was not reached.
struct Refusal(&'static str, String);

impl Router {
    /// Puts an event on the default bus where it happened and follows it. Returns what became of it at every target of
    /// every rule that matched, over all buses.
    ///
    /// # Panics
    /// The emulator does not answer, or a rule uses what the router does not know.
    pub async fn route(&self, server: &Server, event: &Value) -> Vec<Delivery> {
        let field =
            |name: &str| event[name].as_str().unwrap_or_else(|| panic!("an event without {name}: {event}")).to_owned();
        let bus = Bus { account: field("account"), region: field("region"), name: "default".to_owned() };
        let mut deliveries = Vec::new();
        // Buses that the event has reached, and whether over another bus.
        let mut reached = vec![(bus, false)];
        while let Some((bus, forwarded)) = reached.pop() {
            let config = self.config(server, &bus.account, &bus.region).await;
            let events = aws_sdk_eventbridge::Client::new(&config);
            for rule in matching(&events, &bus, event).await {
                let name = rule.name().expect("a rule has a name");
                let arn = rule.arn().expect("a rule has an ARN");
                let listed = events.list_targets_by_rule().rule(name).event_bus_name(&bus.name).send().await;
                let targets = listed.unwrap_or_else(|error| panic!("targets of {arn}: {error:?}"));
                for target in targets.targets() {
                    let tried = match target.arn().split(':').nth(2) {
                        Some("sqs") => self.queue(server, arn, target, event).await.map(|()| {
                            deliveries.push(Delivery::Taken { queue: target.arn().to_owned() });
                        }),
                        Some("events") => self.bus(server, arn, target, event, forwarded).await.map(|next| {
                            reached.push((next, true));
                        }),
                        _ => panic!("the router does not know targets such as {}", target.arn()),
                    };
                    if let Err(Refusal(code, reason)) = tried {
                        self.dead_letter(server, arn, target, event, code, &reason).await;
                        deliveries.push(Delivery::Refused { rule: arn.to_owned(), code, reason });
                    }
                }
            }
        }
        deliveries
    }

    async fn config(&self, server: &Server, account: &str, region: &str) -> SdkConfig {
        let key = (account.to_owned(), region.to_owned());
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        match known {
            Some(config) => config,
            None => {
                let config = server.root(account, region).await;
                self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(key, config.clone());
                config
            }
        }
    }

    /// A queue of the rule's own account and Region.
    async fn queue(&self, server: &Server, rule: &str, target: &Target, event: &Value) -> Result<(), Refusal> {
        let untouched =
            target.input().is_none() && target.input_path().is_none() && target.input_transformer().is_none();
        assert!(untouched, "the router does not transform events, as the rule {rule} demands");
        let (account, region, _) = place(rule);
        let (queue_account, queue_region, name) = place(target.arn());
        if (account, region) != (queue_account, queue_region) {
            return Err(Refusal("NO_PERMISSIONS", format!("{} is in another account or Region", target.arn())));
        }
        let config = self.config(server, account, region).await;
        self.send(&config, rule, name, event, BTreeMap::new()).await
    }

    /// Sends to a queue as EventBridge does for a rule: if the queue's policy lets it.
    async fn send(
        &self,
        config: &SdkConfig,
        rule: &str,
        name: &str,
        event: &Value,
        attributes: BTreeMap<&str, String>,
    ) -> Result<(), Refusal> {
        let sqs = aws_sdk_sqs::Client::new(config);
        let missing = |what: String| Refusal("RESOURCE_NOT_FOUND", what);
        let url = sqs.get_queue_url().queue_name(name).send().await;
        let url = url.map_err(|error| missing(format!("queue {name}: {error}")))?.queue_url.unwrap_or_default();
        let asked = sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::Policy)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .unwrap_or_else(|error| panic!("attributes of queue {name}: {error:?}"));
        let attribute = |name| asked.attributes().and_then(|all| all.get(&name)).cloned().unwrap_or_default();
        let (policy, arn) = (attribute(QueueAttributeName::Policy), attribute(QueueAttributeName::QueueArn));
        let (account, ..) = place(rule);
        let request = Request {
            principal: ("Service", "events.amazonaws.com"),
            action: "sqs:SendMessage",
            resource: &arn,
            context: BTreeMap::from([
                ("aws:SourceArn", vec![rule.to_owned()]),
                ("aws:SourceAccount", vec![account.to_owned()]),
            ]),
        };
        let policy: Value = serde_json::from_str(&policy).unwrap_or_default();
        if policy.is_null() || !policy::allows(&policy, &request) {
            return Err(Refusal("NO_PERMISSIONS", format!("the policy of queue {name} does not let rule {rule} in")));
        }
        let mut message = sqs.send_message().queue_url(&url).message_body(event.to_string());
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            message = message.message_attributes(name, value.expect("a complete attribute"));
        }
        message.send().await.unwrap_or_else(|error| panic!("queue {name} does not take the event: {error:?}"));
        Ok(())
    }

    /// A bus elsewhere, for the sender's role.
    async fn bus(
        &self,
        server: &Server,
        rule: &str,
        target: &Target,
        event: &Value,
        forwarded: bool,
    ) -> Result<Bus, Refusal> {
        let (account, region, _) = place(rule);
        let (bus_account, bus_region, bus_name) = place(target.arn());
        let bus_name = bus_name.trim_start_matches("event-bus/");
        if forwarded {
            let code = if account == bus_account { "THIRD_REGION_HOP_DETECTED" } else { "THIRD_ACCOUNT_HOP_DETECTED" };
            return Err(Refusal(code, format!("the event came from another bus already, before {}", target.arn())));
        }
        let Some(role) = target.role_arn() else {
            return Err(Refusal("NO_PERMISSIONS", format!("rule {rule} has no role for {}", target.arn())));
        };
        self.may_forward(server, rule, role, target.arn(), (account, region)).await?;

        let config = self.config(server, bus_account, bus_region).await;
        let events = aws_sdk_eventbridge::Client::new(&config);
        let described = events.describe_event_bus().name(bus_name).send().await;
        described.map_err(|error| Refusal("RESOURCE_NOT_FOUND", format!("{}: {error}", target.arn())))?;
        let policy = bus_policy(&config, target.arn()).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let request = Request {
            principal: ("AWS", role),
            action: "events:PutEvents",
            resource: target.arn(),
            context: BTreeMap::from([
                ("events:source", vec![text(&event["source"])]),
                ("events:detail-type", vec![text(&event["detail-type"])]),
                ("events:eventBusInvocation", vec!["true".to_owned()]),
            ]),
        };
        if account != bus_account && !policy::allows(&policy, &request) {
            return Err(Refusal("NO_PERMISSIONS", format!("the policy of {} does not let {role} in", target.arn())));
        }
        Ok(Bus { account: bus_account.to_owned(), region: bus_region.to_owned(), name: bus_name.to_owned() })
    }

    /// Whether EventBridge may assume the role for the rule, and the role may put events on the bus.
    async fn may_forward(
        &self,
        server: &Server,
        rule: &str,
        role: &str,
        bus: &str,
        (account, region): (&str, &str),
    ) -> Result<(), Refusal> {
        let refused = |reason: String| Refusal("NO_PERMISSIONS", reason);
        let config = self.config(server, account, region).await;
        let iam = aws_sdk_iam::Client::new(&config);
        let name = role.rsplit('/').next().unwrap_or_default();
        let found = iam.get_role().role_name(name).send().await;
        let found = found.map_err(|error| refused(format!("role {role} of rule {rule}: {error}")))?;
        let role_found = found.role().filter(|found| found.arn() == role);
        let trust = role_found.and_then(|role| role.assume_role_policy_document()).unwrap_or_default();
        // IAM answers with policies in percent-encoding ("GetRole" of its API reference).
        let trust = percent_encoding::percent_decode_str(trust).decode_utf8_lossy();
        let trust: Value = serde_json::from_str(&trust).unwrap_or_default();
        let request = Request {
            principal: ("Service", "events.amazonaws.com"),
            action: "sts:AssumeRole",
            resource: "",
            context: BTreeMap::from([
                ("aws:SourceArn", vec![rule.to_owned()]),
                ("aws:SourceAccount", vec![account.to_owned()]),
            ]),
        };
        if trust.is_null() || !policy::allows(&trust, &request) {
            return Err(refused(format!("role {role} can't be assumed for rule {rule}")));
        }
        let simulated = iam
            .simulate_principal_policy()
            .policy_source_arn(role)
            .action_names("events:PutEvents")
            .resource_arns(bus)
            .send()
            .await
            .unwrap_or_else(|error| panic!("simulation of role {role}: {error:?}"));
        let allowed = simulated.evaluation_results().iter().all(|result| result.eval_decision().as_str() == "allowed");
        if allowed { Ok(()) } else { Err(refused(format!("role {role} may not put events on {bus}"))) }
    }

    async fn dead_letter(&self, server: &Server, rule: &str, target: &Target, event: &Value, code: &str, reason: &str) {
        let Some(queue) = target.dead_letter_config().and_then(|config| config.arn()) else { return };
        let (account, region, name) = place(queue);
        let config = self.config(server, account, region).await;
        let attributes = BTreeMap::from([
            ("RULE_ARN", rule.to_owned()),
            ("TARGET_ARN", target.arn().to_owned()),
            ("ERROR_CODE", code.to_owned()),
            ("ERROR_MESSAGE", reason.to_owned()),
        ]);
        if let Err(Refusal(code, reason)) = self.send(&config, rule, name, event, attributes).await {
            panic!("the dead-letter queue of rule {rule} refuses as well: {code}, {reason}");
        }
    }
}

/// The enabled rules of a bus whose pattern the event matches.
async fn matching(events: &aws_sdk_eventbridge::Client, bus: &Bus, event: &Value) -> Vec<Rule> {
    let listed = events.list_rules().event_bus_name(&bus.name).send().await;
    let listed = listed.unwrap_or_else(|error| panic!("rules of bus {bus:?}: {error:?}"));
    assert!(listed.next_token().is_none(), "more rules than on one page");
    let mut found = Vec::new();
    for rule in listed.rules() {
        let (Some(pattern), Some(RuleState::Enabled)) = (rule.event_pattern(), rule.state()) else { continue };
        let tested = events.test_event_pattern().event_pattern(pattern).event(event.to_string()).send().await;
        if tested.unwrap_or_else(|error| panic!("pattern {pattern} on {event}: {error:?}")).result() {
            found.push(rule.clone());
        }
    }
    found
}

/// A bus's policy: from the stack that made it, as the emulator does not keep it.
pub(super) async fn bus_policy(config: &SdkConfig, bus: &str) -> Value {
    let (account, region, bus) = place(bus);
    let bus = bus.trim_start_matches("event-bus/");
    let stacks = aws_sdk_cloudformation::Client::new(config);
    let described =
        stacks.describe_stacks().send().await.unwrap_or_else(|error| panic!("stacks of {account}: {error:?}"));
    for stack in described.stacks() {
        let name = stack.stack_name().expect("a stack has a name");
        let resources = stacks.describe_stack_resources().stack_name(name).send().await;
        let resources = resources.unwrap_or_else(|error| panic!("resources of stack {name}: {error:?}"));
        let made = resources.stack_resources().iter().find(|resource| {
            resource.resource_type() == Some("AWS::Events::EventBus") && resource.physical_resource_id() == Some(bus)
        });
        if let Some(logical) = made.and_then(|resource| resource.logical_resource_id()) {
            return rendered(&stacks, stack, name, account, region).await.property(logical, "Policy");
        }
    }
    json!({"Statement": [deny_all()]})
}

/// The template that a stack was made from, with its parameters.
async fn rendered(
    stacks: &aws_sdk_cloudformation::Client,
    stack: &Stack,
    name: &str,
    account: &str,
    region: &str,
) -> Template {
    let mut parameters: BTreeMap<String, String> = stack
        .parameters()
        .iter()
        .map(|given| (given.parameter_key().unwrap_or_default(), given.parameter_value().unwrap_or_default()))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for (name, value) in [("Partition", "aws"), ("Region", region), ("AccountId", account), ("StackName", name)] {
        parameters.insert(format!("AWS::{name}"), value.to_owned());
    }
    let template = stacks.get_template().stack_name(name).send().await.expect("the stack has a template");
    Template::new(template.template_body().expect("a template has a body"), parameters)
}

/// Without a policy, nobody from elsewhere may put events on a bus.
fn deny_all() -> Value {
    json!({"Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": "*"})
}

/// Account, Region and the rest of an ARN.
fn place(arn: &str) -> (&str, &str, &str) {
    let mut parts = arn.splitn(6, ':').skip(3);
    let mut next = || parts.next().unwrap_or_else(|| panic!("{arn} is no ARN"));
    let (region, account, rest) = (next(), next(), next());
    (account, region, rest)
}
