//! What a target's role must be allowed, by service.

use crate::engine::{Service, Subject};
use crate::ids::TargetKey;

/// What starts, finds, follows, explains and stops an execution there; whoever starts comes first. What IAM can't narrow to
/// what is started is left out, as its simulator would judge it by another resource.
#[must_use]
pub const fn rights(service: Service) -> &'static [&'static str] {
    match service {
        Service::CodePipeline => &[
            "codepipeline:StartPipelineExecution",
            "codepipeline:ListPipelineExecutions",
            "codepipeline:ListActionExecutions",
        ],
        Service::CodeBuild => &[
            "codebuild:StartBuild",
            "codebuild:ListBuildsForProject",
            "codebuild:BatchGetBuilds",
            "codebuild:StopBuild",
        ],
        Service::CloudFormation => &[
            "cloudformation:CreateChangeSet",
            "cloudformation:ExecuteChangeSet",
            "cloudformation:DescribeChangeSet",
            "cloudformation:DeleteChangeSet",
            "cloudformation:DescribeStacks",
            "cloudformation:DescribeStackEvents",
            "cloudformation:CancelUpdateStack",
        ],
        Service::CodeDeploy => {
            &["codedeploy:CreateDeployment", "codedeploy:ListDeployments", "codedeploy:GetDeployment"]
        }
    }
}

/// What reads how it is defined.
pub(super) const fn reads(service: Service) -> &'static str {
    match service {
        Service::CodePipeline => "codepipeline:GetPipeline",
        Service::CodeBuild => "codebuild:BatchGetProjects",
        Service::CloudFormation => "cloudformation:DescribeStacks",
        Service::CodeDeploy => "codedeploy:GetDeploymentGroup",
    }
}

/// The parameter of the member templates that names what may be started.
pub(super) const fn parameter(service: Service) -> &'static str {
    match service {
        Service::CodePipeline => "TargetPipelines",
        Service::CodeBuild => "TargetProjects",
        Service::CloudFormation => "TargetStacks",
        Service::CodeDeploy => "TargetDeploymentGroups",
    }
}

/// What follows Region and account in its ARN; the id of a stack, which nobody knows beforehand, is given.
fn resource(started: &Subject, stack: &str) -> String {
    let name = started.name();
    match started.service() {
        Service::CodePipeline => name.to_owned(),
        Service::CodeBuild => format!("project/{name}"),
        Service::CloudFormation => format!("stack/{name}/{stack}"),
        Service::CodeDeploy => format!("deploymentgroup:{name}"),
    }
}

/// The ARN of what is started in a target. A stack has an id in it that only its Region knows: there are zeros instead.
#[must_use]
pub fn arn(started: &Subject, key: &TargetKey) -> String {
    let (partition, service) = (key.region.partition().as_str(), started.service().prefix());
    let resource = resource(started, "00000000-0000-0000-0000-000000000000");
    format!("arn:{partition}:{service}:{}:{}:{resource}", key.region, key.account)
}

/// The same for a policy: in any Region and account.
pub(super) fn pattern(started: &Subject, partition: &str) -> String {
    format!("arn:{partition}:{}:*:*:{}", started.service().prefix(), resource(started, "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_those_that_policies_name() {
        let key = TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let arns = ["svc", "codebuild:svc", "cloudformation:svc", "codedeploy:shop/live"].map(|text| {
            let started: Subject = text.parse().unwrap();
            (arn(&started, &key), pattern(&started, "aws"))
        });
        let front = "arn:aws";
        assert_eq!(
            arns.map(|(_, pattern)| pattern.replacen(front, "", 1)),
            [
                ":codepipeline:*:*:svc",
                ":codebuild:*:*:project/svc",
                ":cloudformation:*:*:stack/svc/*",
                ":codedeploy:*:*:deploymentgroup:shop/live",
            ]
        );
        let started: Subject = "codebuild:svc".parse().unwrap();
        assert_eq!(arn(&started, &key), "arn:aws:codebuild:eu-west-1:444455556666:project/svc");
    }

    #[test]
    fn every_right_is_of_its_service() {
        for service in Service::ALL {
            let prefix = format!("{}:", service.prefix());
            assert!(rights(service).iter().all(|right| right.starts_with(&prefix)), "{service}");
            assert!(reads(service).starts_with(&prefix), "{service}");
        }
    }
}
