//! The examples' stacks, installed by the commands of their own pages: as far as the emulator goes, and what it lacks named.

mod page;
mod stage;
mod suit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use aws_sdk_cloudformation::error::DisplayErrorContext;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, ChangeSetType, Stack};
use aws_sdk_s3::primitives::ByteStream;
use manifold_core::engine::{DeploymentRevision, Subject, Work};
use manifold_core::plan::PlannedTarget;
use manifold_tests::local_aws::organization::{HUB_REGION, Organization};
use manifold_tests::local_aws::patience;
use manifold_tests::local_aws::template::as_json;
use serde_json::{Map, Value, json};

use self::page::{Deploy, Whither, commands, localized, read};
use self::stage::{Example, LIMIT, failures, given, outputs, settled, stacks};
use self::suit::{HALF, UNKNOWN, Unknown, kinds, suited};

fn names(list: &Value, field: &str) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

fn keys(map: &BTreeMap<String, String>) -> BTreeSet<String> {
    map.keys().cloned().collect()
}

fn table<const N: usize>(rows: [(&str, &str); N]) -> BTreeMap<String, String> {
    rows.into_iter().map(|(name, whom)| (name.to_owned(), whom.to_owned())).collect()
}

const CODEBUILD: &str = "codebuild.amazonaws.com";

const CODEPIPELINE: &str = "codepipeline.amazonaws.com";

#[tokio::test]
async fn ansible_on_ec2_is_installed_as_its_page_says() {
    let mut example = Example::new("ansible-ec2").await;
    example.install().await;
    example.hub_is_as_the_fleet_file_says();
    let story = &example.story;
    let (mut with_pipeline, mut without) = (0, 0);
    for target in example.plan().targets {
        let (account, region) = (target.key.account.to_string(), target.key.region.to_string());
        let installed = example.at(&account, &region, "site-target");
        let builds = aws_sdk_codebuild::Client::new(&story.server().root(&account, &region).await);
        let name = installed.outputs["ProjectName"].as_str();
        let found = builds.batch_get_projects().names(name).send().await.unwrap().projects.unwrap().remove(0);
        let environment = found.environment().unwrap().environment_variables();
        let variables: BTreeMap<String, String> =
            environment.iter().map(|variable| (variable.name().to_owned(), variable.value().to_owned())).collect();
        assert!(keys(&target.variables).is_subset(&keys(&variables)), "{variables:?}");
        // The release is read from the bucket in the hub that is in the same Region.
        let artifacts = example.at(&story.hub, &region, "site-artifacts");
        assert_eq!(artifacts.outputs["BucketName"], variables["BUCKET"]);
        assert_eq!(variables["TRANSFER_BUCKET"], installed.physical("TransferBucket"));
        match &target.subject {
            Subject::Pipeline(pipeline) => {
                with_pipeline += 1;
                assert_eq!(installed.property("Pipeline", "Name"), pipeline.as_str());
                assert_eq!(names(&installed.property("Pipeline", "Variables"), "Name"), keys(&target.variables));
                assert_eq!(found.source().unwrap().r#type().as_str(), "CODEPIPELINE");
            }
            Subject::Project(project) => {
                without += 1;
                assert_eq!((project.as_str(), installed.physical("PipelineRole")), (name, ""));
                assert_eq!(found.source().unwrap().r#type().as_str(), "NO_SOURCE");
            }
            other @ (Subject::Stack(_) | Subject::Group(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!((with_pipeline, without), (10, 2));

    let expected = table([("site-release-package", CODEBUILD), ("site-release-pipeline", CODEPIPELINE)]);
    assert_eq!(example.trusts(&story.hub).await, expected);
    let trusts = example.trusts(&story.prod).await;
    assert_eq!(trusts.len(), 11, "a build's role in six Regions, a pipeline's in five");
    assert_eq!(trusts["site-deploy-build-ap-southeast-7"], CODEBUILD);
    assert_eq!(trusts["site-deploy-pipeline-eu-west-1"], CODEPIPELINE);
}

#[tokio::test]
async fn a_container_service_is_installed_as_its_page_says() {
    let mut example = Example::new("container").await;
    example.install().await;
    example.hub_is_as_the_fleet_file_says();
    let story = &example.story;
    let plan = example.plan();
    assert_eq!(plan.targets.len(), 10);
    let alarms: BTreeSet<&String> =
        plan.waves.iter().filter_map(|wave| wave.bake.as_ref()).flat_map(|bake| &bake.alarms).collect();
    for target in &plan.targets {
        let installed = example.at(target.key.account.as_str(), target.key.region.as_str(), "shop-target");
        let Subject::Group(group) = &target.subject else { panic!("{:?}", target.subject) };
        assert_eq!(installed.property("Application", "ApplicationName"), group.application());
        assert_eq!(installed.property("DeploymentGroup", "DeploymentGroupName"), group.group());
        // What the group would deploy to.
        assert!(installed.physical("Service").ends_with(":service/shop/shop"), "{installed:#?}");
        let made = [
            installed.physical("ErrorsAlarm").to_owned(),
            installed.property("UnhealthyAlarm", "AlarmName").as_str().unwrap().to_owned(),
        ];
        assert_eq!(made.iter().collect::<BTreeSet<_>>(), alarms);
        // The AppSpec names the service's container, and roles that the task definition of the repository names are there.
        let Some(Work::Deployment(work)) = &target.work else { panic!("{:?}", target.work) };
        let DeploymentRevision::AppSpec(appspec) = &work.revision else { panic!("{:?}", work.revision) };
        let container = installed.property("Service", "LoadBalancers")[0].clone();
        for (key, value) in
            [("ContainerName", &container["ContainerName"]), ("ContainerPort", &container["ContainerPort"])]
        {
            let line = format!("{key}: {}", value.as_str().unwrap());
            assert!(appspec.contains(&line), "{line}: {appspec}");
        }
        let arn = format!("arn:aws:ecs:{}:{}:task-definition/shop-", target.key.region, target.key.account);
        assert!(appspec.contains(&arn), "{appspec}");
        assert!(!installed.outputs["Address"].is_empty());
    }
    let hub = example.at(&story.hub, HUB_REGION, "shop-release");
    assert!(hub.outputs["ImageUri"].ends_with(&format!("{HUB_REGION}.amazonaws.com/shop")), "{:?}", hub.outputs);

    let builds = ["shop-release-image", "shop-release-register", "shop-release-scan"].map(|name| (name, CODEBUILD));
    let mut expected = table(builds);
    expected.extend(table([("shop-release-pipeline", CODEPIPELINE)]));
    assert_eq!(example.trusts(&story.hub).await, expected);
    let register = format!("{} as shop-9c4e", hub.outputs["RegisterRoleArn"]);
    let expected = table([
        ("shop-codedeploy", "codedeploy.amazonaws.com"),
        ("shop-execution", "ecs-tasks.amazonaws.com"),
        ("shop-register", &register),
        ("shop-task", "ecs-tasks.amazonaws.com"),
    ]);
    assert_eq!(example.trusts(&story.prod).await, expected, "the account's, made in one Region");
    // The roles that the repository's task definition names.
    let definition = read("container", "taskdef.json");
    for role in ["execution", "task"] {
        assert!(definition.contains(&format!("role/@NAME@-{role}")) && expected.contains_key(&format!("shop-{role}")));
    }
}

/// What the test leaves out is still missing: each peculiarity alone keeps the stack from being made.
#[tokio::test]
async fn what_the_emulator_lacks_it_lacks_still() {
    let mut example = Example::new("container").await;
    let used: BTreeSet<String> = [
        "ansible-ec2/release.yaml",
        "ansible-ec2/target.yaml",
        "container/release.yaml",
        "container/target.yaml",
        "serverless/release.yaml",
        "serverless/target.yaml",
        "serverless/template.yaml",
        "artifacts.yaml",
    ]
    .iter()
    .flat_map(|file| kinds(&as_json(&read("", file))).into_values())
    .collect();
    for Unknown { kind, why, .. } in &UNKNOWN {
        assert!(used.contains(*kind), "no example has a {kind} any more");
        let client = stacks(&example.story, &example.story.hub, HUB_REGION).await;
        let template = json!({ "Resources": { "It": { "Type": kind, "Properties": {} } } });
        let refused = client.create_stack().stack_name("it").template_body(template.to_string()).send().await;
        let refused = refused.map_err(|error| DisplayErrorContext(error).to_string());
        let refused = refused.expect_err(&format!("the emulator has {kind} now, so this is no longer so: {why}"));
        assert!(refused.contains(&format!("Unrecognized resource types: [{kind}]")), "{refused}");
    }
    let page = localized(&read("container", "README.md"), &example.story);
    let command = commands(&page).into_iter().find(|command| command.whither == Whither::Targets).unwrap();
    let account = example.story.dev.clone();
    for (half, region) in HALF.iter().zip(["us-east-1", "eu-west-1"]) {
        let command = example.filled(&command, &account, region).await;
        let client = stacks(&example.story, &account, region).await;
        let create = client.create_stack().stack_name(&command.stack);
        let create =
            create.template_body(suited(&read("container", &command.template), region, Some(half)).to_string());
        let create =
            create.set_parameters(Some(given(&command.parameters))).capabilities(Capability::CapabilityNamedIam);
        create.send().await.unwrap();
        let stack = settled(&client, &command.stack).await;
        let failed = failures(&client, &command.stack).await;
        assert_eq!(stack.stack_status().unwrap().as_str(), "ROLLBACK_COMPLETE", "no longer so: {}", half.why);
        assert!(failed.iter().any(|why| why.contains(half.kind) && why.contains(half.refusal)), "{failed:#?}");
    }
    let there = json!({ "Fn::Equals": [{ "Ref": "AWS::Region" }, HUB_REGION] });
    let logs = |condition: Value| json!({ "Type": "AWS::Logs::LogGroup", "Condition": condition });
    let template = json!({
        "Conditions": { "There": there, "Nowhere": { "Fn::Not": [{ "Condition": "There" }] } },
        "Resources": { "There": logs(json!("There")), "Nowhere": logs(json!("Nowhere")) },
    });
    let client = stacks(&example.story, &example.story.hub, HUB_REGION).await;
    client.create_stack().stack_name("where").template_body(template.to_string()).send().await.unwrap();
    settled(&client, "where").await;
    let made = client.describe_stack_resources().stack_name("where").send().await.unwrap();
    let made: Vec<_> = made.stack_resources().iter().filter_map(|made| made.logical_resource_id()).collect();
    assert_eq!(made, ["Nowhere"], "the emulator's conditions know the Region now");

    // With all of them left out it is made, in a Region that is not the one for roles.
    let region = "ca-central-1";
    let command = example.filled(&command, &account, region).await;
    example.deploy(&command, &account, region).await;
    assert_eq!(example.trusts(&account).await, BTreeMap::new(), "roles are made in us-east-1");
}

/// The choices that the pages describe besides: CodeCommit, a stage that waits, SSH, a key.
#[tokio::test]
async fn the_other_choices_of_the_pages_are_installed_too() {
    for folder in ["ansible-ec2", "serverless", "container"] {
        let mut example = Example::new(folder).await;
        let page = localized(&read(folder, "README.md"), &example.story);
        let (hub, prod) = (example.story.hub.clone(), example.story.prod.clone());
        for command in commands(&page) {
            let is_release = command.template == "release.yaml";
            let more = match (folder, command.template.as_str()) {
                (_, "release.yaml") => {
                    vec![("SourceProvider", "CodeCommit"), ("ConnectionArn", ""), ("WaitForRollout", "true")]
                }
                (_, "../artifacts.yaml") => vec![("WithKey", "true")],
                ("ansible-ec2", _) => {
                    let group = "sg-0123456789abcdef0";
                    vec![("Connection", "ssh"), ("SshKeyParameter", "/site/key"), ("InstanceSecurityGroupId", group)]
                }
                ("serverless", _) => vec![("PermissionsBoundaryArn", "arn:aws:iam::111122223333:policy/ours")],
                (_, _) => vec![("AlarmTopicArn", "arn:aws:sns:us-east-1:111122223333:alarms")],
            };
            let account = if command.whither == Whither::Hub { &hub } else { &prod };
            let region = command.regions[0].clone();
            let mut command = example.filled(&command, account, &region).await;
            if is_release {
                let refused = Deploy { stack: "refused".to_owned(), ..command.clone() };
                let client = stacks(&example.story, account, &region).await;
                let create = client.create_stack().stack_name(&refused.stack);
                let create = create.template_body(suited(&read(folder, &command.template), &region, None).to_string());
                let mut parameters = refused.parameters;
                parameters.remove("ConnectionArn");
                let create =
                    create.set_parameters(Some(given(&parameters))).capabilities(Capability::CapabilityNamedIam);
                let why = DisplayErrorContext(create.send().await.unwrap_err()).to_string();
                assert!(why.contains("SourceProvider Connection needs ConnectionArn"), "{why}");
            }
            command.parameters.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
            example.deploy(&command, account, &region).await;
        }
        let push = format!("{}-release-push", example.app().name());
        assert_eq!(example.trusts(&hub).await[&push], "events.amazonaws.com");
        let release = example.at(&hub, HUB_REGION, &format!("{}-release", example.app().name()));
        assert_eq!(release.physical("PushRule"), format!("{}-push", example.app().name()));
    }
}

/// S3 as an account's root user. The emulator has no host name for each bucket.
async fn objects(story: &Organization, account: &str, region: &str) -> aws_sdk_s3::Client {
    let config = story.server().root(account, region).await;
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build())
}

async fn reads(story: &Organization, account: &str, region: &str, bucket: &str, key: &str) -> bool {
    let client = objects(story, account, region).await;
    match client.get_object().bucket(bucket).key(key).send().await {
        Ok(_) => true,
        Err(error) => {
            let why = DisplayErrorContext(error).to_string();
            assert!(why.contains("AccessDenied"), "{why}");
            false
        }
    }
}

/// The code as the release pipeline packs it.
fn function_zip(story: &Organization) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/serverless/src");
    let zip = std::env::temp_dir().join(format!("function-{}.zip", story.hub));
    let packed =
        Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&zip).arg("handler.py").current_dir(source).status();
    assert!(packed.unwrap().success());
    let bytes = fs::read(&zip).unwrap();
    fs::remove_file(zip).unwrap();
    bytes
}

/// A change set as Manifold makes one, once it is made.
async fn change_set(
    client: &aws_sdk_cloudformation::Client,
    target: &PlannedTarget,
    kind: ChangeSetType,
    name: &str,
    template: &str,
    parameters: &BTreeMap<String, String>,
) -> DescribeChangeSetOutput {
    let Some(Work::Stack(work)) = &target.work else { panic!("{:?}", target.work) };
    let capabilities = work.capabilities.iter().map(|capability| Capability::from(capability.as_str())).collect();
    let create = client.create_change_set().stack_name(target.subject.name()).change_set_name(name).client_token(name);
    let create = create.change_set_type(kind).template_url(template).set_parameters(Some(given(parameters)));
    let create = create.set_capabilities(Some(capabilities)).role_arn(work.role.as_ref().unwrap().as_str());
    create.send().await.unwrap();
    patience::until("the change set", LIMIT, async || {
        let described =
            client.describe_change_set().stack_name(target.subject.name()).change_set_name(name).send().await;
        let described = described.map_err(|error| DisplayErrorContext(error).to_string())?;
        match described.status() {
            Some(ChangeSetStatus::CreateComplete | ChangeSetStatus::Failed) => Ok(described),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Action and logical id of each change, and whether anything would be replaced.
fn changes(made: &DescribeChangeSetOutput) -> (Vec<String>, bool) {
    let changes = made.changes().iter().filter_map(|change| change.resource_change());
    let line = |change: &aws_sdk_cloudformation::types::ResourceChange| {
        format!("{} {}", change.action().unwrap().as_str(), change.logical_resource_id().unwrap())
    };
    let replaced = changes.clone().any(|change| change.replacement().is_some_and(|it| it.as_str() == "True"));
    (changes.map(line).collect(), replaced)
}

#[tokio::test]
async fn a_serverless_application_is_installed_as_its_page_says_and_released_by_change_sets() {
    let mut example = Example::new("serverless").await;
    example.install().await;
    example.hub_is_as_the_fleet_file_says();
    let story = &example.story;
    let application = as_json(&read("serverless", "template.yaml"));
    let declared = application["Parameters"].as_object().unwrap();
    let iam = story.iam(&story.prod).await;
    let plan = example.plan();
    assert_eq!(plan.targets.len(), 10);
    for target in &plan.targets {
        let Some(Work::Stack(work)) = &target.work else { panic!("{:?}", target.work) };
        let account = example.at(target.key.account.as_str(), HUB_REGION, "orders-target");
        assert_eq!(work.role.as_ref().unwrap().name(), account.outputs["StackRoleName"]);
        assert_eq!(target.variables["PermissionsBoundaryArn"], account.outputs["BoundaryArn"]);
        let artifacts = example.at(&story.hub, target.key.region.as_str(), "orders-artifacts");
        assert_eq!(work.template.bucket(), artifacts.outputs["BucketName"]);
        assert_eq!(target.variables["CodeBucket"], artifacts.outputs["BucketName"]);
        let left: Vec<&String> = declared
            .iter()
            .filter(|(name, parameter)| parameter.get("Default").is_none() && !target.variables.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(left, [""; 0], "parameters that nobody gives");
        assert!(target.variables.keys().all(|name| declared.contains_key(name)), "{:?}", target.variables);
    }
    let expected = table([("orders-stack", "cloudformation.amazonaws.com")]);
    assert_eq!(example.trusts(&story.prod).await, expected);

    let in_prod = |target: &&PlannedTarget| {
        target.key.account.as_str() == story.prod && target.key.region.as_str() == "eu-west-1"
    };
    let target = plan.targets.iter().find(in_prod).unwrap();
    release_reaches_its_readers(&example, target).await;
    let (client, region) = (stacks(story, &story.prod, "eu-west-1").await, "eu-west-1");

    // The emulator's CloudFormation and Lambda read buckets of their own account only.
    let copies = format!("copies-{}", story.prod);
    let own = objects(story, &story.prod, region).await;
    let here = aws_sdk_s3::types::BucketLocationConstraint::EuWest1;
    let here = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(here).build();
    own.create_bucket().bucket(&copies).create_bucket_configuration(here).send().await.unwrap();
    let code = function_zip(story);
    let mut parameters = target.variables.clone();
    parameters.insert("CodeBucket".to_owned(), copies.clone());
    let next = parameters["CodeKey"]
        .replace(&example.release.revision.as_ref().unwrap().id, "0000000000000000000000000000000000000001");
    for (key, body) in [
        (parameters["CodeKey"].as_str(), code.clone()),
        (next.as_str(), code),
        ("template.yaml", read("serverless", "template.yaml").into_bytes()),
    ] {
        own.put_object().bucket(&copies).key(key).body(ByteStream::from(body)).send().await.unwrap();
    }
    let template = format!("{}/{copies}/template.yaml", story.server().url());

    // The first release makes the stack.
    let made = change_set(&client, target, ChangeSetType::Create, "manifold-one", &template, &parameters).await;
    let resources: Vec<String> = kinds(&application).into_keys().map(|name| format!("Add {name}")).collect();
    assert_eq!(changes(&made), (resources, false));
    let stack = executed(&client, "manifold-one", "mf-one").await;
    assert_eq!(stack.stack_status().unwrap().as_str(), "CREATE_COMPLETE", "{:#?}", failures(&client, "orders").await);
    assert!(outputs(&stack)["Url"].contains("execute-api"), "{:?}", outputs(&stack));
    let lambda = aws_sdk_lambda::Client::new(&story.server().root(&story.prod, region).await);
    let function = lambda.get_function_configuration().function_name("orders").send().await.unwrap();
    let environment = function.environment().unwrap().variables().unwrap();
    assert_eq!(environment["STAGE"], "prod");
    assert_eq!(environment["LOG_LEVEL"], parameters["LogLevel"]);
    let role = function.role().unwrap();
    assert!(role.contains(":role/orders/"), "{role}");

    // The same again is no change, and the next commit changes the function.
    let same = change_set(&client, target, ChangeSetType::Update, "manifold-two", &template, &parameters).await;
    assert_eq!(same.status(), Some(&ChangeSetStatus::Failed));
    assert!(same.status_reason().unwrap().contains("didn't contain changes"), "{same:#?}");
    client.delete_change_set().stack_name("orders").change_set_name("manifold-two").send().await.unwrap();
    parameters.insert("CodeKey".to_owned(), next);
    let made = change_set(&client, target, ChangeSetType::Update, "manifold-three", &template, &parameters).await;
    let (lines, replaced) = changes(&made);
    assert!(lines.contains(&"Modify Function".to_owned()) && !replaced, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("Modify ")), "{lines:?}");
    let stack = executed(&client, "manifold-three", "mf-three").await;
    assert_eq!(stack.stack_status().unwrap().as_str(), "UPDATE_COMPLETE", "{:#?}", failures(&client, "orders").await);

    // Named on the page as not shown.
    assert_eq!(stack.role_arn(), None, "the emulator keeps a stack's role now: look whether it works with it");
    let name = role.rsplit('/').next().unwrap();
    let made = iam.get_role().role_name(name).send().await.unwrap().role.unwrap();
    assert!(made.permissions_boundary().is_none(), "the emulator keeps a role's boundary now: compare it");
}

/// A change set's stack once it is executed, with events that carry the token of who did.
async fn executed(client: &aws_sdk_cloudformation::Client, name: &str, token: &str) -> Stack {
    let execute = client.execute_change_set().stack_name("orders").change_set_name(name).client_request_token(token);
    execute.send().await.unwrap();
    let stack = settled(client, "orders").await;
    let events = client.describe_stack_events().stack_name("orders").send().await.unwrap();
    assert!(events.stack_events().iter().any(|event| event.client_request_token() == Some(token)), "{events:#?}");
    stack
}

/// The bucket's policy lets target accounts read the release, strangers nothing, and nobody without TLS.
async fn release_reaches_its_readers(example: &Example, target: &PlannedTarget) {
    let Example { story, .. } = example;
    let Some(Work::Stack(work)) = &target.work else { panic!("{:?}", target.work) };
    let (bucket, key, region) = (work.template.bucket(), work.template.key(), target.key.region.as_str());
    let hub = objects(story, &story.hub, region).await;
    for key in [key, "another-app/template.yaml"] {
        let body = ByteStream::from(read("serverless", "template.yaml").into_bytes());
        hub.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
    }
    // The emulator is spoken to without TLS.
    assert!(!reads(story, &story.prod, region, bucket, key).await);
    let policy = hub.get_bucket_policy().bucket(bucket).send().await.unwrap().policy.unwrap();
    let mut policy: Map<String, Value> = serde_json::from_str(&policy).unwrap();
    policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "OnlyTls");
    hub.put_bucket_policy().bucket(bucket).policy(Value::Object(policy).to_string()).send().await.unwrap();
    for account in [&story.dev, &story.prod] {
        assert!(reads(story, account, region, bucket, key).await, "{account}");
        assert!(!reads(story, account, region, bucket, "another-app/template.yaml").await, "{account}");
    }
    assert!(!reads(story, "999999999999", region, bucket, key).await, "a stranger");
}
