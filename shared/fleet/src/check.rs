//! What spans more than one place: names that refer to something, values that reach every target, waves that
//! cover everything once. Ends with the model.
//!
//! A check is left out when something it depends on was refused already: one mistake, one message.

mod drift;
pub(crate) mod engine;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use manifold_core::control::Operator;
use manifold_core::drift::Looks;
use manifold_core::ids::{AccountId, RoleArn, TargetKey};
use manifold_core::plan::{Approval, Bake, Channel, MAX_TARGETS, MAX_VARIABLES_BYTES, PlannedWave, Policy};
use manifold_core::time::Span as TimeSpan;
use minijinja::value::Value;

use self::engine::Engines;
use crate::decode::{Many, Slot, Spanned};
use crate::file::{AppSpec, ApprovalSpec, BakeSpec, File, HubSpec, ParameterSpec, SlackSpec, WaveSpec};
use crate::layout::{Amount, Layout, Rule, number};
use crate::leaf::OperatorName;
use crate::model::{Account, App, Drift, Engine, Fleet, Hub, Parameter, ReleasePipeline, Shared, Target, Variable};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest, listed, quoted, some_of};
use crate::select::{Grid, Matcher};
use crate::template::{self, RenderError, Scope, Template, Templates, value_fault};
use crate::values::{Cell, Levels, Origin, Written};

/// How many variables `StartPipelineExecution` takes.
const MAX_PARAMETERS: usize = 50;

/// Every wave of every app is held against each combination of an account and a Region.
const MAX_PLACES: usize = 1_000_000;

/// How many targets of a wave may be in flight when the file does not say.
const DEFAULT_MAX_CONCURRENT: u32 = 10;

/// How long a wave's name may be.
const WAVE_NAME_CHARS: usize = 64;

/// The wave of an app's canaries, which are rolled out one after the other.
const CANARY: &str = "canary";
const CANARIES_AT_ONCE: u32 = 1;

/// How long a request for approval stands when the file does not say, in minutes.
const DEFAULT_VALIDITY_MINUTES: i64 = 24 * 60;

/// How many alarms can be looked at with one call (CloudWatch API reference, `DescribeAlarms`: `AlarmNames`).
const MAX_ALARMS: usize = 100;

/// How much the waves and the policy of a run may weigh as JSON: they are stored in one item with all else that is known of
/// the run, and DynamoDB takes 400 KB an item.
const MAX_POLICY_BYTES: usize = 128 * 1024;

/// How long a run may take when the file does not say, in minutes.
const DEFAULT_DEADLINE_MINUTES: i64 = 120;

/// Checks a file that has been read as far as possible, and builds the model when there is no problem at all.
pub(crate) fn check(file: &File, out: &mut Sink) -> Option<Fleet> {
    let grid = Grid::new(file);
    not_empty(file, out);
    if grid.accounts.len().saturating_mul(grid.regions.len()) > MAX_PLACES {
        let draft = Draft::new(format!("more than {MAX_PLACES} combinations of an account and a Region"));
        out.report(Span::START, &Path::Root, draft.help("divide the fleet among several hubs"));
        return None;
    }
    let hub = hub(file.hub.given());
    partitions(&grid, hub.as_ref(), out);
    account_ids(&grid, out);
    let (accounts, complete) = accounts(file, &grid, hub.as_ref(), out);
    let (operators, operators_known) = operators(file, out);
    let levels = Levels::new(file, &grid, out);
    unclaimed_values(file, &levels, out);

    let default_drift = drift::defaults(file, out);
    let mut common = Common {
        account_names: accounts.iter().map(template::account).collect(),
        hub_known: hub.is_some(),
        hub: hub.clone().unwrap_or_else(placeholder_hub),
        grid: &grid,
        levels: &levels,
        accounts: &accounts,
        operator_index: operators.iter().enumerate().map(|(at, operator)| (operator.name.clone(), at)).collect(),
        operators,
        operators_known,
        templates: Templates::new(),
        used: HashMap::new(),
        targets: 0,
        default_drift,
    };
    let default_slack = file.defaults.given().map(|defaults| &defaults.slack);
    let mut drafts = Vec::new();
    for (index, (name, spec)) in file.apps.given().into_iter().flat_map(|map| map.given()).enumerate() {
        drafts.push((
            name,
            AppCheck::new(index, name.value.as_str(), spec, &common).run(&mut common, default_slack, out),
        ));
    }
    loops(file, &common, out);
    drift::unfit_defaults(&common, out);
    if !out.is_empty() || !complete {
        return None;
    }

    let shared = Arc::new(Shared {
        hub: hub?,
        account_names: common.account_names,
        templates: common.templates,
        accounts,
        regions: grid.regions.iter().map(|row| row.region.clone()).collect(),
        region_names: grid
            .regions
            .iter()
            .map(|row| row.spec.and_then(|spec| spec.name.given()).map(|name| name.value.as_str().to_owned()))
            .collect(),
    });
    let apps = drafts.into_iter().map(|(name, draft)| {
        let draft = draft?;
        Some(App {
            shared: Arc::clone(&shared),
            name: name.value.clone(),
            description: draft.description,
            releases: draft.releases,
            parameters: draft.parameters,
            targets: draft.targets,
            rules: draft.rules,
            waves: draft.waves,
            policy: draft.policy,
            changed_only: draft.changed_only,
            engines: draft.engines,
            max_attempts: draft.max_attempts,
            deadline: draft.deadline,
            channel: draft.channel,
            drift: draft.drift,
            looks: draft.looks,
        })
    });
    // The digest is of the text, which is not known here.
    Some(Fleet { apps: apps.collect::<Option<Vec<App>>>()?, shared: Arc::clone(&shared), digest: String::new() })
}

fn not_empty(file: &File, out: &mut Sink) {
    let empty = |span: Span, name: &str, what: &str, out: &mut Sink| {
        out.report(
            span,
            &Path::Root,
            Draft::new(format!("{name:?} is empty")).help(format!("declare at least one {what}")),
        );
    };
    if let Some(map) = file.regions.given().filter(|map| map.entries.is_empty() && map.intact) {
        empty(map.span, "regions", "Region", out);
    }
    if let Some(map) = file.accounts.given().filter(|map| map.entries.is_empty() && map.intact) {
        empty(map.span, "accounts", "account", out);
    }
    if let Some(map) = file.apps.given().filter(|map| map.entries.is_empty() && map.intact) {
        empty(map.span, "apps", "app", out);
    }
}

fn hub(spec: Option<&HubSpec>) -> Option<Hub> {
    let spec = spec?;
    Some(Hub { account: spec.account.given()?.value.clone(), region: spec.region.given()?.value.clone() })
}

/// Stands in for a hub that could not be read, so that templates can be tried all the same.
fn placeholder_hub() -> Hub {
    Hub { account: placeholder_id(), region: parsed("us-east-1") }
}

/// Stands in for an account id that could not be read.
fn placeholder_id() -> AccountId {
    parsed("000000000000")
}

#[expect(clippy::expect_used, reason = "only called with literals, each covered by a test")]
fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(literal: &'static str) -> T {
    literal.parse().expect("a valid literal")
}

/// Nothing crosses a partition: neither roles nor events.
fn partitions(grid: &Grid<'_>, hub: Option<&Hub>, out: &mut Sink) {
    let Some(hub) = hub else { return };
    let expected = hub.region.partition();
    for row in &grid.regions {
        let partition = row.region.partition();
        if partition != expected {
            let message = format!(
                "Region {} is in partition {}, the hub is in {}",
                row.region,
                partition.as_str(),
                expected.as_str()
            );
            out.report(
                row.span,
                &Path::Root.field("regions"),
                Draft::new(message).help("a fleet stays within one partition: use a hub of its own"),
            );
        }
    }
}

fn account_ids(grid: &Grid<'_>, out: &mut Sink) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for row in &grid.accounts {
        let Some(id) = row.spec.and_then(|spec| spec.id.given()) else { continue };
        if let Some(first) = seen.get(id.value.as_str()) {
            let draft = Draft::new(format!("account {} has the id {} of account {first}", row.name, id.value))
                .help("give each account once");
            out.report(id.span, &Path::Root.field("accounts").field(row.name).field("id"), draft);
        } else {
            seen.insert(id.value.as_str(), row.name);
        }
    }
}

/// The accounts of the model, one for each row of the grid, and whether none of them had to be made up in part.
fn accounts(file: &File, grid: &Grid<'_>, hub: Option<&Hub>, out: &mut Sink) -> (Vec<Account>, bool) {
    let defaults = file.defaults.given();
    let defaults_known = !file.defaults.is_broken();
    let partition = hub.map_or_else(|| placeholder_hub().region.partition(), |hub| hub.region.partition());
    let mut complete = true;
    let accounts = grid.accounts.iter().map(|row| {
        let id = row.spec.and_then(|spec| spec.id.given()).map(|id| id.value.clone());
        complete &= id.is_some();
        let id = id.unwrap_or_else(placeholder_id);
        let default_role = defaults.map(|defaults| &defaults.role);
        let own_role = row.spec.map(|spec| &spec.role);
        let role = own_role.and_then(Slot::given).or_else(|| default_role.and_then(Slot::given));
        let missing =
            own_role.is_some_and(Slot::is_absent) && default_role.is_none_or(Slot::is_absent) && defaults_known;
        if missing {
            let draft = Draft::new(format!("account {} has no role", row.name))
                .help("set defaults.role, or a role for this account");
            out.report(row.span, &Path::Root.field("accounts").field(row.name), draft);
        }
        complete &= role.is_some();
        let role = role.map_or("none", |role| role.value.as_str());
        let arn: Result<RoleArn, _> = format!("arn:{}:iam::{id}:role/{role}", partition.as_str()).parse();
        let role = match arn {
            Ok(arn) => arn,
            Err(error) => {
                complete = false;
                out.report(
                    row.span,
                    &Path::Root.field("accounts").field(row.name).field("role"),
                    Draft::new(error.to_string()),
                );
                parsed("arn:aws:iam::000000000000:role/none")
            }
        };
        let external_id =
            row.spec.and_then(|spec| spec.external_id.given()).or_else(|| defaults.and_then(|d| d.external_id.given()));
        Account {
            name: row.name.into(),
            id,
            tags: row.tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect(),
            role,
            external_id: external_id.map(|id| id.value.as_str().to_owned()),
        }
    });
    (accounts.collect(), complete)
}

/// Values for parameters that no app has, or that every app that has them fixes itself.
fn unclaimed_values(file: &File, levels: &Levels<'_>, out: &mut Sink) {
    let Some(apps) = file.apps.given() else { return };
    let known = apps.intact
        && apps.entries.iter().all(|(_, app)| {
            app.given()
                .is_some_and(|app| !app.parameters.is_broken() && app.parameters.given().is_none_or(|map| map.intact))
        });
    if !known {
        return;
    }
    let mut settable: HashSet<&str> = HashSet::new();
    let mut fixed: BTreeMap<&str, &str> = BTreeMap::new();
    for (app, spec) in apps.given() {
        for (name, slot) in spec.parameters.given().into_iter().flat_map(|map| &map.entries) {
            if slot.given().is_some_and(|spec| !spec.0.value.is_absent()) {
                fixed.insert(name.value.as_str(), app.value.as_str());
            } else {
                settable.insert(name.value.as_str());
            }
        }
    }
    let mut names: Vec<&str> = settable.iter().copied().collect();
    names.sort_unstable();
    for written in &levels.written {
        if settable.contains(written.name) {
            continue;
        }
        let draft = match fixed.get(written.name) {
            Some(app) => {
                Draft::new(format!("parameter {:?} is fixed by app {app}, so this value is never used", written.name))
                    .help(format!("remove it, or replace the parameter's \"value\" in app {app} by \"default\""))
            }
            None => {
                let draft = Draft::new(format!("no app has a parameter {:?}", written.name));
                if out.may_suggest() {
                    draft
                        .help(format!("declare it in an app's parameters; there are {}", listed(names.iter().copied())))
                        .suggest(closest(written.name, names.iter().copied()))
                } else {
                    draft
                }
            }
        };
        written.report(written.name_span, draft, out);
    }
}

/// A release pipeline that is itself a target would release itself for ever.
fn loops(file: &File, common: &Common<'_, '_>, out: &mut Sink) {
    let Some(hub) = hub(file.hub.given()) else { return };
    let is_hub = |row: &crate::select::AccountRow<'_>| {
        row.spec.and_then(|spec| spec.id.given()).is_some_and(|id| id.value == hub.account)
    };
    let Some(account) = common.grid.accounts.iter().position(is_hub) else { return };
    for (name, spec) in file.apps.given().into_iter().flat_map(|map| map.given()) {
        let Some(release) = spec.release.given() else { continue };
        let region = release.region.given().map_or(&hub.region, |region| &region.value);
        let Some(region) = common.grid.regions.iter().position(|row| row.region == region) else { continue };
        for (index, pipeline) in release.pipelines.given().into_iter().flat_map(|list| list.0.given()) {
            if let Some((_, app)) = common.used.get(&(account, region, pipeline.value.to_string())) {
                let message = format!(
                    "release pipeline {} is also the target of app {app} in {}",
                    pipeline.value,
                    common.grid.target(account, region)
                );
                let draft = Draft::new(message)
                    .help("it would release itself again and again: exclude that target, or name another pipeline");
                let app = Path::Root.field("apps");
                out.report(
                    pipeline.span,
                    &app.field(name.value.as_str()).field("release").field("pipelines").item(index),
                    draft,
                );
            }
        }
    }
}

/// What all apps are checked against.
struct Common<'c, 'f> {
    hub: Hub,
    /// Whether the hub could be read; if not, a placeholder is in its place.
    hub_known: bool,
    grid: &'c Grid<'f>,
    levels: &'c Levels<'f>,
    accounts: &'c [Account],
    /// The operators that could be read.
    operators: Vec<Operator>,
    /// Their positions by name.
    operator_index: HashMap<String, usize>,
    /// Whether every operator is known by name; if not, an unknown name may be a follow-up.
    operators_known: bool,
    account_names: Vec<Value>,
    templates: Templates,
    /// Which app uses what is started: by account, Region and name.
    used: HashMap<(usize, usize, String), (usize, String)>,
    /// How many targets the apps have so far.
    targets: usize,
    default_drift: drift::Defaults<'f>,
}

/// What becomes of an app.
struct AppDraft {
    description: Option<String>,
    releases: Vec<ReleasePipeline>,
    parameters: Vec<Parameter>,
    targets: Vec<Target>,
    rules: Vec<Rule>,
    waves: Vec<PlannedWave>,
    policy: Policy,
    changed_only: bool,
    engines: Vec<Engine>,
    max_attempts: u32,
    deadline: TimeSpan,
    channel: Channel,
    drift: Drift,
    looks: Looks,
}

/// One app while it is checked.
struct AppCheck<'c, 'f> {
    index: usize,
    name: &'f str,
    spec: &'f AppSpec,
    /// The app's own values; their positions come after those of the levels.
    written: Vec<Written<'f>>,
    /// What comes before them.
    levels: &'c Levels<'f>,
    parameters: Vec<ParameterCheck<'f>>,
    /// Whether every parameter could be read.
    parameters_known: bool,
    base: BTreeMap<&'static str, Value>,
    /// The same with an invented run.
    sample: BTreeMap<&'static str, Value>,
}

struct ParameterCheck<'f> {
    name: &'f str,
    span: Span,
    description: Option<&'f str>,
    choices: Option<Vec<&'f str>>,
    fixed: Cell,
    default: Cell,
}

impl ParameterCheck<'_> {
    fn model(&self) -> Parameter {
        let choices = self.choices.iter().flatten();
        Parameter {
            name: self.name.into(),
            description: self.description.map(str::to_owned),
            choices: choices.map(|choice| (*choice).to_owned()).collect(),
            fixed: self.fixed != Cell::Nothing,
        }
    }
}

/// A target's place in the grid: Region first, because that is the order of a plan.
#[derive(Debug, Clone, Copy)]
struct Place {
    region: usize,
    account: usize,
}

/// The rules of an app, and which place is under which.
struct Cover {
    rules: Vec<Rule>,
    /// The rule of each place.
    rule_of: Vec<usize>,
    /// For each rule, the Regions whose turn comes before that of the others.
    turns: Vec<Turns>,
}

/// When the turn of a Region comes, if a wave names it.
type Turns = HashMap<usize, usize>;

/// A wave of the file, its position in the list, and what it selects; `None` for the wave that takes the rest.
type Selected<'f> = (usize, &'f WaveSpec, Option<Matcher>);

/// What became of a template for one target.
#[derive(Clone)]
enum Outcome {
    Text(Arc<str>),
    /// It waits for the release.
    Later(Arc<Template>),
    /// It was reported, or depends on what was.
    Refused,
}

impl<'c, 'f> AppCheck<'c, 'f> {
    fn new(index: usize, name: &'f str, spec: &'f AppSpec, common: &Common<'c, 'f>) -> Self {
        let base = template::base(name, &common.hub);
        let mut sample = base.clone();
        sample.extend(template::sample_run(name));
        let names = spec.parameters.given().into_iter().flat_map(|map| &map.entries);
        let values: BTreeMap<String, String> =
            names.map(|(name, _)| (name.value.as_str().to_owned(), "x".to_owned())).collect();
        sample.insert("parameters", Value::from(values));
        let mut check = Self {
            index,
            name,
            spec,
            written: Vec::new(),
            levels: common.levels,
            parameters: Vec::new(),
            parameters_known: !spec.parameters.is_broken(),
            base,
            sample,
        };
        if let Some(map) = spec.parameters.given() {
            check.parameters_known &= map.intact;
            for (name, slot) in &map.entries {
                check.parameter(name.value.as_str(), name.span, slot.given().map(|spec| &spec.0));
            }
        }
        check
    }

    fn parameter(&mut self, name: &'f str, span: Span, spec: Option<&'f ParameterSpec>) {
        let before = self.levels.written.len();
        let mut cell = |slot: &'f Slot<Spanned<Template>>, origin: Origin<'f>| match slot {
            Slot::Absent => Cell::Nothing,
            Slot::Broken => Cell::Broken,
            Slot::Given(value) => {
                self.written.push(Written { name, name_span: span, value: Some(value), origin });
                Cell::Value(before + self.written.len() - 1)
            }
        };
        let (fixed, default) = match spec {
            None => (Cell::Broken, Cell::Broken),
            Some(spec) => {
                (cell(&spec.value, Origin::Fixed(self.name)), cell(&spec.default, Origin::Default(self.name)))
            }
        };
        let choices = spec.and_then(|spec| spec.choices.given()).filter(|list| list.intact());
        let choices = choices.map(|list| list.given().map(|(_, choice)| choice.value.as_str()).collect());
        let description = spec.and_then(|spec| spec.description.given()).map(|text| text.value.as_str());
        self.parameters.push(ParameterCheck { name, span, description, choices, fixed, default });
    }

    fn written(&self, value: usize) -> Written<'f> {
        let own = value.checked_sub(self.levels.written.len());
        own.map_or_else(|| self.levels.written[value], |own| self.written[own])
    }

    fn run(
        self,
        common: &mut Common<'c, 'f>,
        default_slack: Option<&Slot<SlackSpec>>,
        out: &mut Sink,
    ) -> Option<AppDraft> {
        let apps = Path::Root.field("apps");
        let path = apps.field(self.name);
        self.parameter_fields(&path, out);
        let releases = self.releases(common, &path, out);
        let places = self.places(common, &path, out);
        common.targets += places.as_ref().map_or(0, Vec::len);
        let cover = self.waves(common, places.as_deref(), &path, out);
        let operators = match &self.spec.operators {
            Slot::Given(names) => self.people(common, names, &path.field("operators"), out),
            Slot::Absent | Slot::Broken => common.operators.clone(),
        };
        let engines = self.engines(common, places.as_deref(), &path, out);
        let variables = self.variables(common, places.as_deref(), engines.as_ref(), &path, out);

        let block = self.drift_block(common, &path, out);
        let stacks = self.stacks(common, block.as_ref(), places.as_deref(), &path, out);
        let rules = self.rules(common, block.as_ref(), places.as_deref(), &operators, &path, out);

        let channel = match (&self.spec.slack, default_slack) {
            (Slot::Given(slack), _) | (Slot::Absent, Some(Slot::Given(slack))) => channel(slack),
            (Slot::Absent, None | Some(Slot::Absent | Slot::Broken)) | (Slot::Broken, _) => Channel::Silent,
        };
        let (places, cover, engines, variables) = (places?, cover?, engines?, variables?);
        let (block, stacks, rules) = (block?, stacks?, rules?);
        let mut targets = Vec::with_capacity(places.len());
        let rest = engines.subjects?.into_iter().zip(engines.of).zip(variables).zip(stacks);
        for ((place, rule), (((subject, engine), variables), stacks)) in places.iter().zip(&cover.rule_of).zip(rest) {
            let account = &common.accounts[place.account];
            targets.push(Target {
                key: TargetKey {
                    account: account.id.clone(),
                    region: common.grid.regions[place.region].region.clone(),
                },
                account_name: Arc::clone(&account.name),
                account: place.account,
                region: place.region,
                rule: *rule,
                rank: 0,
                wave: 0,
                subject,
                engine,
                variables,
                stacks,
            });
        }
        // Stable: within a wave the order of Regions and accounts stays.
        targets.sort_by_key(|target| {
            let turn = cover.turns[target.rule].get(&target.region);
            (target.rule, turn.is_none(), turn.copied().unwrap_or(target.region))
        });
        let spots: Vec<_> = targets.iter().map(Target::spot).collect();
        let layout = Layout::of(&cover.rules, &spots);
        let mut ranked: Vec<Option<Target>> = targets.into_iter().map(Some).collect();
        let seated = layout.seats.iter().filter_map(|seat| {
            let target = ranked.get_mut(seat.spot)?.take()?;
            Some(Target { rank: seat.spot, wave: seat.wave, ..target })
        });
        let targets: Vec<Target> = seated.collect();
        let policy = Policy {
            newer: self.spec.newer_release.given().map(|newer| newer.value).unwrap_or_default(),
            on_failure: self.spec.on_failure.given().map(|on_failure| on_failure.value).unwrap_or_default(),
            operators,
        };
        self.weigh(&policy, &layout.waves, &path, out);
        Some(AppDraft {
            drift: block.drift(rules, policy.operators.clone(), &channel),
            looks: block.looks(),
            description: self.spec.description.given().map(|text| text.value.as_str().to_owned()),
            releases: releases?,
            parameters: self.parameters.iter().map(ParameterCheck::model).collect(),
            targets,
            rules: cover.rules,
            waves: layout.waves,
            policy,
            changed_only: self.spec.changed_only.given().is_some_and(|flag| flag.0),
            engines: engines.models.into_iter().collect::<Option<_>>()?,
            max_attempts: self.spec.max_attempts.given().map_or(1, |attempts| attempts.value),
            deadline: self
                .spec
                .deadline
                .given()
                .map_or(TimeSpan::from_minutes(DEFAULT_DEADLINE_MINUTES), |deadline| deadline.value.0),
            channel,
        })
    }

    /// What a parameter says about itself.
    fn parameter_fields(&self, path: &Path<'_>, out: &mut Sink) {
        let Some(map) = self.spec.parameters.given() else { return };
        let path = path.field("parameters");
        if map.entries.len() > MAX_PARAMETERS {
            let draft = Draft::new(format!(
                "{} parameters; a pipeline takes at most {MAX_PARAMETERS} variables",
                map.entries.len()
            ));
            out.report(map.span, &path, draft);
        }
        for (name, spec) in map.given() {
            let here = path.field(name.value.as_str());
            let spec = &spec.0;
            if let Some(value) = spec.value.given() {
                for (other, absent) in [("default", spec.default.is_absent()), ("choices", spec.choices.is_absent())] {
                    if !absent {
                        let draft = Draft::new(format!("a fixed \"value\" and {other:?} exclude each other"))
                            .help("remove one of them");
                        out.report(value.span, &here, draft);
                    }
                }
            }
        }
    }

    fn releases(&self, common: &Common<'c, 'f>, path: &Path<'_>, out: &mut Sink) -> Option<Vec<ReleasePipeline>> {
        let release = self.spec.release.given()?;
        let path = path.field("release");
        if let Some(region) = release.region.given() {
            let (own, hub) = (region.value.partition(), common.hub.region.partition());
            if own != hub && common.hub_known {
                let draft = Draft::new(format!(
                    "Region {} is in partition {}, the hub is in {}",
                    region.value,
                    own.as_str(),
                    hub.as_str()
                ));
                out.report(region.span, &path.field("region"), draft.help("a release pipeline is in the hub account"));
            }
        }
        let region = release.region.given().map_or(&common.hub.region, |region| &region.value);
        let pipelines = &release.pipelines.given()?.0;
        let (mut seen, field) = (HashSet::new(), path.field("pipelines"));
        for (index, pipeline) in pipelines.given() {
            if !seen.insert(&pipeline.value) {
                out.report(
                    pipeline.span,
                    &field.item(index),
                    Draft::new(format!("pipeline {} is given twice", pipeline.value)).help("remove one"),
                );
            }
        }
        Some(
            pipelines
                .given()
                .map(|(_, name)| ReleasePipeline { region: region.clone(), name: name.value.clone() })
                .collect(),
        )
    }

    /// The selected targets, by Region and then account; `None` when that is not sure.
    fn places(&self, common: &Common<'c, 'f>, path: &Path<'_>, out: &mut Sink) -> Option<Vec<Place>> {
        let path = path.field("targets");
        let matcher = match &self.spec.targets {
            Slot::Absent => common.grid.everything(),
            Slot::Broken => return None,
            Slot::Given(selector) => common.grid.matcher(selector, &path, out),
        };
        if !matcher.sure || common.grid.accounts.is_empty() || common.grid.regions.is_empty() {
            return None;
        }
        let all = (0..common.grid.regions.len())
            .flat_map(|region| (0..common.grid.accounts.len()).map(move |account| Place { region, account }));
        let selected = all.filter(|place| matcher.selects(place.account, place.region));
        let left = usize::try_from(MAX_TARGETS).unwrap_or(usize::MAX).saturating_sub(common.targets);
        let places: Vec<Place> = selected.take(left.saturating_add(1)).collect();
        if places.len() > left {
            let span = self.spec.targets.given().map_or(self.spec.span, |selector| selector.span);
            let draft = Draft::new(format!("the file has more than {MAX_TARGETS} targets"));
            out.report(span, &path, draft.help("divide the apps among several hubs"));
            return None;
        }
        if places.is_empty() {
            let span = self.spec.targets.given().map_or(self.spec.span, |selector| selector.span);
            let draft = Draft::new("no target is selected")
                .help("a target must match all of accounts, tags and regions, and no exclusion");
            out.report(span, &path, draft);
            return None;
        }
        Some(places)
    }

    /// The rules of the waves, and the rule of each place.
    fn waves(
        &self,
        common: &Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Cover> {
        let canaries = self.canaries(common, places, path, out);
        let list = match &self.spec.waves {
            Slot::Absent => {
                let canaries = canaries?;
                let mut cover = self.canary_cover(&canaries, path, out);
                let rest = cover.rules.len();
                cover.rule_of = canaries.iter().map(|canary| if *canary { 0 } else { rest }).collect();
                cover.rules.push(Rule::plain("all", DEFAULT_MAX_CONCURRENT));
                cover.turns.push(Turns::new());
                return Some(cover);
            }
            Slot::Broken => return None,
            Slot::Given(list) => list,
        };
        let path = path.field("waves");
        let (mut sure, mut names, mut rest) = (list.intact(), HashSet::new(), None);
        let mut waves: Vec<Selected<'_>> = Vec::new();
        for (index, wave) in list.given() {
            let here = path.item(index);
            if let Some(name) = wave.name.given().filter(|name| !names.insert(name.value.as_str())) {
                let draft =
                    Draft::new(format!("two waves have the name {}", quoted(name.value.as_str()))).help("rename one");
                out.report(name.span, &here.field("name"), draft);
            }
            match &wave.select {
                Slot::Given(selector) => {
                    let matcher = common.grid.matcher(selector, &here.field("select"), out);
                    sure &= matcher.sure;
                    waves.push((index, wave, Some(matcher)));
                }
                Slot::Broken => sure = false,
                Slot::Absent => {
                    if let Some(first) = rest.replace(index) {
                        let draft =
                            Draft::new(format!("waves[{first}] already takes the targets that no other wave selects"));
                        out.report(wave.span, &here, draft.help("give this wave a \"select\""));
                        sure = false;
                    }
                    waves.push((index, wave, None));
                }
            }
        }
        self.step_names(&waves, &path, out);
        let (places, canaries) = (places.filter(|_| sure)?, canaries?);
        self.cover(common, list.span, &waves, places, &canaries, &path, out)
    }

    /// The steps of a ramp are waves too, and so are the canaries: names that no other wave has, and that are not too long.
    fn step_names(&self, waves: &[Selected<'_>], path: &Path<'_>, out: &mut Sink) {
        let most = |wave: &WaveSpec| wave.ramp.given().map_or(1, |ramp| ramp.0.len() + 1);
        let named = waves.iter().filter_map(|(_, wave, _)| Some((wave.name.given()?.value.as_str(), most(wave))));
        let named: HashMap<&str, usize> = named.collect();
        for (index, wave, _) in waves {
            let Some(name) = wave.name.given() else { continue };
            let here = path.item(*index);
            let text = name.value.as_str();
            let steps = most(wave);
            let longest = text.chars().count() + format!(" {steps}/{steps}").len();
            if steps > 1 && longest > WAVE_NAME_CHARS {
                let draft = Draft::new(format!("the last step of this ramp would be \"{text} {steps}/{steps}\""))
                    .help(format!("a wave's name has at most {WAVE_NAME_CHARS} characters: shorten this one"));
                out.report(name.span, &here.field("name"), draft);
            }
            if !self.spec.canary.is_absent() && text == CANARY {
                let draft = Draft::new(format!("the app's canaries are a wave {CANARY:?}"));
                out.report(name.span, &here.field("name"), draft.help("rename this one"));
            }
            let number = |text: &str| text.parse::<usize>().ok().filter(|number| number.to_string() == text);
            let step = text.rsplit_once(' ').and_then(|(ramp, step)| {
                let (nth, of) = step.split_once('/')?;
                Some((ramp, number(nth)?, number(of)?))
            });
            let Some((ramp, nth, of)) = step else { continue };
            if (1..=of).contains(&nth) && named.get(ramp).is_some_and(|most| (2..=*most).contains(&of)) {
                let draft = Draft::new(format!("a step of the ramp of wave {ramp} may have the name {}", quoted(text)));
                out.report(name.span, &here.field("name"), draft.help("rename one"));
            }
        }
    }

    /// Which places are canaries; `None` when that is not sure.
    fn canaries(
        &self,
        common: &Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<bool>> {
        let spec = match &self.spec.canary {
            Slot::Absent => return Some(vec![false; places?.len()]),
            Slot::Broken => return None,
            Slot::Given(spec) => spec,
        };
        let list = &spec.targets.given()?.0;
        let (outer, inner) = (path.field(CANARY), path.field(CANARY));
        let inner = inner.field("targets");
        let path = if spec.nested { &inner } else { &outer };
        let (mut sure, mut canaries) = (list.intact(), places.map(|places| vec![false; places.len()]));
        let mut of_account: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, place) in places.into_iter().flatten().enumerate() {
            of_account.entry(place.account).or_default().push(at);
        }
        for (index, name) in list.given() {
            let here = path.item(index);
            let account = Spanned { value: name.value.account.clone(), span: name.span };
            let account = common.grid.account(&account, &here, out);
            let region = name.value.region.clone().map(|value| Spanned { value, span: name.span });
            let region = region.map(|region| common.grid.region(&region, &here, out));
            let (Some(account), Some(region)) = (account, region.map_or(Some(None), |region| region.map(Some))) else {
                sure = false;
                continue;
            };
            let (Some(places), Some(canaries)) = (places, &mut canaries) else { continue };
            let own = of_account.get(&account).into_iter().flatten().copied();
            let named: Vec<usize> = own.filter(|at| region.is_none_or(|region| region == places[*at].region)).collect();
            named.iter().for_each(|at| canaries[*at] = true);
            if named.is_empty() {
                let what = region.map_or_else(
                    || format!("account {} has no target", common.grid.accounts[account].name),
                    |region| format!("{} is no target", common.grid.target(account, region)),
                );
                let mut draft = Draft::new(format!("{what} of app {}", self.name));
                if out.may_suggest() {
                    let all: Vec<String> =
                        places.iter().map(|place| common.grid.target(place.account, place.region)).collect();
                    let meant = region.map(|region| common.grid.target(account, region));
                    draft = draft
                        .help(format!("the app's targets are {}", some_of(&all)))
                        .suggest(meant.and_then(|meant| closest(&meant, all.iter().map(String::as_str))));
                }
                out.report(name.span, &here, draft);
                sure = false;
            }
        }
        canaries.filter(|_| sure)
    }

    /// The wave of the canaries, if there are any.
    fn canary_cover(&self, canaries: &[bool], path: &Path<'_>, out: &mut Sink) -> Cover {
        let mut cover = Cover { rules: Vec::new(), rule_of: Vec::with_capacity(canaries.len()), turns: Vec::new() };
        if let Some(spec) = self.spec.canary.given().filter(|_| canaries.contains(&true)) {
            let path = path.field(CANARY);
            let bake = spec.bake.given().and_then(|spec| bake(spec, &path.field("bake"), out));
            cover.rules.push(Rule { bake, ..Rule::plain(CANARY, CANARIES_AT_ONCE) });
            cover.turns.push(Turns::new());
        }
        cover
    }

    /// Checks that every place is in exactly one wave.
    #[expect(clippy::too_many_arguments, reason = "one step of one check")]
    fn cover(
        &self,
        common: &Common<'c, 'f>,
        span: Span,
        waves: &[Selected<'_>],
        places: &[Place],
        canaries: &[bool],
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Cover> {
        let app = Path::Root.field("apps");
        let mut cover = self.canary_cover(canaries, &app.field(self.name), out);
        let before = cover.rules.len();
        let rest = waves.iter().position(|(_, _, matcher)| matcher.is_none());
        let (mut sizes, mut taken) = (vec![0_usize; waves.len()], vec![false; waves.len()]);
        let (mut left_out, mut twice) = (Vec::new(), BTreeMap::<(usize, usize), Vec<String>>::new());
        for (place, canary) in places.iter().zip(canaries) {
            let selects = |matcher: &Option<Matcher>| {
                matcher.as_ref().is_some_and(|matcher| matcher.selects(place.account, place.region))
            };
            let mut selecting =
                waves.iter().enumerate().filter(|(_, (_, _, matcher))| selects(matcher)).map(|(at, _)| at);
            if *canary {
                selecting.for_each(|at| taken[at] = true);
                cover.rule_of.push(0);
                continue;
            }
            let target = || common.grid.target(place.account, place.region);
            let Some(first) = selecting.next().or(rest) else {
                left_out.push(target());
                continue;
            };
            for second in selecting {
                sizes[second] += 1;
                twice.entry((first, second)).or_default().push(target());
            }
            sizes[first] += 1;
            cover.rule_of.push(before + first);
        }
        let name = |at: usize| {
            waves[at]
                .1
                .name
                .given()
                .map_or_else(|| format!("waves[{}]", waves[at].0), |name| name.value.as_str().to_owned())
        };
        let mut good = left_out.is_empty() && twice.is_empty();
        if !left_out.is_empty() {
            let draft = Draft::new(format!("no wave selects {}", some_of(&left_out))).help(
                "select them in a wave, exclude them from the app's targets, or add a last wave without \"select\"",
            );
            out.report(span, path, draft);
        }
        for ((first, second), targets) in &twice {
            let wave = waves[*second].1;
            let place = wave.select.given().map_or(wave.span, |selector| selector.span);
            let draft = Draft::new(format!(
                "wave {} selects {}, which wave {} selects too",
                name(*second),
                some_of(targets),
                name(*first)
            ))
            .help("a target belongs to one wave: narrow one of them");
            out.report(place, &path.item(waves[*second].0).field("select"), draft);
        }
        for (at, (index, wave, _)) in waves.iter().enumerate() {
            let here = path.item(*index);
            let size = number(sizes[at]);
            if size == 0 {
                let place = wave.select.given().map_or(wave.span, |selector| selector.span);
                let draft = if taken[at] {
                    Draft::new("this wave has no targets: those that it selects are the app's canaries")
                        .help("remove the wave, or name fewer canaries")
                } else {
                    Draft::new("this wave has no targets").help("every wave needs at least one of the app's targets")
                };
                out.report(place, &here, draft);
                good = false;
            }
            if let Some((tolerance, Amount::Count(count))) = wave.failure_tolerance.given().map(|t| (t, t.value))
                && size > 0
                && count > size
            {
                let draft = Draft::new(format!("failure_tolerance {count} is more than the wave's {size} targets"));
                out.report(
                    tolerance.span,
                    &here.field("failure_tolerance"),
                    draft.help(format!("use at most {size}, which tolerates everything")),
                );
            }
            cover.rules.push(self.rule(common, wave, &here, out));
            cover.turns.push(turns(common, wave, &here, out));
        }
        good.then_some(cover)
    }

    /// What the file says of one wave.
    fn rule(&self, common: &Common<'c, 'f>, wave: &WaveSpec, path: &Path<'_>, out: &mut Sink) -> Rule {
        let plain = Rule::plain(wave.name.given().map_or("", |name| name.value.as_str()), DEFAULT_MAX_CONCURRENT);
        Rule {
            max_concurrent: wave.max_concurrent.given().map_or(plain.max_concurrent, |max| max.value),
            failure_tolerance: wave.failure_tolerance.given().map_or(plain.failure_tolerance, |most| most.value),
            strict: wave.strict.given().is_some_and(|flag| flag.0),
            max_per_account: wave.max_per_account.given().map(|max| max.value),
            max_per_region: wave.max_per_region.given().map(|max| max.value),
            bake: wave.bake.given().and_then(|spec| bake(spec, &path.field("bake"), out)),
            approval: wave.approval.given().and_then(|spec| self.approval(common, spec, &path.field("approval"), out)),
            ramp: wave.ramp.given().map(|ramp| ramp.0.clone()).unwrap_or_default(),
            name: plain.name,
        }
    }

    fn approval(
        &self,
        common: &Common<'c, 'f>,
        spec: &ApprovalSpec,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Approval> {
        let default = TimeSpan::from_minutes(DEFAULT_VALIDITY_MINUTES);
        Some(Approval {
            approvers: self.people(common, spec.by.given()?, &path.field("by"), out),
            valid_for: spec.valid_for.given().map_or(default, |valid_for| valid_for.value.0),
            newer: spec.newer_release.given().map(|lapse| lapse.value).unwrap_or_default(),
        })
    }

    /// Operators by their names; reports those that the file does not have.
    fn people(
        &self,
        common: &Common<'c, 'f>,
        names: &Many<Spanned<OperatorName>>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Vec<Operator> {
        let (mut people, mut seen) = (Vec::new(), HashSet::new());
        for (index, name) in names.0.given() {
            let text = name.value.as_str();
            if let Some(at) = common.operator_index.get(text) {
                people.extend(seen.insert(*at).then(|| common.operators[*at].clone()));
                continue;
            }
            if !common.operators_known {
                continue;
            }
            let mut draft = Draft::new(format!("unknown operator {}", quoted(text)));
            if common.operators.is_empty() {
                draft = draft.help("declare it in this file's operators, by slack or iam");
            } else if out.may_suggest() {
                let all = || common.operators.iter().map(|operator| operator.name.as_str());
                draft = draft
                    .help(format!("expected one of this file's operators: {}", listed(all())))
                    .suggest(closest(text, all()));
            }
            out.report(name.span, &path.item(index), draft);
        }
        people
    }

    /// What a run is stored with has its limits.
    fn weigh(&self, policy: &Policy, waves: &[PlannedWave], path: &Path<'_>, out: &mut Sink) {
        let policy = serde_json::to_vec(policy).map_or(usize::MAX, |json| json.len());
        let waves = serde_json::to_vec(waves).map_or(usize::MAX, |json| json.len());
        let bytes = policy.saturating_add(waves);
        if bytes > MAX_POLICY_BYTES {
            let span = self.spec.waves.given().map_or(self.spec.span, |list| list.span);
            let draft = Draft::new(format!(
                "the waves of app {}, with their approvers, alarms and operators, have {bytes} bytes; at most \
                 {MAX_POLICY_BYTES} are stored",
                self.name
            ));
            out.report(span, &path.field("waves"), draft.help("use fewer waves, steps, alarms or operators"));
        }
    }

    /// The variables of each place, one for each parameter.
    fn variables(
        &self,
        common: &mut Common<'c, 'f>,
        places: Option<&[Place]>,
        engines: Option<&Engines>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<Box<[Variable]>>> {
        let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name).collect();
        let defaults = common.levels.defaults.row(&names);
        let regions: Vec<Vec<Cell>> = common.levels.regions.iter().map(|level| level.row(&names)).collect();
        let accounts: Vec<Vec<Cell>> = common.levels.accounts.iter().map(|level| level.row(&names)).collect();

        let (mut memo, mut reported) = (HashMap::new(), HashSet::new());
        let mut missing: Vec<Vec<String>> = vec![Vec::new(); self.parameters.len()];
        let (mut unpinned, mut too_large) = (BTreeMap::<usize, Vec<String>>::new(), Vec::new());
        let mut all = Vec::new();
        for (index, place) in places?.iter().enumerate() {
            let at = engines.and_then(|engines| engines.of.get(index)).copied();
            let engine = engines.zip(at).and_then(|(engines, at)| engines.models.get(at)?.as_ref());
            let target = common.levels.targets.get(&(place.account, place.region)).map(|level| level.row(&names));
            let (mut pinned, mut bytes) = (engine.is_none_or(Engine::pins) || !self.parameters_known, 0);
            let mut variables = Vec::with_capacity(self.parameters.len());
            for (at, parameter) in self.parameters.iter().enumerate() {
                let cell = parameter
                    .fixed
                    .or(target.as_ref().map_or(Cell::Nothing, |row| row[at]))
                    .or(regions[place.region][at])
                    .or(accounts[place.account][at])
                    .or(defaults[at])
                    .or(parameter.default);
                let value = match cell {
                    Cell::Nothing => {
                        missing[at].push(common.grid.target(place.account, place.region));
                        continue;
                    }
                    Cell::Broken => {
                        pinned = true;
                        continue;
                    }
                    Cell::Value(value) => value,
                };
                let written = self.written(value);
                let Some(template) = written.value else { continue };
                let uses = template.value.uses();
                pinned |= uses.revision && engine.is_none_or(|engine| engine.takes(parameter.name));
                let key = (at, value, uses.account.then_some(place.account), uses.region.then_some(place.region));
                let outcome = match memo.get(&key) {
                    Some(outcome) => Outcome::clone(outcome),
                    None => {
                        let outcome = match self.value(common, parameter, &template.value, *place) {
                            Ok(outcome) => outcome,
                            Err(draft) => {
                                if reported.insert((at, value)) {
                                    written.report(template.span, draft, out);
                                }
                                Outcome::Refused
                            }
                        };
                        memo.insert(key, outcome.clone());
                        outcome
                    }
                };
                bytes += parameter.name.len();
                variables.push(match outcome {
                    Outcome::Text(text) => {
                        bytes += text.len();
                        Variable::Text(text)
                    }
                    Outcome::Later(template) => Variable::Template(template),
                    Outcome::Refused => continue,
                });
            }
            if !pinned {
                unpinned
                    .entry(at.unwrap_or_default())
                    .or_default()
                    .push(common.grid.target(place.account, place.region));
            }
            if bytes > MAX_VARIABLES_BYTES {
                too_large.push(common.grid.target(place.account, place.region));
            }
            all.push(variables.into_boxed_slice());
        }
        self.report_variables(&missing, &unpinned, &too_large, path, out);
        Some(all)
    }

    fn report_variables(
        &self,
        missing: &[Vec<String>],
        unpinned: &BTreeMap<usize, Vec<String>>,
        too_large: &[String],
        path: &Path<'_>,
        out: &mut Sink,
    ) {
        let parameters = path.field("parameters");
        for (parameter, targets) in self.parameters.iter().zip(missing).filter(|(_, targets)| !targets.is_empty()) {
            let draft = Draft::new(format!("parameter {:?} has no value for {}", parameter.name, some_of(targets)))
                .help(
                    "give it a default here, or a value in defaults, in the account, in the Region or for the target",
                );
            out.report(parameter.span, &parameters.field(parameter.name), draft);
        }
        for (at, targets) in unpinned {
            let Some(spec) = self.engine(*at) else { continue };
            let draft = Draft::new(format!("nothing pins {} to the release's revision", some_of(targets)));
            let draft = draft.help(spec.what.pin());
            engine::at_engine(path, *at, |path| out.report(spec.what.span(), &path.field(spec.what.field()), draft));
        }
        if !too_large.is_empty() {
            let span = self.spec.parameters.given().map_or(self.spec.span, |map| map.span);
            let draft = Draft::new(format!(
                "the variables for {} have more than {MAX_VARIABLES_BYTES} bytes",
                some_of(too_large)
            ))
            .help("names and values of all parameters count together: shorten them");
            out.report(span, &parameters, draft);
        }
    }

    /// A parameter's value in one place.
    fn value(
        &self,
        common: &mut Common<'c, 'f>,
        parameter: &ParameterCheck<'f>,
        template: &Template,
        place: Place,
    ) -> Result<Outcome, Draft> {
        let outcome = self.render(common, template, place)?;
        let target = common.grid.target(place.account, place.region);
        let of = if template.is_literal() { String::new() } else { format!(" for {target}") };
        match (&outcome, &parameter.choices) {
            (Outcome::Text(text), Some(choices)) if !choices.contains(&text.as_ref()) => {
                let message = format!(
                    "{}{of} is not one of the choices of parameter {} of app {}",
                    quoted(text),
                    parameter.name,
                    self.name
                );
                let draft = Draft::new(message).help(format!("expected {}", listed(choices.iter().copied())));
                Err(draft.suggest(closest(text, choices.iter().copied())))
            }
            (Outcome::Later(_), Some(_)) => {
                let message = format!(
                    "parameter {} of app {} has choices, so its value cannot depend on the run or the release",
                    parameter.name, self.name
                );
                Err(Draft::new(message).help("give a fixed value, or remove the choices"))
            }
            (Outcome::Text(text), _) => match value_fault(text) {
                Some(fault) => Err(Draft::new(format!("{fault}{of}"))),
                None => Ok(outcome),
            },
            (Outcome::Later(_), None) | (Outcome::Refused, _) => Ok(outcome),
        }
    }

    /// Renders what the file alone decides, and tries out what waits for the release.
    fn render(&self, common: &mut Common<'c, 'f>, template: &Template, place: Place) -> Result<Outcome, Draft> {
        Ok(match self.tried(common, template, place)? {
            None => Outcome::Refused,
            Some(text) if template.uses().is_static() => Outcome::Text(text),
            Some(_) => Outcome::Later(Arc::new(template.clone())),
        })
    }

    /// What a template makes of an invented release; `None` when something that it depends on was refused already.
    fn tried(&self, common: &mut Common<'c, 'f>, template: &Template, place: Place) -> Result<Option<Arc<str>>, Draft> {
        if template.is_literal() {
            return Ok(Some(Arc::clone(template.source())));
        }
        let row = &common.grid.accounts[place.account];
        for tag in template.tags() {
            if !row.tags.contains_key(tag) {
                if !row.tags_known {
                    return Ok(None);
                }
                let draft = Draft::new(format!("account {} has no tag {tag:?}, which this template uses", row.name));
                return Err(draft.help("add the tag to the account").suggest(closest(tag, row.tags.keys().copied())));
            }
        }
        let failed = |error: RenderError| match error {
            RenderError::Absent(part) => Draft::new(format!("this template fails: there is no release.{part}")),
            RenderError::Failed(reason) => Draft::new(format!(
                "this template fails for {}: {reason}",
                common.grid.target(place.account, place.region)
            )),
        };
        let is_static = template.uses().is_static();
        let scope = Scope {
            base: if is_static { &self.base } else { &self.sample },
            account: Some(&common.account_names[place.account]),
            region: Some(common.grid.regions[place.region].region),
        };
        common.templates.add(template).map_err(failed)?;
        common.templates.render(template, &scope).map(Some).map_err(failed)
    }
}

fn channel(slack: &SlackSpec) -> Channel {
    match slack {
        SlackSpec::Silent => Channel::Silent,
        SlackSpec::Bot { channel, token } => {
            Channel::Bot { channel: channel.value.as_str().to_owned(), token: token.0.clone() }
        }
        SlackSpec::Webhook(url) => Channel::Webhook { url: url.0.clone() },
    }
}

/// Everybody who may decide, as far as they could be read, and whether all are known by name.
fn operators(file: &File, out: &mut Sink) -> (Vec<Operator>, bool) {
    let Some(map) = file.operators.given() else { return (Vec::new(), file.operators.is_absent()) };
    let mut operators = Vec::with_capacity(map.entries.len());
    for (name, slot) in &map.entries {
        let spec = slot.given();
        if let Some(spec) = spec.filter(|spec| spec.slack.is_absent() && spec.iam.is_absent()) {
            let draft = Draft::new("nothing tells this operator from others")
                .help("give slack, a Slack user id, or iam, a pattern of identities' ARNs");
            let operators = Path::Root.field("operators");
            out.report(spec.span, &operators.field(name.value.as_str()), draft);
        }
        let slack = spec.and_then(|spec| spec.slack.given()).into_iter().flat_map(|many| many.0.given());
        let iam = spec.and_then(|spec| spec.iam.given()).into_iter().flat_map(|many| many.0.given());
        operators.push(Operator {
            name: name.value.as_str().to_owned(),
            slack: slack.map(|(_, id)| id.value.as_str().to_owned()).collect(),
            iam: iam.map(|(_, pattern)| pattern.value.as_str().to_owned()).collect(),
        });
    }
    (operators, map.intact)
}

fn bake(spec: &BakeSpec, path: &Path<'_>, out: &mut Sink) -> Option<Bake> {
    let alarms = spec.alarms.given();
    if let Some(list) = alarms.map(|many| &many.0).filter(|list| list.items.len() > MAX_ALARMS) {
        let draft = Draft::new(format!("{} alarms; at most {MAX_ALARMS} are looked at", list.items.len()));
        out.report(list.span, &path.field("alarms"), draft.help("put them together in a composite alarm"));
    }
    let alarms = alarms.into_iter().flat_map(|many| many.0.given());
    Some(Bake {
        time: spec.time.given()?.value.0,
        alarms: alarms.map(|(_, name)| name.value.as_str().to_owned()).collect(),
    })
}

/// The Regions that a wave names, in its order.
fn turns(common: &Common<'_, '_>, wave: &WaveSpec, path: &Path<'_>, out: &mut Sink) -> Turns {
    let mut turns = Turns::new();
    let path = path.field("region_order");
    for (index, code) in wave.region_order.given().into_iter().flat_map(|list| list.given()) {
        let here = path.item(index);
        let Some(region) = common.grid.region(code, &here, out) else { continue };
        if turns.insert(region, index).is_some() {
            let draft = Draft::new(format!("Region {} is given twice", code.value));
            out.report(code.span, &here, draft.help("remove one"));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_valid() {
        assert_eq!(placeholder_hub().account, placeholder_id());
        assert!(parsed::<RoleArn>("arn:aws:iam::000000000000:role/none").name() == "none");
    }
}
