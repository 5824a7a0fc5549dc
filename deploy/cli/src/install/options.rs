//! The options of `manifold install`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::args::{Output, prefix};

/// What the help says after the options.
pub(crate) const HELP: &str = "\
Examples:
  deploy/package fleet.yaml package
  manifold install --fleet fleet.yaml --package package
  manifold install --fleet fleet.yaml --package package --member-profile prod=prod-admin --yes
  manifold install --fleet fleet.yaml --package package --plan --output json

What an option does not say stays as it is in a stack that is there already: --set,
--alarm-topic, --slack-url, --organization, --drift-read-policies and --drift-revert need to be
given again only when an account or a Region joins, --slack-signing-secret and
--slack-signing-parameter never, and an empty value takes them away (--drift-revert false).
--release-pipelines, --target-pipelines, --target-projects, --target-stacks,
--target-deployment-groups and --drift-stacks need to be given each time.

Exit status:
    0  nothing to do, or everything was deployed
    1  a stack failed, or could not be planned; the others went on where they could
    2  the command was not understood, or what it needs could not be read or used; nothing was
       deployed
    3  there are changes, and they were not deployed
  130  interrupted: nothing more was begun, and what was only planned was taken back";

/// What is to be installed, where from and as whom.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The fleet file; '-' reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: PathBuf,
    /// The directory of the zips that deploy/package made of the same fleet file
    #[arg(long, value_name = "DIR")]
    pub(crate) package: PathBuf,
    /// The S3 bucket for the zips, in the hub's Region [default: PREFIX-code-ACCOUNT-REGION, made when it is not there]
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// The role to assume in the member accounts, with its path if it has one
    #[arg(long, value_name = "NAME", default_value = "OrganizationAccountAccessRole")]
    pub(crate) member_role: String,
    /// A profile for one member account, by its name or id, in place of --member-role. May be given more than once
    #[arg(long = "member-profile", value_name = "ACCOUNT=PROFILE", value_parser = pair)]
    pub(crate) member_profiles: Vec<(String, String)>,
    /// What the names of the stacks and of all their resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "manifold", value_parser = prefix)]
    pub(crate) prefix: String,
    /// The release pipelines that the hub listens to, such as '*-release' [default: the narrowest that fits the fleet]
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) release_pipelines: Option<String>,
    /// The pipelines that may be started in the member accounts, such as 'svc-*' [default: the narrowest that fits each
    /// account]
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) target_pipelines: Option<String>,
    /// The CodeBuild projects that builds may be started of there [default: the narrowest that fits each account]
    #[arg(long, value_name = "PATTERN", value_parser = project)]
    pub(crate) target_projects: Option<String>,
    /// The CloudFormation stacks that may be created and updated there [default: the narrowest that fits each account]
    #[arg(long, value_name = "PATTERN", value_parser = stack)]
    pub(crate) target_stacks: Option<String>,
    /// The CodeDeploy deployment groups that may be deployed to there, such as 'shop/*' [default: the narrowest that fits each
    /// account]
    #[arg(long, value_name = "APPLICATION/GROUP", value_parser = group)]
    pub(crate) target_deployment_groups: Option<String>,
    /// The AWS organization that hub and members are in
    #[arg(long, value_name = "o-…")]
    pub(crate) organization: Option<String>,
    /// The processor that the zips are for [default: what they were built for]
    #[arg(long, value_enum)]
    pub(crate) architecture: Option<Architecture>,
    /// The SNS topic that the hub's alarms go to
    #[arg(long, value_name = "ARN")]
    pub(crate) alarm_topic: Option<String>,
    /// The base URL of Slack's Web API, for a proxy or tests
    #[arg(long, value_name = "URL")]
    pub(crate) slack_url: Option<String>,
    /// The secret in Secrets Manager that holds the Slack app's signing secret, by name or ARN: with it, buttons in Slack
    /// can be pressed
    #[arg(long, value_name = "NAME", conflicts_with = "slack_signing_parameter")]
    pub(crate) slack_signing_secret: Option<String>,
    /// The parameter in Parameter Store that holds it instead, by name or ARN
    #[arg(long, value_name = "NAME")]
    pub(crate) slack_signing_parameter: Option<String>,
    /// The CloudFormation stacks whose drift may be looked for in the member accounts, such as 'svc-*'. May be given more
    /// than once [default: those that the fleet file names, in each account]
    #[arg(long = "drift-stacks", value_name = "PATTERN", value_parser = stacks)]
    pub(crate) drift_stacks: Vec<String>,
    /// The managed policies that let CloudFormation read what these stacks hold, by their ARNs, separated by commas; without
    /// them most of it stays unknown. {account} stands for the account's id
    #[arg(long, value_name = "ARN,…")]
    pub(crate) drift_read_policies: Option<String>,
    /// Whether change sets that take these stacks back to their templates may be prepared there. Nobody but a person
    /// executes them
    #[arg(long, value_name = "BOOL")]
    pub(crate) drift_revert: Option<bool>,
    /// Any other parameter of a template (hub, member or region), such as hub:LogLevel=debug; {account} and {region} stand
    /// for the stack's own. May be given more than once
    #[arg(long = "set", value_name = "STACK:PARAMETER=VALUE")]
    pub(crate) set: Vec<Setting>,
    /// Only the hub, or only these accounts, by name or id. May be given more than once
    #[arg(long, value_name = "hub|ACCOUNT")]
    pub(crate) only: Vec<String>,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan: bool,
    /// Deploy without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// The AWS profile of the hub account
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
}

/// A processor of Lambda, as the parameter `Architecture` of the hub's template names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit Arm.
    #[value(name = "arm64")]
    Arm64,
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm64 => "arm64",
            Self::X86 => "x86_64",
        })
    }
}

/// One of the three templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// `hub.yaml`: once.
    Hub,
    /// `member-account.yaml`: once an account.
    Member,
    /// `member-region.yaml`: once a Region of an account.
    Region,
}

impl Kind {
    /// Its name in options, stack names and output.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Member => "member",
            Self::Region => "region",
        }
    }

    /// Its file's name under `deploy`.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Hub => "hub.yaml",
            Self::Member => "member-account.yaml",
            Self::Region => "member-region.yaml",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A template's parameter and the value that the operator chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The template.
    pub(crate) kind: Kind,
    /// The parameter's name.
    pub(crate) name: String,
    /// Its value, in which `{account}` and `{region}` stand for the stack's own.
    pub(crate) value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected hub:, member: or region:, then PARAMETER=VALUE, such as hub:LogLevel=debug".to_owned();
        let (kind, setting) = text.split_once(':').ok_or_else(expected)?;
        let kind = [Kind::Hub, Kind::Member, Kind::Region].into_iter().find(|known| known.as_str() == kind);
        let (name, value) = setting.split_once('=').ok_or_else(expected)?;
        Ok(Self { kind: kind.ok_or_else(expected)?, name: name.to_owned(), value: value.to_owned() })
    }
}

impl Install {
    /// The settings of one template by parameter; the last one of a name counts.
    pub(crate) fn settings(&self, kind: Kind) -> BTreeMap<&str, &str> {
        let own = self.set.iter().filter(|setting| setting.kind == kind);
        own.map(|setting| (setting.name.as_str(), setting.value.as_str())).collect()
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((account, profile)) if !account.is_empty() && !profile.is_empty() => {
            Ok((account.to_owned(), profile.to_owned()))
        }
        Some(_) | None => Err("expected ACCOUNT=PROFILE, such as prod=prod-admin".to_owned()),
    }
}

/// As the templates demand it of `ReleasePipelines` and `TargetPipelines`.
fn pattern(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || ".@_*-".contains(c);
    if (1..=100).contains(&text.len()) && !text.contains("**") && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    Err("expected a pipeline's name, in which * stands for any text, such as 'svc-*'".to_owned())
}

/// As the templates demand it of `TargetProjects`.
fn project(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_*-".contains(c);
    if (1..=255).contains(&text.len()) && text != "*" && !text.contains("**") && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    Err("expected a project's name, in which * stands for any text but not for all of it, such as 'svc-*'".to_owned())
}

/// As the templates demand it of `TargetStacks`.
fn stack(text: &str) -> Result<String, String> {
    match text {
        "*" => Err("'*' alone would let Manifold at every stack: expected a pattern such as 'svc-*'".to_owned()),
        text => stacks(text),
    }
}

/// As the templates demand it of `TargetDeploymentGroups`.
fn group(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._+=,@*-".contains(c);
        (1..=100).contains(&name.len()) && !name.contains("**") && name.chars().all(known)
    };
    match text.split_once('/') {
        Some((application, group)) if application != "*" && is_name(application) && is_name(group) => {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(
            "expected APPLICATION/GROUP, in which * stands for any text but not for all of the application, such as \
             'shop/*'"
                .to_owned(),
        ),
    }
}

/// As the templates demand it of `DriftStacks`.
fn stacks(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "*-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    if begins && text.len() <= 128 && !text.contains("**") && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    Err("expected a stack's name, in which * stands for any text, such as 'svc-*'".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_template_parameter_and_value() {
        let setting: Setting = "hub:SlackUrl=http://localhost:1/a=b".parse().unwrap();
        assert_eq!((setting.kind, &*setting.name, &*setting.value), (Kind::Hub, "SlackUrl", "http://localhost:1/a=b"));
        for wrong in ["LogLevel=debug", "hubs:LogLevel=debug", "hub:LogLevel"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefixes_and_patterns_are_what_the_templates_take() {
        for good in ["manifold", "m2", "a-b"] {
            assert!(prefix(good).is_ok(), "{good}");
        }
        for bad in ["m", "M2", "2m", "m-", "", "a_b", "abcdefghijklmnopqrstuvwxyzabcdef"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
        assert!(pattern("svc-*").is_ok());
        assert!(pattern("svc-**").is_err());
        assert!(pattern("svc deploy").is_err());
        for good in ["*", "svc-*", "Svc1", "*-data"] {
            assert!(stacks(good).is_ok(), "{good}");
        }
        for bad in ["", "1svc", "-svc", "svc-**", "svc_a", "svc-a,svc-b", &"a".repeat(129)] {
            assert!(stacks(bad).is_err(), "{bad}");
        }
        assert!(project("svc_*").is_ok() && stack("svc-*").is_ok() && group("shop-*/*").is_ok());
        for bad in ["", "*", "svc-**", "svc.a"] {
            assert!(project(bad).is_err() && stack(bad).is_err(), "{bad}");
        }
        for bad in ["", "shop", "*/live", "shop/", "/live", "shop/a/b", "shop/**"] {
            assert!(group(bad).is_err(), "{bad}");
        }
    }
}
