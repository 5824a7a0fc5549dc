//! The texts of a fleet file that mean something: names, ids, durations, references to secrets.
//!
//! Types of the core are read by the core's own rules; what is only a fleet file's business is here.

use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use manifold_core::plan::RevisionKind;
use manifold_core::time::Span as TimeSpan;
use schemars::{Schema, json_schema};

use crate::decode::{Fault, Leaf};
use crate::problem::{Draft, closest, quoted};

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
    }
}
