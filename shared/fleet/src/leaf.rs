//! The texts of a fleet file that mean something: names, ids, durations, references to secrets.
//!
//! Types of the core are read by the core's own rules; what is only a fleet file's business is here.

use manifold_core::drift::{Aspect, LONGEST_CONFIRM, Quiet, Response};
use manifold_core::engine::{Capability, OnStop, Replacements};
use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use manifold_core::plan::{LONGEST_APPROVAL, LONGEST_BAKE, Lapse, Newer, OnFailure, RevisionKind};
use manifold_core::time::{Span as TimeSpan, Timestamp};
use schemars::{Schema, json_schema};

use crate::decode::{Fault, Leaf};
use crate::problem::{Draft, closest, listed, quoted};

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

text_leaf!(
    /// The name of an operator in this file.
    OperatorName,
    "an operator's name: 1-64 characters of A-Z, a-z, 0-9, '.', '-' and '_', beginning with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", (1..=64),
    |t| every(t, "._-") && t.starts_with(|c: char| c.is_ascii_alphanumeric())
);
text_leaf!(
    /// A member of a Slack workspace, or of an Enterprise organization ("Slack user IDs": `U…` or `W…`).
    SlackUser,
    "a Slack user id such as U0123456789: the member's profile shows it",
    "^[UW][A-Z0-9]{2,20}$", (3..=21),
    |t| t.starts_with(['U', 'W']) && t.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
);
text_leaf!(
    /// A CloudWatch alarm (CloudWatch API reference, `PutMetricAlarm`: 1-255 characters, no control characters).
    AlarmName, "an alarm's name: a text of 1-255 characters", "^.{1,255}$", (1..=255), |t| !t.contains(char::is_control)
);

text_leaf!(
    /// A stage in a pipeline (CodePipeline API reference, `StageName`).
    StageName,
    "a stage's name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'",
    "^[A-Za-z0-9.@_-]{1,100}$", (1..=100), |t| every(t, ".@-_")
);
text_leaf!(
    /// Who answers for something.
    Owner, "an owner: a text of 1-64 characters", "^.{1,64}$", (1..=64), |t| !t.contains(char::is_control)
);
text_leaf!(
    /// Why something is as it is.
    Reason, "a reason: a text of 1-500 characters", "\\S", (1..=500), |t| !t.trim().is_empty()
);

/// Declares a pattern, in which `*` stands for any text, by its length and its characters.
macro_rules! pattern_leaf {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $range:expr, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
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
                    Err(Fault::whole(Draft::new(format!("{} is not {}", quoted(text), Self::EXPECTED))))
                }
            }
            fn schema() -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

pattern_leaf!(
    /// Some targets, as an ignore rule names them.
    TargetPattern,
    "a pattern of targets as account/region, such as prod/* or */eu-west-1",
    "^[A-Za-z0-9._/*-]{1,128}$", (1..=128), |t| every(t, "._-/*")
);
pattern_leaf!(
    /// Some paths in a comparison, as an ignore rule names them.
    PathPattern,
    "a pattern of paths in what is compared, such as /transitions/*",
    "^.{1,300}$", (1..=300), |t| !t.contains(char::is_control)
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

/// Declares a text that is one of a few words.
macro_rules! word_leaf {
    ($name:ident, $expected:literal, $default:literal, [$(($word:literal, $value:expr)),+ $(,)?]) => {
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

// Spelled as AWS spells it.
word_leaf!(
    RevisionKind,
    "COMMIT_ID, IMAGE_DIGEST, S3_OBJECT_VERSION_ID or S3_OBJECT_KEY",
    "COMMIT_ID",
    [
        ("COMMIT_ID", RevisionKind::CommitId),
        ("IMAGE_DIGEST", RevisionKind::ImageDigest),
        ("S3_OBJECT_VERSION_ID", RevisionKind::S3ObjectVersionId),
        ("S3_OBJECT_KEY", RevisionKind::S3ObjectKey),
    ]
);
word_leaf!(
    Replacements,
    "refuse or allow",
    "refuse",
    [("refuse", Replacements::Refuse), ("allow", Replacements::Allow)]
);
word_leaf!(OnStop, "leave or roll_back", "leave", [("leave", OnStop::Leave), ("roll_back", OnStop::RollBack)]);

impl Leaf for Capability {
    const EXPECTED: &'static str = "CAPABILITY_IAM, CAPABILITY_NAMED_IAM or CAPABILITY_AUTO_EXPAND";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let names = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        found.ok_or_else(|| Fault::whole(refused(text, Self::EXPECTED).suggest(closest(text, names))))
    }
    fn schema() -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::as_str) })
    }
}
text_leaf!(
    /// A repository on GitHub.
    Repository,
    "a repository such as owner/name",
    "^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$", (3..=201),
    |t| t.split_once('/').is_some_and(|(owner, name)| {
        !owner.is_empty() && !name.is_empty() && every(owner, "._-") && every(name, "._-")
    })
);
text_leaf!(
    /// A deployment configuration (CodeDeploy API reference, `DeploymentConfigName`: 1-100).
    DeploymentConfig,
    "a deployment configuration's name: 1-100 characters of A-Z, a-z, 0-9 and . _ + = , @ -",
    "^[A-Za-z0-9._+=,@-]{1,100}$", (1..=100), |t| every(t, "._+=,@-")
);
word_leaf!(
    Newer,
    "queue, supersede or refuse",
    "queue",
    [("queue", Newer::Queue), ("supersede", Newer::Supersede), ("refuse", Newer::Refuse)]
);
word_leaf!(
    OnFailure,
    "halt, continue, roll_back_wave or roll_back_run",
    "halt",
    [
        ("halt", OnFailure::Halt),
        ("continue", OnFailure::Continue),
        ("roll_back_wave", OnFailure::RollBackWave),
        ("roll_back_run", OnFailure::RollBackRun),
    ]
);
word_leaf!(
    Lapse,
    "repoint, expire or keep",
    "repoint",
    [("repoint", Lapse::Repoint), ("expire", Lapse::Expire), ("keep", Lapse::Keep)]
);

word_leaf!(Quiet, "silent or edit", "silent", [("silent", Quiet::Silent), ("edit", Quiet::Edit)]);
word_leaf!(Response, "report or redeploy", "report", [("report", Response::Report), ("redeploy", Response::Redeploy)]);

impl Leaf for Aspect {
    const EXPECTED: &'static str = "revision, definition, health or stack";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let names = Self::ALL.map(Self::name);
        Self::of_name(text).ok_or_else(|| Fault::whole(refused(text, &listed(names)).suggest(closest(text, names))))
    }
    fn schema() -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::name) })
    }
}

/// A target by its names: an account, or one Region of it.
#[derive(Debug, Clone)]
pub(crate) struct TargetName {
    pub(crate) account: AccountName,
    pub(crate) region: Option<Region>,
}

impl Leaf for TargetName {
    const EXPECTED: &'static str = "an account's name, or account/region such as prod/eu-west-1";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let refused = |_| Fault::whole(refused(text, Self::EXPECTED));
        let (account, region) = text.split_once('/').map_or((text, None), |(account, region)| (account, Some(region)));
        let account = AccountName::parse(account).map_err(refused)?;
        let region = region.map(<Region as Leaf>::parse).transpose().map_err(refused)?;
        Ok(Self { account, region })
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[a-z]{1,16}(-[a-z]{1,16})+-[0-9]{1,2})?$" })
    }
}

/// A pattern of AWS identities, as `GetCallerIdentity` tells them (STS API reference: `Arn`, 20-2048 characters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(String);

impl Identity {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Leaf for Identity {
    const EXPECTED: &'static str =
        "a pattern of identities' ARNs, such as arn:aws:sts::111122223333:assumed-role/Admin/*";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let length = text.chars().count();
        let fits = (1..=512).contains(&length) && text.chars().all(|c| c.is_ascii_graphic());
        if !fits || !(text.starts_with("arn:") || text.starts_with('*')) {
            return Err(Fault::whole(Draft::new(format!("{} is not {}", quoted(text), Self::EXPECTED))));
        }
        // Whoever assumed a role is told by the role's name, without its path, and the session's ("IAM identifiers").
        if let Some((before, role)) = text.split_once(":iam::")
            && let Some((account, role)) = role.split_once(":role/")
        {
            let name = role.rsplit('/').next().unwrap_or(role);
            let meant = format!("{before}:sts::{account}:assumed-role/{name}/*");
            let draft = Draft::new(format!("{} is a role, and nobody is a role: they assume it", quoted(text)))
                .help("write its sessions, as GetCallerIdentity tells them")
                .suggest(Some(&meant));
            return Err(Fault::whole(draft));
        }
        Ok(Self(text.to_owned()))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(arn:|\\*)[!-~]{0,508}$", "not": { "pattern": ":iam::.*:role/" } })
    }
}

/// Declares a time with its limits, in seconds.
macro_rules! time_leaf {
    ($(#[$doc:meta])* $name:ident, $range:expr, $limits:literal, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) TimeSpan);

        impl Leaf for $name {
            const EXPECTED: &'static str = "a duration such as 90m, 2h or 1d 12h";
            fn parse(text: &str) -> Result<Self, Vec<Fault>> {
                let Some(seconds) = seconds(text) else { return Err(Fault::whole(refused(text, Self::EXPECTED))) };
                if $range.contains(&seconds) {
                    Ok(Self(TimeSpan::from_seconds(seconds)))
                } else {
                    Err(Fault::whole(refused(text, $limits)))
                }
            }
            fn schema() -> Schema {
                json_schema!($schema)
            }
        }
    };
}

time_leaf!(
    /// The time a run may take.
    Deadline, (60..=14 * 86_400), "between 1m and 14d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$", "default": "2h" }
);
time_leaf!(
    /// How long a wave bakes.
    BakeTime, (60..=LONGEST_BAKE.as_millis() / 1000), "between 1m and 7d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$" }
);
time_leaf!(
    /// How long a request for approval stands.
    Validity, (60..=LONGEST_APPROVAL.as_millis() / 1000), "between 1m and 7d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$", "default": "24h" }
);

time_leaf!(
    /// The distance of drift checks.
    Every, (300..=7 * 86_400), "between 5m and 7d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$" }
);
time_leaf!(
    /// The time a drift check may take.
    CheckTime, (60..=6 * 3600), "between 1m and 6h",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$", "default": "30m" }
);
time_leaf!(
    /// How often all that stands is told.
    DigestTime, (300..=31 * 86_400), "between 5m and 31d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$" }
);
time_leaf!(
    /// How long an approval waits before it is stuck: at most what CodePipeline lets it wait (user guide, "Quotas": a
    /// manual approval times out after 7 days, or what is set, up to 60 days).
    StuckTime, (60..=60 * 86_400), "between 1m and 60d",
    { "type": "string", "pattern": "^\\s*([0-9]+\\s*(d|h|m|s)\\s*)+$", "default": "24h" }
);

/// How long after the first look what differs is looked at again; `None` if one look is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConfirmTime(pub(crate) Option<TimeSpan>);

/// How `confirm` says that one look is enough.
const NEVER: &str = "never";

impl Leaf for ConfirmTime {
    const EXPECTED: &'static str = "a duration such as 90s or 5m, or never";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        if text == NEVER {
            return Ok(Self(None));
        }
        match seconds(text) {
            None => Err(Fault::whole(refused(text, Self::EXPECTED).suggest(closest(text, [NEVER])))),
            Some(seconds) if (1..=LONGEST_CONFIRM.as_millis() / 1000).contains(&seconds) => {
                Ok(Self(Some(TimeSpan::from_seconds(seconds))))
            }
            Some(_) => Err(Fault::whole(refused(text, "between 1s and 15m, or never"))),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(never|\\s*([0-9]+\\s*(m|s)\\s*)+)$", "default": "5m" })
    }
}

/// Until when something holds: a time, or a day with all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Until(pub(crate) Timestamp);

impl Leaf for Until {
    const EXPECTED: &'static str =
        "a date such as 2026-12-31 (until its end, in UTC), or a time such as 2026-12-31T18:00:00Z";
    fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let day = || {
            Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).map(|day| day.plus(TimeSpan::from_minutes(24 * 60)))
        };
        Timestamp::parse_rfc3339(text).or_else(day).map(Self).ok_or_else(|| Fault::whole(refused(text, Self::EXPECTED)))
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$" })
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
        assert!(SlackUser::parse("u0123456789").is_err());
        assert!(AlarmName::parse(&"a".repeat(256)).is_err());
        assert!(TargetName::parse("prod/").is_err());
        assert!(Identity::parse("arn:aws:iam::111122223333:user/alice").is_ok());
        assert!(Identity::parse("*").is_ok());
        assert!(Identity::parse("alice").is_err());
        assert!(StageName::parse("Deploy to prod").is_err());
        assert!(TargetPattern::parse("*/eu-west-1").is_ok());
        assert!(TargetPattern::parse("prod /*").is_err());
        assert!(PathPattern::parse("").is_err());
        assert!(Reason::parse("  ").is_err());
    }

    #[test]
    fn a_day_holds_until_its_end() {
        let until = |text: &str| Until::parse(text).ok().map(|until| until.0.to_string());
        assert_eq!(until("2026-12-31").as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(until("2026-12-31T18:00:00+02:00").as_deref(), Some("2026-12-31T16:00:00Z"));
        assert_eq!(["2026-02-30", "2026-12", "tomorrow", "2026-12-31T18:00"].map(until), [None, None, None, None]);
    }

    #[test]
    fn one_look_is_enough_or_a_second_one_comes_within_a_quarter_of_an_hour() {
        let confirm = |text: &str| ConfirmTime::parse(text).ok().map(|confirm| confirm.0);
        assert_eq!(confirm("never"), Some(None));
        assert_eq!(confirm("15m"), Some(Some(LONGEST_CONFIRM)));
        assert_eq!(confirm("1s"), Some(Some(TimeSpan::from_seconds(1))));
        assert_eq!(["16m", "0s", "Never", "5"].map(confirm), [None; 4]);
    }
}
