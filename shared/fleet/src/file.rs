//! The shape of a fleet file. These comments are what an editor shows beside the fields.

use std::borrow::Cow;

use manifold_core::drift::{Aspect, Quiet, Response};
use manifold_core::engine::{Capability, OnStop, Replacements};
use manifold_core::ids::{AccountId, AppName, PipelineName, Region};
use manifold_core::plan::{Lapse, Newer, OnFailure, RevisionKind, SecretRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decode::{Decode, Fields, Flag, List, Many, Map, Maybe, Share, Slot, Spanned, Whole, mapping, mismatch};
use crate::layout::Amount;
use crate::leaf::{
    AccountName, ActionName, AlarmName, BakeTime, ChannelName, CheckTime, Choice, ConfirmTime, Deadline,
    DeploymentConfig, DigestTime, Every, ExternalId, Identity, Label, OperatorName, Owner, ParameterName, PathPattern,
    Prose, Reason, Repository, RoleName, SecretName, SlackUser, StageName, StuckTime, TagName, TagValue, TargetName,
    TargetPattern, Until, Validity, WaveName, looks_secret,
};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest};
use crate::template::{Document, Template};
use crate::yaml::{Kind, Node, Scalar, Sort};

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
            /// Who may decide about runs, by a name of your choice.
            operators: Map<OperatorName, OperatorSpec>,
        }
    }
}

mapping! {
    /// Somebody who may decide about runs: a person, or whoever holds a role. At least one of slack and iam.
    #[schemars(extend("anyOf" = [{ "required": ["slack"] }, { "required": ["iam"] }]))]
    struct OperatorSpec {
        required {}
        optional {
            /// Their Slack user ids, such as U0123456789: one or a list.
            slack: Many<Spanned<SlackUser>>,
            /// Patterns of their AWS identities' ARNs, as GetCallerIdentity tells them; * stands for any text. One, such as arn:aws:sts::111122223333:assumed-role/Admin/*, or a list.
            iam: Many<Spanned<Identity>>,
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
            /// How the apps are checked for drift. An app's own takes the place of all of this.
            drift: DriftSpec,
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
            /// Another engine for some of the targets.
            engines: List<ExceptionSpec>,
            /// What is started is given, by name: variables of a pipeline, environment variables of a build, parameters of a stack, what an AppSpec names. At most 50.
            #[schemars(extend("maxProperties" = 50))]
            parameters: Map<ParameterName, Maybe<ParameterSpec>>,
            /// Where the app is deployed; every account in every Region when left out.
            targets: Selector,
            /// Targets that get a release first, one after the other and with no failure tolerated, as a wave "canary": account names or account/region, or { targets, bake }. They belong to no other wave.
            canary: CanarySpec,
            /// The order of the rollout. Every target belongs to exactly one wave. When left out there is one wave, "all".
            waves: List<WaveSpec>,
            /// How many executions one target may get in a run before its failure counts. 1 when left out.
            #[schemars(extend("default" = 1))]
            max_attempts: Whole<1, 10>,
            /// The time a run may take, from 1m to 14d. 2h when left out.
            deadline: Spanned<Deadline>,
            /// Whether a target whose pipeline, variables and pinned revision are what it has already is left alone. false when left out.
            changed_only: Flag,
            /// What a newer release does to a run that is under way: queue (it waits), supersede (it takes over what has not started) or refuse (it is refused). queue when left out.
            newer_release: Spanned<Newer>,
            /// What a wave beyond its failure tolerance does: halt (nothing more is started), continue (all of it is rolled out all the same), roll_back_wave or roll_back_run (halt, and that wave's targets, or all of the run's, go back to what they had). halt when left out.
            on_failure: Spanned<OnFailure>,
            /// Who may pause, resume, abort, retry and roll back: one of this file's operators by name, or a list. All of them when left out.
            operators: Many<Spanned<OperatorName>>,
            /// Where this app's summaries go instead of the default.
            slack: SlackSpec,
            /// How this app is checked for drift, instead of all that the defaults say.
            drift: DriftSpec,
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
    /// What does the work in a target: exactly one of these.
    #[schemars(extend("oneOf" = [{ "required": ["codepipeline"] }, { "required": ["codebuild"] }, { "required": ["cloudformation"] }, { "required": ["codedeploy"] }]))]
    struct EngineFields {
        required {}
        optional {
            /// A pipeline in every target.
            codepipeline: CodePipelineSpec,
            /// A build project in every target.
            codebuild: CodeBuildSpec,
            /// A stack in every target: a change set is created, reviewed and executed.
            cloudformation: CloudFormationSpec,
            /// A deployment group in every target, for ECS, Lambda or EC2.
            codedeploy: CodeDeploySpec,
        }
    }
}

/// What does the work in a target.
#[derive(Debug)]
pub(crate) struct EngineSpec {
    pub(crate) what: EngineKind,
}

/// Which service, and what it needs.
#[derive(Debug)]
pub(crate) enum EngineKind {
    Pipeline(CodePipelineSpec),
    Build(CodeBuildSpec),
    Stack(CloudFormationSpec),
    Deployment(CodeDeploySpec),
}

impl EngineKind {
    /// Where it stands in the file.
    pub(crate) const fn span(&self) -> Span {
        match self {
            Self::Pipeline(spec) => spec.span,
            Self::Build(spec) => spec.span,
            Self::Stack(spec) => spec.span,
            Self::Deployment(spec) => spec.span,
        }
    }

    /// Its field in the file.
    pub(crate) const fn field(&self) -> &'static str {
        match self {
            Self::Pipeline(_) => "codepipeline",
            Self::Build(_) => "codebuild",
            Self::Stack(_) => "cloudformation",
            Self::Deployment(_) => "codedeploy",
        }
    }
}

impl Decode for EngineSpec {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let fields = EngineFields::decode(node, place, path, out)?;
        let EngineFields { codepipeline, codebuild, cloudformation, codedeploy, span: _ } = fields;
        let given =
            [!codepipeline.is_absent(), !codebuild.is_absent(), !cloudformation.is_absent(), !codedeploy.is_absent()];
        let help = "give one of codepipeline, codebuild, cloudformation and codedeploy";
        match given.iter().filter(|given| **given).count() {
            0 => {
                // A field that is none of these is a problem of its own.
                if matches!(&node.kind, Kind::Mapping(fields) if fields.is_empty()) {
                    out.report(place, path, Draft::new("no engine is named").help(help));
                }
                return None;
            }
            1 => {}
            _ => {
                out.report(place, path, Draft::new("a target has one engine").help(help));
                return None;
            }
        }
        let pipeline = codepipeline.take().map(EngineKind::Pipeline);
        let build = codebuild.take().map(EngineKind::Build);
        let stack = cloudformation.take().map(EngineKind::Stack);
        let deployment = codedeploy.take().map(EngineKind::Deployment);
        Some(Self { what: pipeline.or(build).or(stack).or(deployment)? })
    }
}

impl JsonSchema for EngineSpec {
    fn schema_name() -> Cow<'static, str> {
        "Engine".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<EngineFields>()
    }
}

mapping! {
    /// Another engine for some of the targets.
    struct ExceptionSpec {
        required {
            /// For which targets. The first exception that selects a target counts.
            select: Selector,
            /// What does the work there.
            engine: EngineSpec,
        }
        optional {}
    }
}

mapping! {
    /// A build project in every target. The parameters are environment variables of the build.
    struct CodeBuildSpec {
        required {
            /// The project's name in the target: a text or a template. It can't depend on the release.
            project: Spanned<Template>,
        }
        optional {
            /// The source version that is built, such as "{{ release.revision }}". Without it, a parameter must use release.revision.
            source_version: Spanned<Template>,
        }
    }
}

mapping! {
    /// A stack in every target. The parameters are the stack's.
    struct CloudFormationSpec {
        required {
            /// The stack's name in the target: a text or a template. It can't depend on the release.
            stack: Spanned<Template>,
            /// The template of the release in S3, such as "s3://artifacts-{{ region }}/{{ release.revision }}/template.yaml". The target's role must be allowed to read it.
            template: Spanned<Template>,
        }
        optional {
            /// A file of the release in S3 with more parameters and with tags, as CodePipeline's template configuration: {"Parameters": {}, "Tags": {}}. The app's parameters go before it.
            parameters_file: Spanned<Template>,
            /// What the template may do only if it is said here: CAPABILITY_IAM, CAPABILITY_NAMED_IAM, CAPABILITY_AUTO_EXPAND. None when left out.
            capabilities: Many<Spanned<Capability>>,
            /// The role that CloudFormation works with, in the target account: a name, or path/name. When left out, the one that the stack has already.
            role: Spanned<RoleName>,
            /// What becomes of a change set that would replace or remove resources: refuse (it is not executed, and the target fails with their names) or allow. refuse when left out.
            replacements: Spanned<Replacements>,
        }
    }
}

mapping! {
    /// A deployment group in every target. What is deployed is exactly one of revision, appspec and github.
    #[schemars(extend("oneOf" = [{ "required": ["revision"] }, { "required": ["appspec"] }, { "required": ["github"] }]))]
    struct CodeDeploySpec {
        required {
            /// The application's name in the target: a text or a template. It can't depend on the release.
            application: Spanned<Template>,
            /// The deployment group's name: a text or a template. It can't depend on the release.
            group: Spanned<Template>,
        }
        optional {
            /// A bundle or an AppSpec file of the release in S3, such as "s3://artifacts-{{ region }}/{{ release.revision }}.zip": .zip, .tar, .tgz, .tar.gz, .yaml, .yml or .json.
            revision: Spanned<Template>,
            /// The text of the AppSpec for ECS or Lambda, at most 4096 characters: a template, in which parameters.<name> stands for the value of a parameter.
            appspec: Spanned<Document>,
            /// A repository on GitHub, as owner/name, whose commit is the release's revision.
            github: Spanned<Repository>,
            /// The deployment configuration, such as CodeDeployDefault.ECSCanary10Percent5Minutes. The group's own when left out.
            config: Spanned<DeploymentConfig>,
            /// Whether a deployment that fails, or is stopped by one of the group's alarms, is rolled back. As the group says when left out.
            auto_rollback: Flag,
            /// What stopping a deployment does with what it changed: leave (it stays) or roll_back (the last good revision is deployed again). leave when left out.
            on_stop: Spanned<OnStop>,
        }
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
    /// A parameter of an app. Its value is the first one found of: fixed here, single target, Region, account, defaults, default here.
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
            /// How many targets may be in flight at once: a number, or per cent of the wave such as "25%", rounded down but at least 1. 10 when left out.
            #[schemars(extend("default" = 10))]
            max_concurrent: Share<1, 10_000>,
            /// How many targets may end without the release before nothing more is started: a number, or per cent of the wave such as "10%", rounded down. 0 when left out.
            #[schemars(extend("default" = 0))]
            failure_tolerance: Share<0, 1_000_000>,
            /// Whether no more targets are in flight than could fail without breaking the tolerance by more than one. Else what is in flight when the tolerance breaks may fail as well. false when left out.
            strict: Flag,
            /// How many targets of one account may be in flight at once; no limit of its own when left out.
            max_per_account: Whole<1, 10_000>,
            /// How many targets of one Region may be in flight at once; no limit of its own when left out.
            max_per_region: Whole<1, 10_000>,
            /// A pause after the wave, in which it proves itself: a time from 1m to 7d such as 30m, or { time, alarms }.
            bake: BakeSpec,
            /// A decision that the wave waits for.
            approval: ApprovalSpec,
            /// The order of Regions in this wave, by their codes. Those that are not named follow, in the order of this file.
            region_order: List<Spanned<Region>>,
            /// The wave in steps, one after the other, each with the wave's tolerance and followed by its bake: how many targets each has, as numbers or per cent of the whole wave (at least 1), such as [1, 5, 25%, rest] or "1, 5, 25%, rest". What is left is a last step. What the wave says by per cent is counted from each step; an approval is for all of them.
            ramp: Ramp,
        }
    }
}

mapping! {
    /// A pause after a wave.
    struct BakeFields {
        required {
            /// How long, from 1m to 7d.
            time: Spanned<BakeTime>,
        }
        optional {
            /// CloudWatch alarms, metric or composite, in each of the wave's target accounts and Regions: one name or a list. One in ALARM stops the run.
            alarms: Many<Spanned<AlarmName>>,
        }
    }
}

/// A pause after a wave: its time, or that and more.
#[derive(Debug)]
pub(crate) struct BakeSpec {
    pub(crate) time: Slot<Spanned<BakeTime>>,
    pub(crate) alarms: Slot<Many<Spanned<AlarmName>>>,
}

impl Decode for BakeSpec {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        match &node.kind {
            Kind::Mapping(_) => {
                let BakeFields { time, alarms, span: _ } = BakeFields::decode(node, place, path, out)?;
                Some(Self { time, alarms })
            }
            Kind::Scalar(_) => {
                let time = Spanned::decode(node, place, path, out)?;
                Some(Self { time: Slot::Given(time), alarms: Slot::Absent })
            }
            Kind::List(_) => {
                out.report(
                    node.span,
                    path,
                    mismatch("a duration such as 30m, or a mapping with time and alarms", node),
                );
                None
            }
        }
    }
}

impl JsonSchema for BakeSpec {
    fn schema_name() -> Cow<'static, str> {
        "Bake".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = generator.subschema_for::<Spanned<BakeTime>>();
        let fields = generator.subschema_for::<BakeFields>();
        json_schema!({ "anyOf": [time, fields] })
    }
}

mapping! {
    /// A decision that a wave waits for.
    struct ApprovalSpec {
        required {
            /// Who may decide: one of this file's operators by name, or a list of which any one may.
            by: Many<Spanned<OperatorName>>,
        }
        optional {
            /// How long the request stands, from 1m to 7d; then the run ends as not approved. 24h when left out.
            valid_for: Spanned<Validity>,
            /// What becomes of the request when a newer release arrives: repoint (the newer one takes its place, and is asked about when it gets there), expire (the run ends as not approved) or keep (it stands, and the newer one waits). repoint when left out.
            newer_release: Spanned<Lapse>,
        }
    }
}

mapping! {
    /// How targets are checked for drift: whether what runs there is what should run there. Nothing is changed by it, unless on_drift says so.
    struct DriftSpec {
        required {}
        optional {
            /// The distance of the checks, from 5m to 7d, such as 1h. When left out there is one whenever somebody asks for it with manifold drift.
            every: Spanned<Every>,
            /// What of a target is compared: revision (what was deployed last against the last good release), definition (the pipeline's structure against what was recorded of it, and against the other targets), health (disabled transitions, stuck approvals, a failed last execution, executions that somebody else started), stack (CloudFormation's drift detection). One or a list; the first three when left out, and stack if there are stacks.
            checks: Many<Spanned<Aspect>>,
            /// CloudFormation stacks in every target, by their names: one text or template such as "{{ app }}-{{ region }}", or a list of at most 10. They can't depend on the release. Stacks that are nested in them are not looked at: name them too.
            stacks: Many<Spanned<Template>>,
            /// The stage of the target pipelines whose success counts as deployed. The last one when left out.
            deploy_stage: Spanned<StageName>,
            /// How long after the first look what differs is looked at again before it is called drift, from 1s to 15m; never if one look is enough. 5m when left out.
            confirm: Spanned<ConfirmTime>,
            /// How long an approval in a target pipeline may wait before it counts as stuck, from 1m to 60d. 24h when left out.
            stuck_after: Spanned<StuckTime>,
            /// The time a check may take, up to 6h and longer than confirm; what was not seen by then is unknown. 30m when left out.
            deadline: Spanned<CheckTime>,
            /// What is told of a check that found nothing new: silent (nothing) or edit (the last message says when it was checked again). silent when left out.
            quiet: Spanned<Quiet>,
            /// How often all that is not in sync is told, news or not: a time such as 1d, up to 31d and no shorter than every. When left out, news alone are told.
            digest: Spanned<DigestTime>,
            /// What follows from a revision that drifted: report (it is told) or redeploy (and a rollout brings these targets their last good release again, in the app's waves and with its approvals). report when left out.
            on_drift: Spanned<Response>,
            /// Whether CloudTrail is asked who did it; the role to inspect with must be allowed to. false when left out.
            who: Flag,
            /// Where drift is told instead of the app's own place.
            slack: SlackSpec,
            /// Differences that are known and meant, for a while.
            ignore: List<IgnoreSpec>,
        }
    }
}

mapping! {
    /// A difference that is known and meant, for a while. When its time is up it counts again, and the rule is told of.
    struct IgnoreSpec {
        required {
            /// Which targets: a pattern of account/region, with the account's name or id, such as prod/*, or "*/eu-west-1" in quotes; * stands for any text.
            target: Spanned<TargetPattern>,
            /// Who answers for it.
            owner: Spanned<Owner>,
            /// Why.
            reason: Spanned<Reason>,
            /// Until when it holds: a date (until its end, in UTC) or a time, such as 2026-12-31 or 2026-12-31T18:00:00Z.
            until: Spanned<Until>,
        }
        optional {
            /// In which comparison: revision, definition, health or stack. All of them when left out.
            check: Spanned<Aspect>,
            /// At which paths in it, as a check tells them: a pattern such as /transitions/*. All of them when left out.
            path: Spanned<PathPattern>,
        }
    }
}

/// How many targets each step of a wave has. What is left is a last step, whether the file says so or not.
#[derive(Debug)]
pub(crate) struct Ramp(pub(crate) Vec<Amount>);

/// The most steps of a ramp: each is a wave of its own.
const MAX_STEPS: usize = 20;

/// How a ramp says: all that is left.
const REST: &str = "rest";

const RAMP: &str = "a list of numbers of targets, such as [1, 5, 25%, rest], or the same as one text";

impl Decode for Ramp {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        let mut steps: Vec<(Span, Option<String>, String)> = Vec::new();
        match &node.kind {
            Kind::List(nodes) => {
                for node in nodes {
                    let text = match &node.kind {
                        Kind::Scalar(Scalar { sort: Sort::Integer | Sort::Text, text, .. }) => {
                            Some(text.trim().to_owned())
                        }
                        Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_) => None,
                    };
                    steps.push((node.span, text, node.found()));
                }
            }
            Kind::Scalar(Scalar { sort: Sort::Integer | Sort::Text, text, .. }) => {
                steps.extend(text.split(',').map(|step| {
                    let step = step.trim();
                    (node.span, Some(step.to_owned()), format!("the text {}", crate::problem::quoted(step)))
                }));
            }
            Kind::Scalar(_) | Kind::Mapping(_) => {
                out.report(node.span, path, mismatch(RAMP, node));
                return None;
            }
        }
        if steps.is_empty() || steps.len() > MAX_STEPS {
            let draft = Draft::new(format!("a ramp has 1 to {MAX_STEPS} steps, this one has {}", steps.len()));
            out.report(place, path, draft.help("name fewer, or leave the field out"));
            return None;
        }
        let (last, mut good, mut amounts) = (steps.len() - 1, true, Vec::new());
        for (at, (span, text, found)) in steps.iter().enumerate() {
            let here = path.item(at);
            if text.as_deref() == Some(REST) {
                if at != last {
                    let draft = Draft::new("\"rest\" leaves nothing for the steps after it");
                    out.report(*span, &here, draft.help("put it last, or leave it out"));
                    good = false;
                }
                continue;
            }
            let plain = |text: &&str| text.starts_with(|c: char| c.is_ascii_digit());
            let count =
                |text: &str| text.parse().ok().filter(|count| (1..=1_000_000).contains(count)).map(Amount::Count);
            match text.as_deref().filter(plain).and_then(|text| count(text).or_else(|| Amount::percent(text, 1))) {
                Some(amount) => amounts.push(amount),
                None => {
                    let message =
                        format!("expected a number of targets, 1% to 100% of the wave, or rest, found {found}");
                    let close = text.as_deref().and_then(|text| closest(text, [REST]));
                    out.report(*span, &here, Draft::new(message).suggest(close));
                    good = false;
                }
            }
        }
        good.then_some(Self(amounts))
    }
}

impl JsonSchema for Ramp {
    fn schema_name() -> Cow<'static, str> {
        "Ramp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let step = "([1-9][0-9]*|([1-9][0-9]?|100)%)";
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": format!("^\\s*({step}\\s*,\\s*)*({step}|rest)\\s*$") },
            {
                "type": "array", "minItems": 1, "maxItems": MAX_STEPS,
                "items": { "anyOf": [
                    { "type": "integer", "minimum": 1 },
                    { "type": "string", "pattern": format!("^({step}|rest)$") }
                ] }
            }
        ] })
    }
}

mapping! {
    /// Targets that get a release first.
    struct CanaryFields {
        required {
            /// Account names or account/region, such as prod/eu-west-1: one or a list.
            targets: Many<Spanned<TargetName>>,
        }
        optional {
            /// A pause after them, in which they prove themselves: a time from 1m to 7d such as 30m, or { time, alarms }.
            bake: BakeSpec,
        }
    }
}

/// Targets that get a release first: their names, or those and more.
#[derive(Debug)]
pub(crate) struct CanarySpec {
    pub(crate) targets: Slot<Many<Spanned<TargetName>>>,
    pub(crate) bake: Slot<BakeSpec>,
    /// Whether the names are in a field of their own.
    pub(crate) nested: bool,
}

impl Decode for CanarySpec {
    fn decode(node: &Node, place: Span, path: &Path<'_>, out: &mut Sink) -> Option<Self> {
        if let Kind::Mapping(_) = &node.kind {
            let CanaryFields { targets, bake, span: _ } = CanaryFields::decode(node, place, path, out)?;
            return Some(Self { targets, bake, nested: true });
        }
        let targets = Many::decode(node, place, path, out)?;
        Some(Self { targets: Slot::Given(targets), bake: Slot::Absent, nested: false })
    }
}

impl JsonSchema for CanarySpec {
    fn schema_name() -> Cow<'static, str> {
        "Canary".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let targets = generator.subschema_for::<Many<Spanned<TargetName>>>();
        let fields = generator.subschema_for::<CanaryFields>();
        json_schema!({ "anyOf": [targets, fields] })
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
