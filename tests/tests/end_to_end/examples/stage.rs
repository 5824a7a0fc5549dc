//! An example in the accounts of a story, with the stacks that its page installs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::error::DisplayErrorContext;
use aws_sdk_cloudformation::types::{Parameter, Stack};
use manifold_core::engine::Subject;
use manifold_core::event::{Event, PipelineState, decode_event};
use manifold_core::ids::{ExecutionRef, RunId};
use manifold_core::plan::{Plan, PlannedTarget};
use manifold_core::release::{Release, Trigger};
use manifold_fleet::{App, Fleet};
use manifold_tests::local_aws::organization::{HUB_REGION, Organization};
use manifold_tests::local_aws::patience;
use manifold_tests::local_aws::template::Template;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::page::{Deploy, Whither, commands, localized, read};
use super::suit::{in_region, kinds, suited, unknown};

/// More than enough for a stack of thirty resources.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Where a stack is: account, Region, name.
pub(super) type Place = (String, String, String);

/// A stack that was installed.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) template: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) outputs: BTreeMap<String, String>,
    /// Type and physical id, by logical id.
    pub(super) resources: BTreeMap<String, (String, String)>,
}

impl Installed {
    pub(super) fn physical(&self, resource: &str) -> &str {
        self.resources.get(resource).map_or("", |(_, physical)| physical)
    }

    /// What a template makes of a property, also of what the emulator does not have.
    pub(super) fn property(&self, resource: &str, property: &str) -> Value {
        let physical = self.resources.iter().map(|(name, (_, physical))| (name.clone(), physical.clone()));
        let known = self.parameters.clone().into_iter().chain(physical).collect();
        Template::new(&self.template, known).property(resource, property)
    }
}

/// An example in the accounts of a story.
pub(super) struct Example {
    pub(super) story: Organization,
    pub(super) folder: &'static str,
    pub(super) fleet: Fleet,
    pub(super) release: Release,
    pub(super) stacks: BTreeMap<Place, Installed>,
}

pub(super) fn given(parameters: &BTreeMap<String, String>) -> Vec<Parameter> {
    let parameter =
        |(key, value): (&String, &String)| Parameter::builder().parameter_key(key).parameter_value(value).build();
    parameters.iter().map(parameter).collect()
}

pub(super) fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let output = |output: &aws_sdk_cloudformation::types::Output| {
        Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
    };
    stack.outputs().iter().filter_map(output).collect()
}

pub(super) async fn stacks(story: &Organization, account: &str, region: &str) -> aws_sdk_cloudformation::Client {
    aws_sdk_cloudformation::Client::new(&story.server().root(account, region).await)
}

/// A stack once nothing is done to it any more.
pub(super) async fn settled(client: &aws_sdk_cloudformation::Client, name: &str) -> Stack {
    patience::until(&format!("the stack {name}"), LIMIT, async || {
        let described = client.describe_stacks().stack_name(name).send().await;
        let stack = described.map_err(|error| DisplayErrorContext(error).to_string())?.stacks.unwrap().remove(0);
        let status = stack.stack_status().unwrap().as_str().to_owned();
        if status.ends_with("IN_PROGRESS") { Err(status) } else { Ok(stack) }
    })
    .await
}

/// What failed in a stack, and why.
pub(super) async fn failures(client: &aws_sdk_cloudformation::Client, name: &str) -> Vec<String> {
    let events = client.describe_stack_events().stack_name(name).send().await.unwrap();
    let failed = events
        .stack_events()
        .iter()
        .filter(|event| event.resource_status().is_some_and(|status| status.as_str().ends_with("_FAILED")));
    failed
        .map(|event| {
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            format!(
                "{} {}: {}",
                part(event.resource_type()),
                part(event.logical_resource_id()),
                part(event.resource_status_reason())
            )
        })
        .collect()
}

impl Example {
    pub(super) async fn new(folder: &'static str) -> Self {
        let story = Organization::empty().await;
        let fleet = Fleet::parse("fleet.yaml", &localized(&read(folder, "fleet.yaml"), &story)).unwrap();
        let event = decode_event(&localized(&read(folder, "events/release.json"), &story)).unwrap();
        let Event::Pipeline(told) = &event.event else { panic!("{event:?}") };
        assert_eq!(told.state, PipelineState::Succeeded);
        let release = Release::announced(&event, told, Vec::new(), Trigger::default());
        Self { story, folder, fleet, release, stacks: BTreeMap::new() }
    }

    pub(super) fn app(&self) -> &App {
        self.fleet.apps().next().unwrap()
    }

    /// What Manifold would start for the recorded release.
    pub(super) fn plan(&self) -> Plan {
        let source: &ExecutionRef = &self.release.source;
        self.app().plan(&RunId::derive(self.app().name(), source), &self.release).unwrap()
    }

    pub(super) fn at(&self, account: &str, region: &str, stack: &str) -> &Installed {
        let place = (account.to_owned(), region.to_owned(), stack.to_owned());
        self.stacks.get(&place).unwrap_or_else(|| panic!("{place:?} is not installed"))
    }

    /// Everything that the page says, in its order and everywhere.
    pub(super) async fn install(&mut self) {
        let commands = commands(&localized(&read(self.folder, "README.md"), &self.story));
        assert!(commands.len() >= 2, "{commands:#?}");
        let (mut accounts, mut regions) = (Vec::new(), Vec::new());
        for target in self.app().targets() {
            let (account, region) = (target.key().account.to_string(), target.key().region.to_string());
            if !accounts.contains(&account) {
                accounts.push(account);
            }
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
        // The page's order: the Region that makes the account's roles comes first.
        regions.sort_by_key(|region| region != HUB_REGION);
        for command in commands {
            let hub = [self.story.hub.clone()];
            let (accounts, regions) = match command.whither {
                Whither::Hub => (&hub[..], &command.regions),
                Whither::Accounts => (&accounts[..], &command.regions),
                Whither::Targets => (&accounts[..], &regions),
            };
            for account in accounts {
                for region in regions {
                    let command = self.filled(&command, account, region).await;
                    self.deploy(&command, account, region).await;
                }
            }
        }
    }

    /// A command for one account and Region, with what the page leaves open.
    pub(super) async fn filled(&self, command: &Deploy, account: &str, region: &str) -> Deploy {
        let mut command = command.clone();
        let needs_network = command.parameters.contains_key("VpcId");
        let network = if needs_network { self.network(account, region).await } else { BTreeMap::new() };
        let page_region = command.regions[0].clone();
        for (name, value) in &mut command.parameters {
            if command.whither == Whither::Targets && name != "HubAccount" {
                // The page shows one of the targets.
                *value = value.replace(&self.story.prod, account).replace(&page_region, region);
            }
            if value.contains('…') {
                *value = match name.as_str() {
                    "ConnectionArn" => value.replace('…', "0c4ff8ee-4a0d-4f2e-9a44-0c1a5f1f2b3d"),
                    "BootstrapImage" => "public.ecr.aws/nginx/nginx:stable".to_owned(),
                    "VpcId" => network["Vpc"].clone(),
                    "RouteTableIds" => network["Routes"].clone(),
                    "SubnetIds" | "LoadBalancerSubnetIds" | "TaskSubnetIds" => network["Subnets"].clone(),
                    other => panic!("nobody knows what {other} is"),
                };
            }
        }
        let is_built_only = |target: &PlannedTarget| {
            target.key.account.to_string() == account
                && target.key.region.as_str() == region
                && matches!(target.subject, Subject::Project(_))
        };
        if command.whither == Whither::Targets && self.plan().targets.iter().any(is_built_only) {
            // "The same with WithPipeline=false in ap-southeast-7".
            command.parameters.insert("WithPipeline".to_owned(), "false".to_owned());
        }
        command
    }

    /// The network that a page expects.
    pub(super) async fn network(&self, account: &str, region: &str) -> BTreeMap<String, String> {
        let subnet = |number: u32| {
            let zone = json!({ "Fn::Select": [number, { "Fn::GetAZs": "" }] });
            let range = format!("10.0.{number}.0/24");
            json!({"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": range, "AvailabilityZone": zone}})
        };
        let template = json!({
            "Resources": {
                "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
                "A": subnet(0), "B": subnet(1),
                "Routes": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
            },
            "Outputs": {
                "Vpc": {"Value": {"Ref": "Vpc"}}, "Routes": {"Value": {"Ref": "Routes"}},
                "Subnets": {"Value": {"Fn::Join": [",", [{"Ref": "A"}, {"Ref": "B"}]]}},
            },
        });
        let client = stacks(&self.story, account, region).await;
        client.create_stack().stack_name("network").template_body(template.to_string()).send().await.unwrap();
        outputs(&settled(&client, "network").await)
    }

    /// Installs a stack, without what the emulator lacks, and looks at what is there then.
    pub(super) async fn deploy(&mut self, command: &Deploy, account: &str, region: &str) {
        let Deploy { stack, template, capabilities, parameters, .. } = command;
        let text = read(self.folder, template);
        let whole = in_region(&text, region);
        let all = kinds(&whole);
        let lacking: BTreeSet<&str> = all.values().map(String::as_str).filter(|kind| unknown(kind).is_some()).collect();
        let client = stacks(&self.story, account, region).await;
        let create = |body: &Value| {
            let create = client.create_stack().stack_name(stack).template_body(body.to_string());
            create.set_parameters(Some(given(parameters))).set_capabilities(capabilities.clone().map(|one| vec![one]))
        };
        let place = format!("{stack} in {account} {region}");
        // Whole, where its conditions leave out what the emulator lacks; else it says what that is.
        let body = match create(&whole).send().await {
            Ok(_) => whole.clone(),
            Err(error) => {
                let refused = DisplayErrorContext(error).to_string();
                let named =
                    refused.split_once("Unrecognized resource types: [").and_then(|(_, rest)| rest.split_once(']'));
                let (named, _) = named.unwrap_or_else(|| panic!("{place}: {refused}"));
                assert!(named.split(", ").all(|kind| lacking.contains(kind)), "{place}: {refused}");
                let suited = suited(&text, region, None);
                if let Err(error) = create(&suited).send().await {
                    panic!("{place}: {}", DisplayErrorContext(error));
                }
                suited
            }
        };
        let made = settled(&client, stack).await;
        let status = made.stack_status().unwrap().as_str();
        assert_eq!(status, "CREATE_COMPLETE", "{place}: {:#?}", failures(&client, stack).await);

        let described = client.describe_stack_resources().stack_name(stack).send().await.unwrap();
        let resource = |resource: &aws_sdk_cloudformation::types::StackResource| {
            let kind = resource.resource_type().unwrap().to_owned();
            (
                resource.logical_resource_id().unwrap().to_owned(),
                (kind, resource.physical_resource_id().unwrap().to_owned()),
            )
        };
        let resources: BTreeMap<String, (String, String)> = described.stack_resources().iter().map(resource).collect();
        for (name, resource) in body["Resources"].as_object().unwrap() {
            let is_there = resources.contains_key(name);
            assert!(is_there || resource.get("Condition").is_some(), "{place} has no {name}");
        }
        let outputs = outputs(&made);
        let promised: BTreeSet<&String> = whole["Outputs"].as_object().unwrap().keys().collect();
        assert_eq!(outputs.keys().collect::<BTreeSet<_>>(), promised, "{place}");

        let again = client.update_stack().stack_name(stack).template_body(body.to_string());
        let again =
            again.set_parameters(Some(given(parameters))).set_capabilities(capabilities.clone().map(|one| vec![one]));
        let refused = DisplayErrorContext(again.send().await.unwrap_err()).to_string();
        assert!(refused.contains("No updates are to be performed"), "{place}: {refused}");

        let mut parameters = parameters.clone();
        for (name, value) in [("AWS::AccountId", account), ("AWS::Region", region), ("AWS::Partition", "aws")] {
            parameters.insert(name.to_owned(), value.to_owned());
        }
        let key = (account.to_owned(), region.to_owned(), stack.clone());
        self.stacks.insert(key, Installed { template: text, parameters, outputs, resources });
    }

    /// Whom the roles of an account that the stacks made let in, by the role's name. Every service is let in for this account
    /// only, but for those that take roles from whoever may pass them.
    pub(super) async fn trusts(&self, account: &str) -> BTreeMap<String, String> {
        let iam = self.story.iam(account).await;
        let mut trusts = BTreeMap::new();
        for ((of, _, _), installed) in &self.stacks {
            for (kind, name) in installed.resources.values().filter(|_| of == account) {
                if kind != "AWS::IAM::Role" {
                    continue;
                }
                let role = iam.get_role().role_name(name).send().await.unwrap().role.unwrap();
                let document = percent_decode_str(role.assume_role_policy_document().unwrap()).decode_utf8_lossy();
                let document: Value = serde_json::from_str(&document).unwrap();
                let [statement] = document["Statement"].as_array().unwrap().as_slice() else { panic!("{document:#}") };
                assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Allow"), &json!("sts:AssumeRole")));
                let condition = &statement["Condition"]["StringEquals"];
                let whom = match (statement["Principal"]["Service"].as_str(), statement["Principal"]["AWS"].as_str()) {
                    (Some(service @ ("cloudformation.amazonaws.com" | "lambda.amazonaws.com")), None) => {
                        service.to_owned()
                    }
                    (Some(service), None) => {
                        assert_eq!(condition["aws:SourceAccount"], account, "{name}");
                        service.to_owned()
                    }
                    (None, Some(arn)) => format!("{arn} as {}", condition["sts:ExternalId"].as_str().unwrap()),
                    (_, _) => panic!("{name} lets in {statement:#}"),
                };
                trusts.insert(name.clone(), whom);
            }
        }
        trusts
    }

    /// What is in the hub: the release pipeline that the fleet file names.
    pub(super) fn hub_is_as_the_fleet_file_says(&self) {
        let [pipeline] = self.app().releases() else { panic!("{:?}", self.app().releases()) };
        let hub = self.at(&self.story.hub, pipeline.region().as_str(), &format!("{}-release", self.app().name()));
        assert_eq!(hub.outputs["PipelineName"], pipeline.name().as_str());
        assert_eq!(hub.property("Pipeline", "Name"), pipeline.name().as_str());
    }
}
