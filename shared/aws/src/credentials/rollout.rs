//! What a session of a rollout may do: the actions of one engine, on the one thing that is started (Service Authorization
//! Reference, "Actions defined by …").
//!
//! A session is opened for each policy. So a policy names no Region where it need not: the targets of an account share a
//! session whose objects differ by nothing else.

use manifold_core::engine::{DeploymentRevision, DeploymentWork, GroupName, S3Object, StackWork, Subject, Work};
use manifold_core::ids::{Region, RoleArn};
#[cfg(feature = "engines")]
use manifold_core::plan::PlannedTarget;
use serde_json::{Value, json};

use super::{allow, everything_else};

/// How much of a bucket and key is written down. Two of them, the longest role and the longest stack are together shorter
/// than a policy may be.
const MOST_OF_AN_OBJECT: usize = 120;

/// What is allowed besides what all rollouts are.
pub(super) fn statements(role: &RoleArn, subject: &Subject, work: Option<(&Work, &Region)>) -> Vec<Value> {
    let partition = role.as_str().split(':').nth(1).unwrap_or("aws");
    let arn = |service: &str, resource: &str| format!("arn:{partition}:{service}:*:{}:{resource}", role.account());
    match (subject, work) {
        (Subject::Pipeline(name), _) => {
            let actions = [
                "codepipeline:StartPipelineExecution",
                "codepipeline:StopPipelineExecution",
                "codepipeline:ListPipelineExecutions",
                "codepipeline:ListActionExecutions",
            ];
            vec![allow(&json!(actions), &json!(arn("codepipeline", name.as_str())))]
        }
        (Subject::Project(name), _) => {
            let actions = [
                "codebuild:StartBuild",
                "codebuild:StopBuild",
                "codebuild:ListBuildsForProject",
                "codebuild:BatchGetBuilds",
            ];
            vec![allow(&json!(actions), &json!(arn("codebuild", &format!("project/{name}"))))]
        }
        (Subject::Stack(name), work) => {
            let actions = [
                "cloudformation:CreateChangeSet",
                "cloudformation:DescribeChangeSet",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DescribeStacks",
                "cloudformation:DescribeStackEvents",
                "cloudformation:CancelUpdateStack",
            ];
            let mut statements =
                vec![allow(&json!(actions), &json!(arn("cloudformation", &format!("stack/{name}/*"))))];
            if let Some((Work::Stack(work), region)) = work {
                statements.extend(of_a_change_set(partition, work, region));
            }
            statements
        }
        (Subject::Group(name), work) => {
            let mut statements = of_a_group(&arn, name);
            if let Some((Work::Deployment(work), region)) = work
                && let DeploymentWork { revision: DeploymentRevision::S3(object), .. } = &**work
            {
                statements.extend(reading(partition, [object], region));
            }
            statements
        }
    }
}

/// What it takes to have a change set made of a stack that is deployed to, to look at it and to take it away.
#[cfg(feature = "engines")]
pub(super) fn previewing(planned: &PlannedTarget) -> Option<Vec<Value>> {
    let (Subject::Stack(name), Some(Work::Stack(work))) = (&planned.subject, &planned.work) else { return None };
    let partition = planned.role.as_str().split(':').nth(1).unwrap_or("aws");
    let stack = format!("arn:{partition}:cloudformation:*:{}:stack/{name}/*", planned.role.account());
    let actions = [
        "cloudformation:CreateChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeStacks",
    ];
    let mut statements = vec![allow(&json!(actions), &json!(stack))];
    statements.extend(of_a_change_set(partition, work, &planned.key.region));
    Some(statements)
}

/// What a change set is made from. A template is read with the caller's permissions, and so are AWS's own transforms.
///
/// Where no role is named, and the stack has none, CloudFormation works with the caller's session ("CloudFormation service
/// role"): then what the target role may do besides is left to it.
fn of_a_change_set(partition: &str, work: &StackWork, region: &Region) -> Vec<Value> {
    let StackWork { template, parameters, capabilities: _, role, replacements: _ } = work;
    let transforms = format!("arn:{partition}:cloudformation:*:aws:transform/*");
    let mut statements = vec![
        allow(&json!("cloudformation:CreateChangeSet"), &json!(transforms)),
        // Of a template that is no stack's yet.
        allow(&json!("cloudformation:GetTemplateSummary"), &json!("*")),
    ];
    statements.extend(reading(partition, [template].into_iter().chain(parameters), region));
    statements.push(match role {
        Some(role) => json!({
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role.as_str(),
            "Condition": {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        }),
        None => everything_else(),
    });
    statements
}

fn of_a_group(arn: &impl Fn(&str, &str) -> String, name: &GroupName) -> Vec<Value> {
    let on_group = [
        "codedeploy:CreateDeployment",
        "codedeploy:GetDeployment",
        "codedeploy:ListDeployments",
        "codedeploy:BatchGetDeployments",
    ];
    // Of these no resource can be named.
    let on_any =
        ["codedeploy:StopDeployment", "codedeploy:ListDeploymentTargets", "codedeploy:BatchGetDeploymentTargets"];
    let on_application = ["codedeploy:RegisterApplicationRevision", "codedeploy:GetApplicationRevision"];
    let group = arn("codedeploy", &format!("deploymentgroup:{}", name.as_str()));
    let application = arn("codedeploy", &format!("application:{}", name.application()));
    vec![
        allow(&json!(on_group), &json!(group)),
        allow(&json!(on_any), &json!("*")),
        allow(&json!(on_application), &json!(application)),
        allow(&json!("codedeploy:GetDeploymentConfig"), &json!(arn("codedeploy", "deploymentconfig:*"))),
    ]
}

/// Reading objects of S3, and the keys that they are encrypted with.
fn reading<'a>(partition: &str, objects: impl IntoIterator<Item = &'a S3Object>, region: &Region) -> [Value; 2] {
    let mut resources: Vec<String> =
        objects.into_iter().map(|object| format!("arn:{partition}:s3:::{}", prefix(object, region))).collect();
    resources.dedup();
    [
        allow(&json!("s3:GetObject"), &json!(resources)),
        json!({
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
        }),
    ]
}

/// Where an object lies, as a pattern: its bucket and folder, with a star for the target's Region, and cut where it gets
/// long or has what a policy reads as something else.
fn prefix(object: &S3Object, region: &Region) -> String {
    let folder = object.key().rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '=' | '+' | '@');
    let plain = &folder[..folder.find(|c| !is_plain(c)).unwrap_or(folder.len())];
    let whole = if plain.len() == folder.len() && !folder.is_empty() { format!("{plain}/") } else { plain.to_owned() };
    let mut pattern = format!("{}/{whole}", object.bucket()).replace(region.as_str(), "*");
    // Nothing but ASCII is left.
    pattern.truncate(MOST_OF_AN_OBJECT);
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use manifold_core::engine::Replacements;

    use super::*;
    use crate::credentials::Purpose;

    fn object(text: &str) -> S3Object {
        text.parse().unwrap()
    }

    fn policy(role: &str, subject: &str, work: &Work, region: &str) -> String {
        let (run, role) = ("web-0f3a5b7c9d1e2f40".parse().unwrap(), role.parse().unwrap());
        let region = region.parse().unwrap();
        Purpose::rollout(&run, &role, None, &subject.parse().unwrap(), Some((work, &region))).policy.unwrap()
    }

    fn stack(template: &str, parameters: Option<&str>, role: Option<&str>) -> Work {
        Work::Stack(Box::new(StackWork {
            template: object(template),
            parameters: parameters.map(object),
            capabilities: Vec::new(),
            role: role.map(|role| role.parse().unwrap()),
            replacements: Replacements::Refuse,
        }))
    }

    #[test]
    fn an_object_is_told_by_bucket_and_folder_without_the_region() {
        let region = "eu-west-1".parse().unwrap();
        for (text, expected) in [
            ("s3://artifacts-eu-west-1/web/0a1b/template.yaml", "artifacts-*/web/0a1b/*"),
            ("s3://artifacts/template.yaml", "artifacts/*"),
            ("s3://artifacts/web/a b/template.yaml", "artifacts/web/a*"),
            ("s3://artifacts/web/${aws:username}/*/t", "artifacts/web/*"),
            ("s3://artifacts/wéb/t", "artifacts/w*"),
        ] {
            assert_eq!(prefix(&object(text), &region), expected, "{text}");
        }
        let long = prefix(&object(&format!("s3://artifacts/{}/t", "k".repeat(900))), &region);
        assert_eq!(long.len(), MOST_OF_AN_OBJECT + 1);
    }

    #[test]
    fn the_targets_of_an_account_share_a_session_and_other_partitions_have_their_own_arns() {
        let role = "arn:aws-cn:iam::444455556666:role/ManifoldTarget";
        let in_region = |region: &str| {
            let template = format!("s3://artifacts-{region}/web/0a1b/template.yaml");
            let parameters = format!("s3://artifacts-{region}/web/0a1b/parameters.json");
            policy(role, "cloudformation:web", &stack(&template, Some(&parameters), None), region)
        };
        let policy = in_region("cn-north-1");
        assert_eq!(policy, in_region("cn-northwest-1"));
        for resource in [
            "arn:aws-cn:cloudformation:*:444455556666:stack/web/*",
            "arn:aws-cn:cloudformation:*:aws:transform/*",
            "[\"arn:aws-cn:s3:::artifacts-*/web/0a1b/*\"]",
        ] {
            assert!(policy.contains(resource), "{policy}");
        }
    }

    #[test]
    fn a_role_is_passed_to_cloudformation_only_and_without_one_the_target_role_decides() {
        let role = "arn:aws:iam::444455556666:role/ManifoldTarget";
        let service_role = "arn:aws:iam::444455556666:role/web-stack";
        let with =
            policy(role, "cloudformation:web", &stack("s3://artifacts/t", None, Some(service_role)), "eu-west-1");
        assert!(
            with.contains("\"Action\":\"iam:PassRole\"") && with.contains(&format!("\"{service_role}\"")),
            "{with}"
        );
        assert!(with.contains("\"iam:PassedToService\":\"cloudformation.amazonaws.com\""), "{with}");
        assert!(!with.contains("NotAction"), "{with}");
        let without = policy(role, "cloudformation:web", &stack("s3://artifacts/t", None, None), "eu-west-1");
        let others = "\"NotAction\":[\"cloudformation:*\",\"codebuild:Retry*\",\"codebuild:Start*\",\
                      \"codedeploy:CreateDeployment\",\"codepipeline:*\",\"sts:*\"]";
        assert!(without.contains(others) && !without.contains("PassRole"), "{without}");
    }

    #[test]
    #[cfg(feature = "engines")]
    fn what_looks_ahead_may_make_and_delete_change_sets_and_execute_none() {
        let role = "arn:aws:iam::444455556666:role/ManifoldTarget";
        let work = stack("s3://artifacts/web/0a1b/t", None, Some("arn:aws:iam::444455556666:role/web-stack"));
        let planned = |subject: &str, work: Option<Work>| PlannedTarget {
            index: 0,
            wave: 0,
            key: manifold_core::ids::TargetKey {
                account: "444455556666".parse().unwrap(),
                region: "eu-west-1".parse().unwrap(),
            },
            account_name: "prod".to_owned(),
            role: role.parse().unwrap(),
            external_id: None,
            subject: subject.parse().unwrap(),
            variables: std::collections::BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            work,
            looks: None,
        };
        let run = "web-0f3a5b7c9d1e2f40".parse().unwrap();
        let ahead = Purpose::preview(&run, &planned("cloudformation:web", Some(work))).unwrap().policy.unwrap();
        for allowed in ["CreateChangeSet", "DescribeChangeSet", "DeleteChangeSet", "DescribeStacks", "PassRole"] {
            assert!(ahead.contains(allowed), "{allowed}: {ahead}");
        }
        for missing in ["ExecuteChangeSet", "CancelUpdateStack", "NotAction"] {
            assert!(!ahead.contains(missing), "{missing}: {ahead}");
        }
        let without =
            Purpose::preview(&run, &planned("cloudformation:web", Some(stack("s3://artifacts/t", None, None))));
        let without = without.unwrap().policy.unwrap();
        assert!(without.contains("\"NotAction\":[\"cloudformation:*\""), "{without}");
        assert!(!without.contains("ExecuteChangeSet"), "{without}");
        assert_eq!(Purpose::preview(&run, &planned("svc-deploy", None)), None);
    }

    #[test]
    fn the_longest_names_fit() {
        let role = format!("arn:aws-us-gov:iam::444455556666:role/{}/{}", "p".repeat(511), "r".repeat(64));
        let long = |bucket: &str| format!("s3://{}/{}/t", bucket.repeat(63), "k".repeat(1000));
        let template = stack(&long("a"), Some(&long("b")), Some(&role));
        let subject = format!("cloudformation:{}", "s".repeat(128));
        let policy_of_stack = policy(&role, &subject, &template, "us-gov-west-1");
        assert!(policy_of_stack.len() <= 2048, "{}", policy_of_stack.len());

        let revision = DeploymentRevision::S3(object(&long("a")));
        let work = DeploymentWork {
            revision,
            config: None,
            auto_rollback: None,
            on_stop: manifold_core::engine::OnStop::Leave,
        };
        let subject = format!("codedeploy:{}/{}", "a".repeat(100), "g".repeat(100));
        let policy_of_group = policy(&role, &subject, &Work::Deployment(Box::new(work)), "us-gov-west-1");
        assert!(policy_of_group.len() <= 2048, "{}", policy_of_group.len());

        let subject = format!("codebuild:{}", "p".repeat(150));
        let work = Work::Build { source_version: None };
        assert!(policy(&role, &subject, &work, "us-gov-west-1").len() <= 2048);
    }
}
