//! Links into the AWS consoles. A link does not choose an account: a reader who is signed in to another one sees
//! "not found", so print the account beside each link.

use crate::engine::Subject;
use crate::ids::{ExecutionId, Partition, PipelineName, Region, TargetKey};

/// The console's host in a partition; the isolated ones have no public console.
#[must_use]
pub const fn host(partition: Partition) -> Option<&'static str> {
    match partition {
        Partition::Aws => Some("console.aws.amazon.com"),
        Partition::AwsCn => Some("console.amazonaws.cn"),
        Partition::AwsUsGov => Some("console.amazonaws-us-gov.com"),
        Partition::AwsEusc => Some("console.amazonaws-eusc.eu"),
        Partition::AwsIso => None,
    }
}

/// The page of one pipeline execution.
#[must_use]
pub fn execution(region: &Region, pipeline: &PipelineName, execution: &ExecutionId) -> Option<String> {
    let pipelines = pipelines(region)?;
    Some(format!(
        "{pipelines}/{}/executions/{}/visualization?region={region}",
        encode(pipeline.as_str()),
        encode(execution.as_str())
    ))
}

/// The page of a pipeline.
#[must_use]
pub fn pipeline(region: &Region, pipeline: &PipelineName) -> Option<String> {
    Some(format!("{}/{}/view?region={region}", pipelines(region)?, encode(pipeline.as_str())))
}

/// The page of what is started in a target, or of one execution of it.
///
/// CloudFormation's console wants the ARN of a stack, which has a part that only CloudFormation knows: so a stack is
/// linked as the list that shows it alone.
#[must_use]
pub fn of(target: &TargetKey, subject: &Subject, id: Option<&ExecutionId>) -> Option<String> {
    let TargetKey { account, region } = target;
    let suite = || host(region.partition()).map(|host| format!("https://{region}.{host}/codesuite"));
    Some(match (subject, id) {
        (Subject::Pipeline(name), Some(id)) => return execution(region, name, id),
        (Subject::Pipeline(name), None) => return pipeline(region, name),
        (Subject::Project(name), id) => {
            let page = id.map_or_else(|| "history".to_owned(), |id| format!("build/{}/", encode(id.as_str())));
            let name = encode(name.as_str());
            format!("{}/codebuild/{account}/projects/{name}/{page}?region={region}", suite()?)
        }
        (Subject::Stack(name), _) => {
            let host = host(region.partition())?;
            let name = encode(name.as_str());
            format!("https://{region}.{host}/cloudformation/home?region={region}#/stacks?filteringText={name}")
        }
        (Subject::Group(_), Some(id)) => {
            format!("{}/codedeploy/deployments/{}?region={region}", suite()?, encode(id.as_str()))
        }
        (Subject::Group(name), None) => {
            let (application, group) = (encode(name.application()), encode(name.group()));
            format!("{}/codedeploy/applications/{application}/deployment-groups/{group}?region={region}", suite()?)
        }
    })
}

/// The page of what drifted in a CloudFormation stack, by the stack's ARN as the service told it: only of a stack in the
/// target's own account and Region.
#[must_use]
pub fn stack_drift(target: &TargetKey, arn: &str) -> Option<String> {
    let TargetKey { account, region } = target;
    let own = format!("arn:{}:cloudformation:{region}:{account}:stack/", region.partition().as_str());
    let host = host(region.partition()).filter(|_| arn.starts_with(&own))?;
    Some(format!("https://{region}.{host}/cloudformation/home?region={region}#/stacks/drifts?stackId={}", encode(arn)))
}

/// The page of a change set, by the ARNs of its stack and its own.
#[must_use]
pub fn change_set(region: &Region, stack: &str, change_set: &str) -> Option<String> {
    let host = host(region.partition())?;
    let (stack, change_set) = (encode(stack), encode(change_set));
    let page = format!("https://{region}.{host}/cloudformation/home?region={region}#/stacks/changesets/changes");
    Some(format!("{page}?stackId={stack}&changeSetId={change_set}"))
}

fn pipelines(region: &Region) -> Option<String> {
    host(region.partition()).map(|host| format!("https://{region}.{host}/codesuite/codepipeline/pipelines"))
}

/// Whether a link that a provider sent may be shown: HTTPS, and a host of one of the consoles.
#[must_use]
pub fn is_console_link(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let found = &rest[..host_end];
    // Browsers read a backslash as a slash, so the host must not hold one; nor user information, nor a port.
    let is_host = found.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    is_host
        && url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '|' | '"' | '\\' | '`'))
        && [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov, Partition::AwsEusc]
            .into_iter()
            .filter_map(host)
            .any(|known| found == known || found.strip_suffix(known).is_some_and(|front| front.ends_with('.')))
}

/// Percent-encodes everything but the unreserved characters of RFC 3986; `@` is legal in a pipeline's name.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_console() {
        let link =
            |region: &str| execution(&region.parse().unwrap(), &"svc@1".parse().unwrap(), &"3f8c1f0a".parse().unwrap());
        assert_eq!(
            link("eu-west-1").unwrap(),
            "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/svc%401/executions/3f8c1f0a/visualization?region=eu-west-1"
        );
        assert!(link("cn-north-1").unwrap().starts_with("https://cn-north-1.console.amazonaws.cn/"));
        assert!(link("us-gov-west-1").unwrap().starts_with("https://us-gov-west-1.console.amazonaws-us-gov.com/"));
        assert_eq!(link("us-iso-east-1"), None);
    }

    #[test]
    fn each_engine_has_its_pages() {
        let target = TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let page = |subject: &str, id: Option<&str>| {
            let id = id.map(|id| id.parse().unwrap());
            let link = of(&target, &subject.parse().unwrap(), id.as_ref()).unwrap();
            assert!(is_console_link(&link), "{link}");
            link.strip_prefix("https://eu-west-1.console.aws.amazon.com/").unwrap().to_owned()
        };
        assert_eq!(
            page("codebuild:svc", Some("svc:8745a7a9")),
            "codesuite/codebuild/444455556666/projects/svc/build/svc%3A8745a7a9/?region=eu-west-1"
        );
        assert_eq!(
            page("codebuild:svc", None),
            "codesuite/codebuild/444455556666/projects/svc/history?region=eu-west-1"
        );
        assert_eq!(
            page("cloudformation:web", Some("web-0f3a5b7c9d1e2f40-444455556666-eu-west-1-1")),
            "cloudformation/home?region=eu-west-1#/stacks?filteringText=web"
        );
        assert_eq!(
            page("codedeploy:shop/blue-green", Some("d-ABC123DEF")),
            "codesuite/codedeploy/deployments/d-ABC123DEF?region=eu-west-1"
        );
        assert_eq!(
            page("codedeploy:shop/blue-green", None),
            "codesuite/codedeploy/applications/shop/deployment-groups/blue-green?region=eu-west-1"
        );
        assert!(page("svc-deploy", None).starts_with("codesuite/codepipeline/pipelines/svc-deploy/view"));
    }

    #[test]
    fn a_stack_is_linked_only_where_it_is_the_targets_own() {
        let target = TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let link = |arn: &str| stack_drift(&target, arn);
        let own = link("arn:aws:cloudformation:eu-west-1:444455556666:stack/svc/0a1b").unwrap();
        assert_eq!(
            own,
            "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks/drifts?stackId=\
             arn%3Aaws%3Acloudformation%3Aeu-west-1%3A444455556666%3Astack%2Fsvc%2F0a1b"
        );
        assert!(is_console_link(&own));
        assert_eq!(link("arn:aws:cloudformation:eu-west-1:111122223333:stack/svc/0a1b"), None);
        assert_eq!(link("https://evil.example/"), None);
        let odd = link("arn:aws:cloudformation:eu-west-1:444455556666:stack/<!channel>|`x`").unwrap();
        assert!(is_console_link(&odd), "{odd}");
    }

    #[test]
    fn only_console_hosts_are_linked() {
        assert!(is_console_link("https://eu-west-1.console.aws.amazon.com/codedeploy/home?#/deployments/d-ABC123DEF"));
        assert!(!is_console_link("https://console.aws.amazon.com.evil.example/x"));
        assert!(!is_console_link("https://evilconsole.aws.amazon.com/x"));
        assert!(!is_console_link("http://console.aws.amazon.com/x"));
        assert!(!is_console_link("https://console.aws.amazon.com/x|y>"));
        assert!(!is_console_link("https://evil.example\\@eu-west-1.console.aws.amazon.com/"));
        assert!(!is_console_link("https://evil.example@eu-west-1.console.aws.amazon.com/"));
        assert!(!is_console_link("https://console.aws.amazon.com/\u{202e}x"));
    }
}
