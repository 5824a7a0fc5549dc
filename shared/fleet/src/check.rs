//! What spans more than one place: names that refer to something, values that reach every target, waves that
//! cover everything once. Ends with the model.
//!
//! A check is left out when something it depends on was refused already: one mistake, one message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use manifold_core::control::Operator;
use manifold_core::ids::{AccountId, PipelineName, RoleArn, TargetKey};
use manifold_core::plan::{Approval, Channel, MAX_TARGETS, MAX_VARIABLES_BYTES, Policy, RevisionKind};
use manifold_core::time::Span as TimeSpan;
use minijinja::value::Value;

use crate::decode::{Many, Slot, Spanned};
use crate::file::{AppSpec, ApprovalSpec, File, HubSpec, OperatorSpec, ParameterSpec, SlackSpec, WaveSpec};
use crate::leaf::{Limit, OperatorName};
use crate::model::{Account, App, Fleet, Hub, ReleasePipeline, Settable, Shared, Target, Variable, WaveRule};
use crate::path::Path;
use crate::plan;
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
    let levels = Levels::new(file, &grid, out);
    unclaimed_values(file, &levels, out);
    let operators = operators(file, out);

    let mut common = Common {
        account_names: accounts.iter().map(template::account).collect(),
        hub_known: hub.is_some(),
        hub: hub.clone().unwrap_or_else(placeholder_hub),
        grid: &grid,
        levels: &levels,
        accounts: &accounts,
        templates: Templates::new(),
        used: HashMap::new(),
        targets: 0,
        operators: &operators,
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
            waves: plan::waves(&draft.rules, draft.targets.iter().map(|target| target.wave)),
            targets: draft.targets,
            rules: draft.rules,
            policy: draft.policy,
            changed_only: draft.changed_only,
            choices: draft.choices,
            source: draft.source,
            max_attempts: draft.max_attempts,
            deadline: draft.deadline,
            channel: draft.channel,
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
    account_names: Vec<Value>,
    templates: Templates,
    /// Which app uses a pipeline: by account, Region and name.
    used: HashMap<(usize, usize, String), (usize, String)>,
    /// How many targets the apps have so far.
    targets: usize,
    operators: &'c [Operator],
}

/// What becomes of an app.
struct AppDraft {
    description: Option<String>,
    releases: Vec<ReleasePipeline>,
    parameters: Vec<Box<str>>,
    targets: Vec<Target>,
    rules: Vec<WaveRule>,
    policy: Policy,
    changed_only: bool,
    choices: Vec<Settable>,
    source: Option<(String, RevisionKind)>,
    max_attempts: u32,
    deadline: TimeSpan,
    channel: Channel,
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
    choices: Option<Vec<&'f str>>,
    fixed: Cell,
    default: Cell,
}

impl ParameterCheck<'_> {
    fn settable(&self) -> Settable {
        match (self.fixed, &self.choices) {
            (Cell::Value(_) | Cell::Broken, _) => Settable::Fixed,
            (Cell::Nothing, Some(choices)) => Settable::Among(choices.iter().map(|choice| (*choice).into()).collect()),
            (Cell::Nothing, None) => Settable::Freely,
        }
    }
}

/// A target's place in the grid: Region first, because that is the order of a plan.
#[derive(Debug, Clone, Copy)]
struct Place {
    region: usize,
    account: usize,
}

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
        self.parameters.push(ParameterCheck { name, span, choices, fixed, default });
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
        self.engine_fields(&path, out);
        let releases = self.releases(common, &path, out);
        let places = self.places(common, &path, out);
        common.targets += places.as_ref().map_or(0, Vec::len);
        let waves = self.waves(common, places.as_deref(), &path, out);
        let canary = self.canary(common, places.as_deref(), &path, out);
        let policy = self.policy(common, &path, out);
        let pipelines = self.pipelines(common, places.as_deref(), &path, out);
        let variables = self.variables(common, places.as_deref(), &path, out);

        let channel = match (&self.spec.slack, default_slack) {
            (Slot::Given(slack), _) | (Slot::Absent, Some(Slot::Given(slack))) => channel(slack),
            (Slot::Absent, None | Some(Slot::Absent | Slot::Broken)) | (Slot::Broken, _) => Channel::Silent,
        };
        let engine = self.spec.engine.given()?.codepipeline.given()?;
        let kind = engine.revision_type.given().map_or(RevisionKind::CommitId, |kind| kind.value);
        let (places, (mut rules, wave_of), pipelines, variables) = (places?, waves?, pipelines?, variables?);
        let canary = canary?;
        let mut targets = Vec::with_capacity(places.len());
        for (((at, place), wave), (pipeline, variables)) in
            places.iter().enumerate().zip(wave_of).zip(pipelines.into_iter().zip(variables))
        {
            // The canaries are before all waves.
            let wave = if canary.contains(&at) { 0 } else { wave + 1 };
            let account = &common.accounts[place.account];
            targets.push(Target {
                key: TargetKey {
                    account: account.id.clone(),
                    region: common.grid.regions[place.region].region.clone(),
                },
                account_name: Arc::clone(&account.name),
                account: place.account,
                region: place.region,
                wave: number(wave),
                pipeline,
                variables,
            });
        }
        rules.insert(0, self.canary_rule());
        let rules = self.steps(common, rules, &mut targets);
        Some(AppDraft {
            description: self.spec.description.given().map(|text| text.value.as_str().to_owned()),
            releases: releases?,
            parameters: self.parameters.iter().map(|parameter| parameter.name.into()).collect(),
            targets,
            rules,
            policy,
            changed_only: self.spec.changed_only.given().is_some_and(|flag| flag.0),
            choices: self.parameters.iter().map(ParameterCheck::settable).collect(),
            source: engine.source_action.given().map(|action| (action.value.as_str().to_owned(), kind)),
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

    /// What the engine says about itself.
    fn engine_fields(&self, path: &Path<'_>, out: &mut Sink) {
        let Some(engine) = self.spec.engine.given().and_then(|engine| engine.codepipeline.given()) else { return };
        if let (Some(kind), Slot::Absent) = (engine.revision_type.given(), &engine.source_action) {
            let draft = Draft::new("a revision_type without a source_action has no effect")
                .help("name the source action that it is for, or remove it");
            let field = path.field("engine");
            out.report(kind.span, &field.field("codepipeline").field("revision_type"), draft);
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

    /// The waves, and the wave of each place.
    fn waves(
        &self,
        common: &Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<(Vec<WaveRule>, Vec<usize>)> {
        let list = match &self.spec.waves {
            Slot::Absent => return Some((vec![rule("all".to_owned())], vec![0; places?.len()])),
            Slot::Broken => return None,
            Slot::Given(list) => list,
        };
        let path = path.field("waves");
        let (mut sure, mut names, mut rest) = (list.intact(), HashSet::new(), None);
        let mut waves: Vec<(usize, &WaveSpec, Option<Matcher>)> = Vec::new();
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
        let places = places.filter(|_| sure)?;
        self.cover(common, list.span, &waves, places, &path, out)
    }

    /// Checks that every place is in exactly one wave.
    fn cover(
        &self,
        common: &Common<'c, 'f>,
        span: Span,
        waves: &[(usize, &WaveSpec, Option<Matcher>)],
        places: &[Place],
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<(Vec<WaveRule>, Vec<usize>)> {
        let rest = waves.iter().position(|(_, _, matcher)| matcher.is_none());
        let (mut wave_of, mut sizes) = (Vec::with_capacity(places.len()), vec![0_usize; waves.len()]);
        let (mut left_out, mut twice) = (Vec::new(), BTreeMap::<(usize, usize), Vec<String>>::new());
        for place in places {
            let selects = |matcher: &Option<Matcher>| {
                matcher.as_ref().is_some_and(|matcher| matcher.selects(place.account, place.region))
            };
            let mut selecting =
                waves.iter().enumerate().filter(|(_, (_, _, matcher))| selects(matcher)).map(|(at, _)| at);
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
            wave_of.push(first);
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
        let mut rules = Vec::with_capacity(waves.len());
        for ((index, wave, _), size) in waves.iter().zip(&sizes) {
            let here = path.item(*index);
            let size = number(*size);
            if size == 0 {
                let place = wave.select.given().map_or(wave.span, |selector| selector.span);
                let draft =
                    Draft::new("this wave has no targets").help("every wave needs at least one of the app's targets");
                out.report(place, &here, draft);
                good = false;
            }
            let tolerance = wave.failure_tolerance.given();
            let count = |limit: Limit| match limit {
                Limit::Count(count) => count,
                Limit::PerCent(_) => 0,
            };
            if let Some(tolerance) = tolerance.filter(|tolerance| size > 0 && count(tolerance.value) > size) {
                let draft = Draft::new(format!(
                    "failure_tolerance {} is more than the wave's {size} targets",
                    count(tolerance.value)
                ));
                out.report(
                    tolerance.span,
                    &here.field("failure_tolerance"),
                    draft.help(format!("use at most {size}, which tolerates everything")),
                );
            }
            let name = wave.name.given().map(|name| name.value.as_str().to_owned()).unwrap_or_default();
            if let (CANARY, Slot::Given(canary)) = (name.as_str(), &self.spec.canary) {
                let draft = Draft::new("the app's canary is a wave of this name").help("give this wave another one");
                out.report(wave.name.given().map_or(canary.span, |name| name.span), &here.field("name"), draft);
            }
            if let (Some(ramp), true) = (wave.ramp.given(), name.chars().count() > LONGEST_RAMP_NAME) {
                let draft = Draft::new(format!("the steps of {} would have too long names", quoted(&name)));
                let help =
                    format!("use at most {LONGEST_RAMP_NAME} characters: each step is named such as \"prod 1/4\"");
                out.report(ramp.span, &here.field("name"), draft.help(help));
            }
            self.region_order(common, wave, &here, out);
            let approval = match &wave.approval {
                Slot::Absent => None,
                Slot::Broken => continue,
                Slot::Given(spec) => approval(common, spec, &here.field("approval"), out),
            };
            rules.push(WaveRule {
                max_concurrent: wave
                    .max_concurrent
                    .given()
                    .map_or(Limit::Count(DEFAULT_MAX_CONCURRENT), |max| max.value),
                failure_tolerance: tolerance.map_or(Limit::Count(0), |tolerance| tolerance.value),
                strict: wave.strict.given().is_some_and(|flag| flag.0),
                max_per_account: wave.max_per_account.given().map(|max| max.value),
                max_per_region: wave.max_per_region.given().map(|max| max.value),
                bake: wave.bake.given().map(|bake| bake.0.clone()),
                approval,
                ..rule(name)
            });
        }
        good.then_some((rules, wave_of))
    }

    /// The Regions that go first must be Regions of the file, each once.
    fn region_order(&self, common: &Common<'c, 'f>, wave: &WaveSpec, path: &Path<'_>, out: &mut Sink) {
        let Some(Many(order)) = wave.region_order.given() else { return };
        let (path, mut seen) = (path.field("region_order"), HashSet::new());
        for (index, region) in order.given() {
            let known = || common.grid.regions.iter().map(|row| row.region.as_str());
            let draft = match known().any(|known| known == region.value.as_str()) {
                false => Draft::new(format!("Region {} is not among the file's regions", region.value))
                    .help("name Regions that are deployed to")
                    .suggest(closest(region.value.as_str(), known())),
                true if !seen.insert(&region.value) => {
                    Draft::new(format!("Region {} is given twice", region.value)).help("remove one")
                }
                true => continue,
            };
            out.report(region.span, &path.item(index), draft);
        }
    }

    /// The positions of the places that go first.
    fn canary(
        &self,
        common: &Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<HashSet<usize>> {
        let canary = match &self.spec.canary {
            Slot::Absent => return Some(HashSet::new()),
            Slot::Broken => return None,
            Slot::Given(canary) => canary,
        };
        let (field, places) = (path.field("canary"), places?);
        let path = field.field("targets");
        let (mut chosen, mut good) = (HashSet::new(), true);
        for (index, name) in canary.targets.given()?.0.given() {
            let text = name.value.as_str();
            let matches = |place: &Place| {
                let (account, region) =
                    (common.grid.accounts[place.account].name, common.grid.regions[place.region].region);
                text.split_once('/').map_or(text == account, |(a, r)| a == account && r == region.as_str())
            };
            let before = chosen.len();
            chosen.extend(places.iter().enumerate().filter(|(_, place)| matches(place)).map(|(at, _)| at));
            if chosen.len() == before && !places.iter().any(matches) {
                let known: Vec<String> =
                    places.iter().map(|place| common.grid.target(place.account, place.region)).collect();
                let draft = Draft::new(format!("{} is no target of app {}", quoted(text), self.name))
                    .help("name an account, or account/region, that the app is deployed to")
                    .suggest(closest(text, known.iter().map(String::as_str)));
                out.report(name.span, &path.item(index), draft);
                good = false;
            }
        }
        good.then_some(chosen)
    }

    /// One after the other, and none may fail.
    fn canary_rule(&self) -> WaveRule {
        let bake = self.spec.canary.given().and_then(|canary| canary.bake.given());
        WaveRule { max_concurrent: Limit::Count(1), bake: bake.map(|bake| bake.0.clone()), ..rule(CANARY.to_owned()) }
    }

    /// Orders the targets by wave and Region, divides waves with a ramp into their steps, and leaves empty waves out. The
    /// first of `rules` is the canary's.
    fn steps(&self, common: &Common<'c, 'f>, rules: Vec<WaveRule>, targets: &mut [Target]) -> Vec<WaveRule> {
        let specs: Vec<&WaveSpec> =
            self.spec.waves.given().map(|list| list.given().map(|(_, wave)| wave).collect()).unwrap_or_default();
        let spec = |wave: u32| usize::try_from(wave).ok()?.checked_sub(1).and_then(|at| specs.get(at).copied());
        let rank = |target: &Target| {
            let order = spec(target.wave).and_then(|wave| wave.region_order.given())?;
            let region = common.grid.regions[target.region].region;
            order.0.given().position(|(_, named)| named.value == *region)
        };
        // Stable: what is not ordered stays as it is.
        targets.sort_by_key(|target| (target.wave, rank(target).unwrap_or(usize::MAX)));
        let (mut steps, mut next): (Vec<WaveRule>, usize) = (Vec::new(), 0);
        for (wave, rule) in (0_u32..).zip(rules) {
            let size = targets[next..].iter().take_while(|target| target.wave == wave).count();
            let sizes = match spec(wave).and_then(|spec| spec.ramp.given()) {
                Some(ramp) => ramp.sizes(number(size)),
                None => vec![number(size)],
            };
            let count = sizes.len();
            for (nth, size) in sizes.into_iter().enumerate().filter(|(_, size)| *size > 0) {
                let end = next + usize::try_from(size).unwrap_or(usize::MAX);
                targets[next..end].iter_mut().for_each(|target| target.wave = number(steps.len()));
                next = end;
                let name = if count > 1 { format!("{} {}/{count}", rule.name, nth + 1) } else { rule.name.clone() };
                let approval = rule.approval.clone().filter(|_| nth == 0);
                steps.push(WaveRule { name, approval, ..rule.clone() });
            }
        }
        steps
    }

    /// How the app's runs are controlled.
    fn policy(&self, common: &Common<'c, 'f>, path: &Path<'_>, out: &mut Sink) -> Policy {
        let operators = match self.spec.operators.given() {
            None => common.operators.to_vec(),
            Some(Many(list)) => {
                let path = path.field("operators");
                list.given().filter_map(|(index, name)| operator(common, name, &path.item(index), out)).collect()
            }
        };
        Policy {
            newer: self.spec.newer_release.given().map(|newer| newer.value).unwrap_or_default(),
            on_failure: self.spec.on_failure.given().map(|failure| failure.value).unwrap_or_default(),
            operators,
        }
    }

    /// The name of the pipeline in each place.
    fn pipelines(
        &self,
        common: &mut Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<PipelineName>> {
        let name = self.spec.engine.given()?.codepipeline.given()?.name.given()?;
        let engine = path.field("engine");
        let engine = engine.field("codepipeline");
        let path = engine.field("name");
        if !name.value.uses().is_static() {
            let what = if name.value.uses().release { "the release" } else { "the run" };
            let draft = Draft::new(format!("a pipeline's name cannot depend on {what}"))
                .help("every run of a target starts the same pipeline; use release and run in parameters");
            out.report(name.span, &path, draft);
            return None;
        }
        let mut rendered: HashMap<(Option<usize>, Option<usize>), Option<PipelineName>> = HashMap::new();
        let (mut pipelines, mut refused) = (Vec::new(), Vec::new());
        let mut shared: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for place in places? {
            let uses = name.value.uses();
            let key = (uses.account.then_some(place.account), uses.region.then_some(place.region));
            let pipeline = rendered.entry(key).or_insert_with(|| {
                let outcome = self.render(common, &name.value, *place);
                match outcome {
                    Ok(Outcome::Text(text)) => match text.parse::<PipelineName>() {
                        Ok(pipeline) => Some(pipeline),
                        Err(_) => {
                            refused.push((text.to_string(), common.grid.target(place.account, place.region)));
                            None
                        }
                    },
                    Ok(Outcome::Later(_) | Outcome::Refused) => None,
                    Err(draft) => {
                        out.report(name.span, &path, draft);
                        None
                    }
                }
            });
            let Some(pipeline) = pipeline.clone() else { continue };
            let key = (place.account, place.region, pipeline.to_string());
            match common.used.get(&key) {
                Some((other, app)) if *other != self.index => {
                    shared.entry(app.clone()).or_default().push(common.grid.target(place.account, place.region));
                }
                Some(_) | None => {
                    common.used.insert(key, (self.index, self.name.to_owned()));
                }
            }
            pipelines.push(pipeline);
        }
        if let Some((text, target)) = refused.first() {
            let more = if refused.len() > 1 { format!(" (and {} more)", refused.len() - 1) } else { String::new() };
            let draft = Draft::new(format!("{} for {target}{more} is not {}", quoted(text), PipelineName::EXPECTED));
            out.report(name.span, &path, draft);
        }
        for (app, targets) in shared {
            let draft = Draft::new(format!("app {app} uses the same pipeline in {}", some_of(&targets)))
                .help("a pipeline in a target belongs to one app: name another one, or exclude the targets in one of the apps");
            out.report(name.span, &path, draft);
        }
        Some(pipelines)
    }

    /// The variables of each place, one for each parameter.
    fn variables(
        &self,
        common: &mut Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<Box<[Variable]>>> {
        let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name).collect();
        let defaults = common.levels.defaults.row(&names);
        let regions: Vec<Vec<Cell>> = common.levels.regions.iter().map(|level| level.row(&names)).collect();
        let accounts: Vec<Vec<Cell>> = common.levels.accounts.iter().map(|level| level.row(&names)).collect();

        let source =
            self.spec.engine.given().and_then(|engine| engine.codepipeline.given()).map(|engine| &engine.source_action);
        let (mut memo, mut reported) = (HashMap::new(), HashSet::new());
        let mut missing: Vec<Vec<String>> = vec![Vec::new(); self.parameters.len()];
        let (mut unpinned, mut too_large) = (Vec::new(), Vec::new());
        let mut all = Vec::new();
        for place in places? {
            let target = common.levels.targets.get(&(place.account, place.region)).map(|level| level.row(&names));
            let (mut pinned, mut bytes) =
                (source.is_none_or(|action| !action.is_absent()) || !self.parameters_known, 0);
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
                pinned |= uses.revision;
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
                unpinned.push(common.grid.target(place.account, place.region));
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
        unpinned: &[String],
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
        if !unpinned.is_empty() {
            let engine = path.field("engine");
            let span = self
                .spec
                .engine
                .given()
                .map_or(self.spec.span, |engine| engine.codepipeline.given().map_or(engine.span, |e| e.span));
            let draft = Draft::new(format!("nothing pins {} to the release's revision", some_of(unpinned)))
                .help("set source_action, or give a parameter the value \"{{ release.revision }}\"");
            out.report(span, &engine.field("codepipeline"), draft);
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
        if template.is_literal() {
            return Ok(Outcome::Text(Arc::clone(template.source())));
        }
        let row = &common.grid.accounts[place.account];
        for tag in template.tags() {
            if !row.tags.contains_key(tag) {
                if !row.tags_known {
                    return Ok(Outcome::Refused);
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
        let text = common.templates.render(template, &scope).map_err(failed)?;
        Ok(if is_static { Outcome::Text(text) } else { Outcome::Later(Arc::new(template.clone())) })
    }
}

/// The name of the wave of canaries.
const CANARY: &str = "canary";
/// Leaves room for " 20/20" in a wave's name of 64 characters.
const LONGEST_RAMP_NAME: usize = 58;
/// How long a request for approval stands when the file does not say.
const DEFAULT_APPROVAL: TimeSpan = TimeSpan::from_minutes(24 * 60);
/// A wave as it is when the file says nothing of it.
fn rule(name: String) -> WaveRule {
    WaveRule {
        name,
        max_concurrent: Limit::Count(DEFAULT_MAX_CONCURRENT),
        failure_tolerance: Limit::Count(0),
        strict: false,
        max_per_account: None,
        max_per_region: None,
        bake: None,
        approval: None,
    }
}

/// The people who may decide.
fn operators(file: &File, out: &mut Sink) -> Vec<Operator> {
    let path = Path::Root.field("operators");
    let texts = |spec: &OperatorSpec| {
        let slack =
            spec.slack.given().map(|Many(list)| list.given().map(|(_, id)| id.value.as_str().to_owned()).collect());
        let iam =
            spec.iam.given().map(|Many(list)| list.given().map(|(_, arn)| arn.value.as_str().to_owned()).collect());
        (slack.unwrap_or_default(), iam.unwrap_or_default())
    };
    let mut operators = Vec::new();
    for (name, spec) in file.operators.given().into_iter().flat_map(|map| map.given()) {
        if spec.slack.is_absent() && spec.iam.is_absent() {
            let draft = Draft::new(format!("operator {} can't be told from others", name.value.as_str()))
                .help("give a Slack user id (slack), a pattern of an AWS identity (iam), or both");
            out.report(name.span, &path.field(name.value.as_str()), draft);
        }
        let (slack, iam) = texts(spec);
        operators.push(Operator { name: name.value.as_str().to_owned(), slack, iam });
    }
    operators
}

fn operator(
    common: &Common<'_, '_>,
    name: &Spanned<OperatorName>,
    path: &Path<'_>,
    out: &mut Sink,
) -> Option<Operator> {
    let known = common.operators.iter().find(|operator| operator.name == name.value.as_str());
    if known.is_none() {
        let draft = Draft::new(format!("there is no operator {}", name.value.as_str()))
            .help("declare them in the file's operators")
            .suggest(closest(name.value.as_str(), common.operators.iter().map(|operator| operator.name.as_str())));
        out.report(name.span, path, draft);
    }
    known.cloned()
}

fn approval(common: &Common<'_, '_>, spec: &ApprovalSpec, path: &Path<'_>, out: &mut Sink) -> Option<Approval> {
    let by = path.field("by");
    let approvers =
        spec.by.given()?.0.given().filter_map(|(index, name)| operator(common, name, &by.item(index), out)).collect();
    Some(Approval {
        approvers,
        valid_for: spec.valid_for.given().map_or(DEFAULT_APPROVAL, |valid| valid.value.0),
        newer: spec.newer_release.given().map(|newer| newer.value).unwrap_or_default(),
    })
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

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
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
