//! The shape of a fleet file. These comments are what an editor shows beside the fields.

use std::borrow::Cow;

use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use manifold_core::plan::{Bake, Lapse, Newer, OnFailure, RevisionKind, SecretRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decode::{Decode, Fields, Leaf, List, Many, Map, Maybe, Slot, Spanned, Whole, mapping, mismatch};
use crate::leaf::{
    AccountName, ActionName, AlarmName, Amount, ChannelName, Choice, Deadline, ExternalId, Flag, IamPattern, Label,
    OperatorName, ParameterName, PlaceName, Prose, Ramp, RoleName, SecretName, SlackUser, TagName, TagValue, Wait,
    WaveName, looks_secret,
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
            /// People who may decide about rollouts, by a name of your choice.
            operators: Map<OperatorName, OperatorSpec>,
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
    /// Somebody who may decide. At least one of the two is needed.
    #[schemars(extend("anyOf" = [{ "required": ["slack"] }, { "required": ["iam"] }]))]
    struct OperatorSpec {
        required {}
        optional {
            /// Their Slack user id, or a list of ids: for buttons.
            slack: Many<Spanned<SlackUser>>,
            /// Their AWS identity as "aws sts get-caller-identity" tells its ARN, or a list; * stands for any text: for the command line.
            iam: Many<Spanned<IamPattern>>,
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
            #[schemars(extend("maxProperties" = 50))]
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
            /// Who may pause, resume, abort, retry and roll back: names of operators. All of them when left out.
            operators: Many<Spanned<OperatorName>>,
            /// What a newer release does to a run that is under way. queue (when left out): it waits. supersede: the run starts nothing more. refuse: it is not rolled out.
            newer_release: Spanned<Newer>,
            /// What a wave over its failure tolerance does. halt (when left out): nothing more is started. continue: all of it goes out, and the verdict is failed all the same. roll_back_wave, roll_back_run: the targets of that wave, or of the run, go back to their own last good release.
            on_failure: Spanned<OnFailure>,
            /// Whether targets that have the release already, with the same variables, are skipped. false when left out.
            changed_only: Flag,
            /// Targets that go first, as a wave of their own named "canary".
            canary: CanarySpec,
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
            /// How many targets may be in flight at once: a number, or a percentage of the wave (rounded down, at least 1). 10 when left out.
            #[schemars(extend("default" = 10))]
            max_concurrent: Amount<1, 10_000>,
            /// How many targets may end without the release before nothing more is started: a number, or a percentage of the wave (rounded down). 0 when left out.
            #[schemars(extend("default" = 0))]
            failure_tolerance: Amount<0, 1_000_000>,
            /// Whether no more are in flight than may still fail, and one. false when left out: then what is in flight when the tolerance breaks may fail as well.
            strict: Flag,
            /// How many targets of one account may be in flight at once. No limit when left out.
            max_per_account: Whole<1, 10_000>,
            /// How many targets of one Region may be in flight at once. No limit when left out.
            max_per_region: Whole<1, 10_000>,
            /// The Regions that go first, in this order; the others follow in the order of the file.
            region_order: Many<Spanned<Region>>,
            /// The steps in which the wave goes out, such as "1, 5, 25%, rest". Each is a wave of its own with the wave's tolerance and bake.
            ramp: Ramp,
            /// How long the wave proves itself before anything else is started, from 1m to 7d; or a mapping with the alarms that must be quiet then.
            bake: BakeSpec,
            /// Who must agree before the wave begins.
            approval: ApprovalSpec,
        }
    }
}

mapping! {
    /// Targets that go first, one at a time; if one ends without the release, nothing more is started.
    struct CanarySpec {
        required {
            /// An account's name, account/region, or a list of them.
            targets: Many<Spanned<PlaceName>>,
        }
        optional {
            /// How long they prove themselves before the first wave.
            bake: BakeSpec,
        }
    }
}

mapping! {
    /// Who must agree before a wave begins.
    struct ApprovalSpec {
        required {
            /// An operator's name, or a list of names of whom one must agree.
            by: Many<Spanned<OperatorName>>,
        }
        optional {
            /// How long the request stands, from 1m to 7d. 24h when left out. After that the run ends.
            valid_for: Spanned<Wait>,
            /// What becomes of the request when a newer release arrives. repoint (when left out): the newer release takes this one's place, and is asked about when it gets there. expire: the run ends as not approved. keep: it stands, and the newer release waits.
            newer_release: Spanned<Lapse>,
        }
    }
}

mapping! {
    /// How long a wave proves itself, and by which alarms.
    struct BakeFields {
        required {
            /// How long, from 1m to 7d.
            time: Spanned<Wait>,
        }
        optional {
            /// CloudWatch alarms, by name, in each of the wave's target accounts and Regions: one in ALARM stops the run. At most 100.
            #[schemars(extend("maxItems" = 100))]
            alarms: Many<Spanned<AlarmName>>,
        }
    }
}

/// A bake: a duration alone, or with alarms.
#[derive(Debug)]
pub(crate) struct BakeSpec(pub(crate) Bake);

/// "AlarmNames: at most 100" a call (`DescribeAlarms`).
const MOST_ALARMS: usize = 100;

impl Decode for BakeSpec {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        if let Kind::Scalar(_) = &node.kind {
            let time = Spanned::<Wait>::decode(node, place, path, out)?;
            return Some(Self(Bake { time: time.value.0, alarms: Vec::new() }));
        }
        let fields = BakeFields::decode(node, place, path, out)?;
        let alarms = match &fields.alarms {
            Slot::Absent => Vec::new(),
            Slot::Broken => return None,
            Slot::Given(Many(list)) => list.given().map(|(_, name)| name.value.as_str().to_owned()).collect(),
        };
        if alarms.len() > MOST_ALARMS {
            let draft = Draft::new(format!("{} alarms; at most {MOST_ALARMS} are looked at", alarms.len()));
            out.report(place, &path.field("alarms"), draft.help("combine them in a composite alarm"));
            return None;
        }
        Some(Self(Bake { time: fields.time.given()?.value.0, alarms }))
    }
}

impl JsonSchema for BakeSpec {
    fn schema_name() -> Cow<'static, str> {
        "Bake".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<BakeFields>();
        json_schema!({ "anyOf": [<Wait as Leaf>::schema(), fields] })
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
