//! The shape of a fleet file. These comments are what an editor shows beside the fields.

use std::borrow::Cow;

use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use manifold_core::plan::{RevisionKind, SecretRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decode::{Decode, Fields, List, Many, Map, Maybe, Slot, Spanned, Whole, mapping, mismatch};
use crate::leaf::{
    AccountName, ActionName, ChannelName, Choice, Deadline, ExternalId, Label, ParameterName, Prose, RoleName,
    SecretName, TagName, TagValue, WaveName, looks_secret,
};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest};
use crate::template::Template;
use crate::yaml::{Kind, Node, Scalar};

/// Values for parameters, by the parameter's name.
pub(crate) type Variables = Map<ParameterName, Spanned<Template>>;

mapping! {
    /// A fleet: everything Manifold may touch, and how it is rolled out.
    ///
    /// Fields that begin with `x-` are ignored; they are the place for YAML anchors.
    #[schemars(title = "Manifold fleet file", extend("patternProperties" = { "^x-": {} }))]
    struct File {
        required {
            /// The version of this file's format.
            version: Whole<1, 1>,
            /// The account and Region that Manifold and the release pipelines are in.
            hub: HubSpec,
            /// The Regions that are deployed to, by their code. Within a wave, targets start in this order of Regions.
            regions: Map<Region, Maybe<RegionSpec>>,
            /// The accounts that are deployed to, by a name of your choice. Within a Region, targets start in this order of accounts.
            accounts: Map<AccountName, AccountSpec>,
            /// What is deployed, by the app's name: 1-32 characters of a-z, 0-9 and -.
            apps: Map<AppName, AppSpec>,
        }
        optional {
            /// What holds for every account and every app unless they say otherwise.
            defaults: DefaultsSpec,
        }
    }
}

mapping! {
    /// The account and Region that Manifold is in.
    struct HubSpec {
        required {
            /// Twelve digits, in quotes.
            account: Spanned<AccountId>,
            /// A Region code such as us-east-1.
            region: Spanned<Region>,
        }
        optional {}
    }
}

mapping! {
    /// What holds for every account and every app unless they say otherwise.
    struct DefaultsSpec {
        required {}
        optional {
            /// The role that Manifold assumes in every target account: a name, or path/name.
            role: Spanned<RoleName>,
            /// The external id that the roles' trust policies demand.
            external_id: Spanned<ExternalId>,
            /// Values for parameters, for every target. A Region's, an account's and a single target's values go before these.
            variables: Variables,
            /// Where the runs' summaries go.
            slack: SlackSpec,
        }
    }
}

mapping! {
    /// A Region.
    struct RegionSpec {
        required {}
        optional {
            /// What people call it, such as Frankfurt.
            name: Spanned<Label>,
            /// Values for parameters, for every target in this Region. They go before an account's values and the defaults.
            variables: Variables,
        }
    }
}

mapping! {
    /// An account.
    struct AccountSpec {
        required {
            /// Twelve digits, in quotes.
            id: Spanned<AccountId>,
        }
        optional {
            /// Tags to select accounts by, and to use in templates as account.tags.<name>.
            tags: Map<TagName, Spanned<TagValue>>,
            /// The role to assume in this account instead of the default one: a name, or path/name.
            role: Spanned<RoleName>,
            /// The external id of this account's role instead of the default one.
            external_id: Spanned<ExternalId>,
            /// Values for parameters, for every target in this account. They go before the defaults.
            variables: Variables,
            /// Values for single targets: this account in one Region. This does not limit the Regions that the account is deployed to; an app's targets do.
            per_region: Map<Region, TargetSpec>,
        }
    }
}

mapping! {
    /// What holds for a single target: one account in one Region.
    struct TargetSpec {
        required {}
        optional {
            /// Values for parameters, for this target alone. They go before all others.
            variables: Variables,
        }
    }
}

mapping! {
    /// An app: its release pipeline, its engine, its parameters and its rollout policy.
    struct AppSpec {
        required {
            /// What starts a rollout.
            release: ReleaseSpec,
            /// What does the work in every target.
            engine: EngineSpec,
        }
        optional {
            /// What the app is, for readers of this file.
            description: Spanned<Prose>,
            /// What the target pipelines are given, by the pipeline variable's name. At most 50.
            parameters: Map<ParameterName, Maybe<ParameterSpec>>,
            /// Where the app is deployed; every account in every Region when left out.
            targets: Selector,
            /// The order of the rollout. Every target belongs to exactly one wave. When left out there is one wave, "all".
            waves: List<WaveSpec>,
            /// How many executions one target may get in a run before its failure counts. 1 when left out.
            #[schemars(extend("default" = 1))]
            max_attempts: Whole<1, 10>,
            /// The time a run may take, from 1m to 14d. 2h when left out.
            deadline: Spanned<Deadline>,
            /// Where this app's summaries go instead of the default.
            slack: SlackSpec,
        }
    }
}

mapping! {
    /// The pipelines in the hub account whose success is a release.
    struct ReleaseSpec {
        required {
            /// One release pipeline, or a list of them.
            pipelines: Many<Spanned<PipelineName>>,
        }
        optional {
            /// The Region of the release pipelines, in the hub account; the hub's Region when left out.
            region: Spanned<Region>,
        }
    }
}

mapping! {
    /// What does the work in every target.
    struct EngineSpec {
        required {
            /// A pipeline in every target.
            codepipeline: CodePipelineSpec,
        }
        optional {}
    }
}

mapping! {
    /// A pipeline in every target.
    struct CodePipelineSpec {
        required {
            /// The pipeline's name in the target: a text or a template such as "{{ app }}-{{ account.tags.stage }}". It can't depend on the release.
            name: Spanned<Template>,
        }
        optional {
            /// The source action in the target pipeline that is pinned to the release's revision. Without it, a parameter must use release.revision.
            source_action: Spanned<ActionName>,
            /// How the source action reads the revision. COMMIT_ID when left out.
            revision_type: Spanned<RevisionKind>,
        }
    }
}

mapping! {
    /// A parameter of an app: a pipeline variable of the target pipelines. Its value is the first one found of: fixed here, single target, Region, account, defaults, default here.
    struct ParameterSpec {
        required {}
        optional {
            /// What it is for.
            description: Spanned<Prose>,
            /// The value when none is given anywhere else: a text or a template.
            default: Spanned<Template>,
            /// A fixed value that nothing else changes: a text or a template such as "{{ release.revision }}". Text of a release (its message, author, branch) is written by others: a pipeline must not run it.
            value: Spanned<Template>,
            /// The only values allowed.
            choices: List<Spanned<Choice>>,
        }
    }
}

mapping! {
    /// Some of the targets: those that match everything that is given here, but none of the exclusions.
    struct Selector {
        required {}
        optional {
            /// Only these accounts: a name or a list of names.
            accounts: Many<Spanned<AccountName>>,
            /// Only accounts with these tags: each with its value, or a list of values of which one must match.
            tags: Map<TagName, Many<Spanned<TagValue>>>,
            /// Only these Regions: a code or a list of codes.
            regions: Many<Spanned<Region>>,
            /// All but these. A target is left out when it matches everything that one entry gives.
            exclude: List<Exclusion>,
        }
    }
}

mapping! {
    /// Targets to leave out: those that match everything that is given here.
    struct Exclusion {
        required {}
        optional {
            /// These accounts: a name or a list of names.
            accounts: Many<Spanned<AccountName>>,
            /// Accounts with these tags: each with its value, or a list of values of which one must match.
            tags: Map<TagName, Many<Spanned<TagValue>>>,
            /// These Regions: a code or a list of codes.
            regions: Many<Spanned<Region>>,
        }
    }
}

mapping! {
    /// A part of the targets; it starts when the wave before has ended within its failure tolerance.
    struct WaveSpec {
        required {
            /// What people call it, such as prod.
            name: Spanned<WaveName>,
        }
        optional {
            /// The targets of the wave. When left out: all that no other wave selects; at most one wave may do so.
            select: Selector,
            /// How many targets may be in flight at once. 10 when left out.
            #[schemars(extend("default" = 10))]
            max_concurrent: Whole<1, 10_000>,
            /// How many targets may end without the release before nothing more is started. 0 when left out.
            #[schemars(extend("default" = 0))]
            failure_tolerance: Whole<0, 1_000_000>,
        }
    }
}

mapping! {
    /// A Slack channel with a bot token (one message, edited in place), or an incoming webhook (one message, at the end).
    #[schemars(extend("oneOf" = [{ "required": ["channel", "token"] }, { "required": ["webhook"] }]))]
    struct SlackFields {
        required {}
        optional {
            /// The channel: an id such as C0123456789, or a name.
            channel: Spanned<ChannelName>,
            /// Where the bot token is kept.
            token: Secret,
            /// Where the incoming webhook's URL is kept.
            webhook: Secret,
        }
    }
}

/// Where summaries go.
#[derive(Debug)]
pub(crate) enum SlackSpec {
    Silent,
    Bot { channel: Spanned<ChannelName>, token: Secret },
    Webhook(Secret),
}

/// How `slack` says that nobody is told.
const SILENT: &str = "silent";

impl Decode for SlackSpec {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        if let Kind::Scalar(Scalar { text, .. }) = &node.kind {
            if text.as_ref() == SILENT {
                return Some(Self::Silent);
            }
            let expected = "expected a mapping with channel and token, or with webhook, or the word \"silent\"";
            let draft = if looks_secret(text) {
                Draft::new("this is a secret, not a mapping").help(expected)
            } else {
                mismatch("a mapping with channel and token, or with webhook, or the word \"silent\"", node)
                    .suggest(closest(text, [SILENT]))
            };
            out.report(node.span, path, draft);
            return None;
        }
        let fields = SlackFields::decode(node, place, path, out)?;
        match (fields.channel, fields.token, fields.webhook) {
            (Slot::Given(channel), Slot::Given(token), Slot::Absent) => Some(Self::Bot { channel, token }),
            (Slot::Absent, Slot::Absent, Slot::Given(webhook)) => Some(Self::Webhook(webhook)),
            (channel, token, webhook) => {
                let bot = !channel.is_absent() || !token.is_absent();
                let message = match (bot, webhook.is_absent()) {
                    (true, false) => Some("a bot and a webhook are two ways to post"),
                    (false, true) => Some("neither a channel nor a webhook is given"),
                    (true, true) if token.is_absent() => Some("a channel needs a token"),
                    (true, true) if channel.is_absent() => Some("a token needs a channel"),
                    (true, true) | (false, false) => None,
                };
                if let Some(message) = message {
                    let draft = Draft::new(message).help("give either channel and token, or webhook");
                    out.report(place, path, draft);
                }
                None
            }
        }
    }
}

impl JsonSchema for SlackSpec {
    fn schema_name() -> Cow<'static, str> {
        "Slack".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<SlackFields>();
        json_schema!({
            "description": "Where summaries go; \"silent\" tells nobody.",
            "anyOf": [{ "const": SILENT }, fields]
        })
    }
}

mapping! {
    /// A secret by reference; it never stands in this file.
    #[schemars(extend("oneOf" = [{ "required": ["secrets_manager"] }, { "required": ["ssm"] }]))]
    struct SecretFields {
        required {}
        optional {
            /// In Secrets Manager: the secret's name or ARN.
            secrets_manager: Spanned<SecretName>,
            /// In Systems Manager Parameter Store, as a SecureString: the parameter's name or ARN.
            ssm: Spanned<SecretName>,
        }
    }
}

/// A secret by reference.
#[derive(Debug)]
pub(crate) struct Secret(pub(crate) SecretRef);

impl Decode for Secret {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let help = "name where it is kept: { secrets_manager: name } or { ssm: name }";
        if let Kind::Scalar(_) = &node.kind {
            // What stands here may be the secret itself, so it is not repeated.
            out.report(node.span, path, Draft::new("expected a reference to a secret, found a plain value").help(help));
            return None;
        }
        let fields = SecretFields::decode(node, place, path, out)?;
        match (fields.secrets_manager, fields.ssm) {
            (Slot::Given(name), Slot::Absent) => Some(Self(SecretRef::SecretsManager(name.value.as_str().to_owned()))),
            (Slot::Absent, Slot::Given(name)) => Some(Self(SecretRef::Ssm(name.value.as_str().to_owned()))),
            (Slot::Absent, Slot::Absent) => {
                out.report(place, path, Draft::new("no secret is named").help(help));
                None
            }
            (Slot::Broken, Slot::Absent) | (Slot::Absent, Slot::Broken) => None,
            (Slot::Broken | Slot::Given(_), Slot::Broken | Slot::Given(_)) => {
                out.report(place, path, Draft::new("a secret is kept in one place").help(help));
                None
            }
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<SecretFields>()
    }
}
