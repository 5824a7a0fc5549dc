//! The texts of a fleet file that mean something: names, ids, durations, references to secrets.
//!
//! Types of the core are read by the core's own rules; what is only a fleet file's business is here.

use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use std::borrow::Cow;

use manifold_core::plan::{LONGEST_APPROVAL, LONGEST_BAKE, Lapse, Newer, OnFailure, RevisionKind};
use manifold_core::time::Span as TimeSpan;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decode::{Decode, Fault, Leaf, mismatch};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest, quoted};
use crate::yaml::{Kind, Node, Scalar, Sort};

fn refused(text: &str, expected: &str) -> Draft {
    let shown = if looks_secret(text) { "this secret".to_owned() } else { quoted(text) };
    let draft = Draft::new(format!("{shown} is not {expected}"));
    if text.contains('*') { draft.help("write each name out: patterns are not taken here") } else { draft }
}

/// Types that the core reads.
macro_rules! core_leaf {
    ($name:ident, $pattern:literal) => {
        impl Leaf for $name {
            const EXPECTED: &'static str = $name::EXPECTED;
            fn parse(text: &str) -> Result<Self, Vec<Fault>> {
                text.parse().map_err(|_| Fault::whole(refused(text, <Self as Leaf>::EXPECTED)))
            }
            fn schema() -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

core_leaf!(AccountId, "^[0-9]{12}$");
core_leaf!(Region, "^[a-z]{1,16}(-[a-z]{1,16})+-[0-9]{1,2}$");
core_leaf!(AppName, "^[a-z][a-z0-9-]{0,31}$");
core_leaf!(PipelineName, "^[A-Za-z0-9.@_-]{1,100}$");

/// Declares a text by its length and its characters.
macro_rules! text_leaf {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $range:expr, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Leaf for $name {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Result<Self, Vec<Fault>> {
                let ok: fn(&str) -> bool = $ok;
                if $range.contains(&text.chars().count()) && ok(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Fault::whole(refused(text, Self::EXPECTED)))
                }
            }
            fn schema() -> Schema {
                if $pattern.is_empty() { json_schema!({ "type": "string" }) } else { json_schema!({ "type": "string", "pattern": $pattern }) }
            }
        }
    };
}

fn every(text: &str, more: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn begins_with_letter_or(text: &str, more: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || more.contains(c))
}

text_leaf!(
    /// The name of an account in this file.
    AccountName,
    "an account name: 1-64 characters of A-Z, a-z, 0-9, '.', '-' and '_', beginning with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", (1..=64),
    |t| every(t, "._-") && t.starts_with(|c: char| c.is_ascii_alphanumeric())
);
text_leaf!(
    /// The name of a tag; a template says `account.tags.<name>`, so it is an identifier.
    TagName,
    "a tag name: 1-64 characters of A-Z, a-z, 0-9 and '_', not beginning with a digit",
    "^[A-Za-z_][A-Za-z0-9_]{0,63}$", (1..=64), |t| every(t, "_") && begins_with_letter_or(t, "_")
);
text_leaf!(
    /// The value of a tag.
    TagValue, "a tag value: a text of 1-256 characters", "^.{1,256}$", (1..=256), |t| !t.contains(char::is_control)
);
text_leaf!(
    /// The name of a wave.
    WaveName, "a wave name: a text of 1-64 characters", "^.{1,64}$", (1..=64), |t| !t.contains(char::is_control)
);
text_leaf!(
    /// What people call a Region.
    Label, "a name: a text of 1-64 characters", "^.{1,64}$", (1..=64), |t| !t.contains(char::is_control)
);
text_leaf!(
    /// Prose for readers of the file.
    Prose, "a text", "", (0..=4096), |_| true
);
text_leaf!(
    /// A role's name, optionally with its path (IAM API reference, `CreateRole`: name ≤ 64 of `[\w+=,.@-]`,
    /// path ≤ 512).
    RoleName,
    "a role's name or path/name, such as ManifoldTarget or deploy/ManifoldTarget",
    "^([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}$", (1..=510),
    |t| t.split('/').all(|part| !part.is_empty() && every(part, "_+=,.@-"))
        && t.rsplit('/').next().is_some_and(|name| name.len() <= 64)
);
text_leaf!(
    /// What a role's trust policy demands (STS API reference, `ExternalId`).
    ExternalId,
    "an external id: 2-1224 characters of A-Z, a-z, 0-9 and _ + = , . @ : / -",
    "^[A-Za-z0-9_+=,.@:/-]{2,1224}$", (2..=1224), |t| every(t, "_+=,.@:/-")
);
text_leaf!(
    /// An action in a pipeline (CodePipeline API reference, `ActionName`).
    ActionName,
    "an action name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'",
    "^[A-Za-z0-9.@_-]{1,100}$", (1..=100), |t| every(t, ".@-_")
);
text_leaf!(
    /// A pipeline variable (CodePipeline API reference, `PipelineVariableName`: ≤ 128 of `[A-Za-z0-9@\-_]`).
    ParameterName,
    "a parameter name: 1-128 characters of A-Z, a-z, 0-9, '@', '-' and '_'",
    "^[A-Za-z0-9@_-]{1,128}$", (1..=128), |t| every(t, "@-_")
);
text_leaf!(
    /// One of a parameter's allowed values.
    Choice, "a text of 1-1000 characters", "", (1..=1000), |_| true
);
text_leaf!(
    /// A Slack channel.
    ChannelName,
    "a Slack channel: an id such as C0123456789, or a name, without blanks",
    "^\\S{1,80}$", (1..=80), |t| !t.contains(|c: char| c.is_whitespace() || c.is_control()) && !looks_secret(t)
);

/// The name or ARN of a secret. A secret itself, put here by mistake, is refused without being repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretName(String);

impl SecretName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is the secret itself.
pub(crate) fn looks_secret(text: &str) -> bool {
    ["xoxb-", "xoxp-", "xoxe", "xapp-"].iter().any(|prefix| text.starts_with(prefix)) || text.contains("://")
}

impl Leaf for SecretName {
    const EXPECTED: &'static str = "the name or ARN of a secret";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        if looks_secret(text) {
            let draft = Draft::new("this is a secret, not the name of one")
                .help("revoke it, store its successor in Secrets Manager or Parameter Store, and name that here");
            return Err(Fault::whole(draft));
        }
        if (1..=2048).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault::whole(Draft::new(
                "this is not the name or ARN of a secret: 1-2048 printable characters without blanks",
            )))
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[!-~]{1,2048}$", "not": { "pattern": "^xox|^xapp-|://" } })
    }
}

impl Leaf for RevisionKind {
    const EXPECTED: &'static str = "COMMIT_ID, IMAGE_DIGEST, S3_OBJECT_VERSION_ID or S3_OBJECT_KEY";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        match KINDS.iter().find(|(name, _)| *name == text) {
            Some((_, kind)) => Ok(*kind),
            None => {
                Err(Fault::whole(refused(text, Self::EXPECTED).suggest(closest(text, KINDS.map(|(name, _)| name)))))
            }
        }
    }
    fn schema() -> Schema {
        json_schema!({ "enum": KINDS.map(|(name, _)| name), "default": "COMMIT_ID" })
    }
}

/// How a source revision is read; spelled as AWS spells it.
const KINDS: [(&str, RevisionKind); 4] = [
    ("COMMIT_ID", RevisionKind::CommitId),
    ("IMAGE_DIGEST", RevisionKind::ImageDigest),
    ("S3_OBJECT_VERSION_ID", RevisionKind::S3ObjectVersionId),
    ("S3_OBJECT_KEY", RevisionKind::S3ObjectKey),
];

/// The time a run may take: one minute to fourteen days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) TimeSpan);

impl Deadline {
    const MIN_SECONDS: i64 = 60;
    const MAX_SECONDS: i64 = 14 * 86_400;
}

impl Leaf for Deadline {
    const EXPECTED: &'static str = "a duration such as 90m, 2h or 1d 12h";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let Some(seconds) = seconds(text) else { return Err(Fault::whole(refused(text, Self::EXPECTED))) };
        if (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&seconds) {
            Ok(Self(TimeSpan::from_seconds(seconds)))
        } else {
            Err(Fault::whole(refused(text, "between 1m and 14d")))
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$", "default": "2h" })
    }
}

text_leaf!(
    /// The name of an operator in this file.
    OperatorName,
    "an operator's name: 1-64 characters of A-Z, a-z, 0-9, '.', '-' and '_', beginning with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", (1..=64),
    |t| every(t, "._-") && t.starts_with(|c: char| c.is_ascii_alphanumeric())
);
text_leaf!(
    /// A member of a Slack workspace ("Copy member ID" in their profile).
    SlackUser,
    "a Slack user id such as U0123456789", "^[UW][A-Z0-9]{4,30}$", (5..=31),
    |t| t.starts_with(['U', 'W']) && t.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
);

/// A pattern of an AWS identity's ARN; here `*` means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IamPattern(String);

impl IamPattern {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Leaf for IamPattern {
    const EXPECTED: &'static str =
        "an AWS identity such as arn:aws:sts::111122223333:assumed-role/Ops/alice; '*' stands for any text";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let ok =
            (5..=2048).contains(&text.len()) && text.starts_with("arn:") && text.chars().all(|c| c.is_ascii_graphic());
        match ok {
            true => Ok(Self(text.to_owned())),
            false => Err(Fault::whole(Draft::new(format!("{} is not {}", quoted(text), Self::EXPECTED)))),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^arn:[!-~]{1,2044}$" })
    }
}
text_leaf!(
    /// A CloudWatch alarm (`PutMetricAlarm`, `AlarmName`: 1-255 characters).
    AlarmName, "an alarm's name: a text of 1-255 characters", "^.{1,255}$", (1..=255), |t| !t.contains(char::is_control)
);
text_leaf!(
    /// A target, or all targets of an account.
    PlaceName,
    "an account's name, or account/region such as dev/eu-west-1", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[a-z0-9-]+)?$",
    (1..=128), |t| every(t, "._-/") && t.matches('/').count() <= 1 && !t.ends_with('/') && !t.starts_with('/')
);

/// Declares a choice among words, each of which stands for a value of the core.
macro_rules! word_leaf {
    ($name:ty, $expected:literal, $default:literal, [$(($word:literal, $value:expr)),+ $(,)?]) => {
        impl Leaf for $name {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Result<Self, Vec<Fault>> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(Fault::whole(refused(text, Self::EXPECTED).suggest(closest(text, [$($word),+])))),
                }
            }
            fn schema() -> Schema {
                json_schema!({ "enum": [$($word),+], "default": $default })
            }
        }
    };
}

word_leaf!(
    Newer,
    "queue, supersede or refuse",
    "queue",
    [("queue", Self::Queue), ("supersede", Self::Supersede), ("refuse", Self::Refuse),]
);
word_leaf!(
    OnFailure,
    "halt, continue, roll_back_wave or roll_back_run",
    "halt",
    [
        ("halt", Self::Halt),
        ("continue", Self::Continue),
        ("roll_back_wave", Self::RollBackWave),
        ("roll_back_run", Self::RollBackRun),
    ]
);
word_leaf!(
    Lapse,
    "repoint, expire or keep",
    "repoint",
    [("repoint", Self::Repoint), ("expire", Self::Expire), ("keep", Self::Keep),]
);

/// A time of one minute to seven days: a bake, or how long an approval may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) TimeSpan);

impl Leaf for Wait {
    const EXPECTED: &'static str = "a duration such as 30m, 2h or 1d 12h";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let Some(seconds) = seconds(text) else { return Err(Fault::whole(refused(text, Self::EXPECTED))) };
        let most = LONGEST_BAKE.min(LONGEST_APPROVAL);
        match (60..=most.as_seconds_ceil()).contains(&seconds) {
            true => Ok(Self(TimeSpan::from_seconds(seconds))),
            false => Err(Fault::whole(refused(text, "between 1m and 7d"))),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$" })
    }
}

/// So many, or so many of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Count(u32),
    PerCent(u32),
}

impl Limit {
    /// Of so many targets, rounded down: "CloudFormation rounds down to the next whole number" (`StackSetOperationPreferences`).
    pub(crate) fn of(self, size: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::PerCent(percent) => u32::try_from(u64::from(size) * u64::from(percent) / 100).unwrap_or(size),
        }
    }

    /// Reads `25%`.
    fn per_cent(text: &str) -> Option<Self> {
        let number: u32 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
        (number <= 100).then_some(Self::PerCent(number))
    }
}

/// A count from `MIN` to `MAX`, or a percentage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount<const MIN: u32, const MAX: u32> {
    pub(crate) value: Limit,
    pub(crate) span: Span,
}

impl<const MIN: u32, const MAX: u32> Decode for Amount<MIN, MAX> {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let value = match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Integer, text, .. }) => {
                text.parse().ok().filter(|count| (MIN..=MAX).contains(count)).map(Limit::Count)
            }
            Kind::Scalar(Scalar { sort: Sort::Text, text, .. }) => Limit::per_cent(text),
            Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => None,
        };
        if value.is_none() {
            let expected = format!("a whole number from {MIN} to {MAX}, or a percentage such as \"25%\"");
            out.report(node.span, path, mismatch(&expected, node));
        }
        Some(Self { value: value?, span: node.span })
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Amount<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Amount{MIN}to{MAX}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": "^\\s*(100|[0-9]{1,2})\\s*%\\s*$" },
        ] })
    }
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag(pub(crate) bool);

impl Decode for Flag {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Boolean, text, .. }) => Some(Self(text.eq_ignore_ascii_case("true"))),
            Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => {
                out.report(node.span, path, mismatch("true or false", node));
                None
            }
        }
    }
}

impl JsonSchema for Flag {
    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean", "default": false })
    }
}

/// How many targets each step of a wave has: `1, 5, 25%, rest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ramp {
    steps: Vec<Limit>,
    pub(crate) span: Span,
}

/// What is left of a wave after the steps of its ramp.
const REST: &str = "rest";

impl Ramp {
    const EXPECTED: &'static str =
        "steps such as [1, 5, 25%, rest]: counts and percentages of the wave, and \"rest\" last";

    /// The sizes of the steps of a wave of so many targets: at least one each, none beyond the wave, and the rest last.
    pub(crate) fn sizes(&self, size: u32) -> Vec<u32> {
        let mut left = size;
        let mut sizes: Vec<u32> = Vec::new();
        for step in &self.steps {
            let step = step.of(size).max(1).min(left);
            if step > 0 {
                sizes.push(step);
            }
            left -= step;
        }
        sizes.extend((left > 0).then_some(left));
        sizes
    }

    fn step(text: &str) -> Option<Limit> {
        Limit::per_cent(text).or_else(|| text.trim().parse().ok().filter(|count| *count > 0).map(Limit::Count))
    }
}

impl Decode for Ramp {
    fn decode(node: &Node, _: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let mut texts = match &node.kind {
            Kind::Scalar(Scalar { sort: Sort::Text | Sort::Integer, text, .. }) => {
                text.split([',', '→']).map(|step| step.trim().to_owned()).collect::<Vec<String>>()
            }
            Kind::List(items) => items
                .iter()
                .map(|item| match &item.kind {
                    Kind::Scalar(Scalar { sort: Sort::Text | Sort::Integer, text, .. }) => text.trim().to_owned(),
                    Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => String::new(),
                })
                .collect(),
            Kind::Scalar(_) | Kind::Mapping(_) => Vec::new(),
        };
        if texts.last().is_some_and(|last| last == REST) {
            texts.pop();
        }
        let steps = texts.iter().map(|text| Self::step(text)).collect::<Option<Vec<Limit>>>();
        match steps.filter(|steps| !steps.is_empty() && steps.len() <= MOST_STEPS) {
            Some(steps) => Some(Self { steps, span: node.span }),
            None => {
                out.report(node.span, path, mismatch(Self::EXPECTED, node));
                None
            }
        }
    }
}

/// More steps than anybody watches.
const MOST_STEPS: usize = 20;

impl JsonSchema for Ramp {
    fn schema_name() -> Cow<'static, str> {
        "Ramp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The sizes of the steps in which the wave is rolled out: counts, percentages of the wave, and \"rest\".",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "minItems": 1, "items": { "anyOf": [
                    { "type": "integer", "minimum": 1 },
                    { "type": "string", "pattern": "^\\s*((100|[0-9]{1,2})\\s*%|[0-9]+|rest)\\s*$" },
                ] } },
            ],
        })
    }
}

/// Reads `1d 12h`, `90m`, `3600s`: units in any order, each at most once.
fn seconds(text: &str) -> Option<i64> {
    let (mut rest, mut sum, mut seen) = (text.trim(), 0_i64, String::new());
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().ok()?;
        let after = rest[digits..].trim_start();
        let unit = after.chars().next()?;
        let factor = match unit {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if seen.contains(unit) {
            return None;
        }
        seen.push(unit);
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        rest = after[1..].trim_start();
    }
    (!seen.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(["2h", "90m", "1d 12h", "1h30m", " 60 s "].map(seconds), [7200, 5400, 129_600, 5400, 60].map(Some));
        assert_eq!(["", "2", "h", "2 hours", "1h 1h", "-1h", "99999999999999999999d"].map(seconds), [None; 7]);
    }

    #[test]
    fn a_ramp_takes_its_steps_and_leaves_the_rest_for_the_last() {
        let ramp = |steps: &[Limit]| Ramp { steps: steps.to_vec(), span: Span::START };
        let (one, five, quarter) = (Limit::Count(1), Limit::Count(5), Limit::PerCent(25));
        assert_eq!(ramp(&[one, five, quarter]).sizes(100), [1, 5, 25, 69]);
        assert_eq!(ramp(&[one, five, quarter]).sizes(4), [1, 3], "no step is beyond the wave");
        assert_eq!(ramp(&[quarter]).sizes(3), [1, 2], "a step has at least one");
        assert_eq!(ramp(&[one]).sizes(1), [1]);
        assert_eq!(
            ["1", "25%", "rest", "0", "101%", "-1"].map(Ramp::step),
            [Some(one), Some(quarter), None, None, None, None]
        );
    }

    #[test]
    fn a_percentage_is_rounded_down() {
        assert_eq!([3, 4, 7, 8].map(|size| Limit::PerCent(25).of(size)), [0, 1, 1, 2]);
        assert_eq!(Limit::PerCent(100).of(u32::MAX), u32::MAX);
    }

    #[test]
    fn a_secret_in_the_place_of_its_name_is_refused_and_not_repeated() {
        for secret in ["xoxb-1234-abcd", "https://hooks.slack.com/services/T0/B0/XYZ"] {
            let faults = SecretName::parse(secret).unwrap_err();
            assert!(!format!("{faults:?}").contains(secret));
        }
    }

    #[test]
    fn every_pattern_of_the_schema_agrees_with_the_parser_on_its_limits() {
        assert!(RoleName::parse("deploy/ManifoldTarget").is_ok());
        assert!(RoleName::parse("arn:aws:iam::444455556666:role/X").is_err());
        assert!(RoleName::parse("/deploy/").is_err());
        assert!(RoleName::parse(&"r".repeat(65)).is_err());
        assert!(ExternalId::parse("x").is_err());
        assert!(TagName::parse("cost-center").is_err());
        assert!(ParameterName::parse("A.B").is_err());
    }
}
