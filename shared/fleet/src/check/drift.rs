//! How an app is checked for drift: what a block says by itself, and what it means for the app's targets.
//!
//! The defaults' block is read once; each app that has none of its own holds it against its targets.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifold_core::control::Operator;
use manifold_core::drift::{Aspect, Ignore, Looks, MOST_STACKS, Policy, Quiet, Response};
use manifold_core::ids::TargetKey;
use manifold_core::plan::Channel;
use manifold_core::time::Span as TimeSpan;

use super::{AppCheck, Common, MAX_POLICY_BYTES, Outcome, Place, channel};
use crate::decode::Slot;
use crate::file::{DriftSpec, File, IgnoreSpec};
use crate::model::Drift;
use crate::path::Path;
use crate::problem::{Draft, Sink, closest, quoted, some_of};

/// How long after the first look what differs is looked at again when the file does not say.
const DEFAULT_CONFIRM: TimeSpan = TimeSpan::from_minutes(5);

/// How long an approval may wait when the file does not say.
const DEFAULT_STUCK: TimeSpan = TimeSpan::from_minutes(24 * 60);

/// How long a check may take when the file does not say.
const DEFAULT_DEADLINE: TimeSpan = TimeSpan::from_minutes(30);

/// What is compared when the file does not say, besides stacks.
const DEFAULT_CHECKS: [Aspect; 3] = [Aspect::Revision, Aspect::Definition, Aspect::Health];

/// Every rule is held against every target.
const MAX_RULES: usize = 100;

/// What a stack's name is (CloudFormation API reference, `CreateStack`: `StackName`).
const STACK_NAME: &str = "a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter";

/// The names of a stack, by what a template uses of account and Region; `None` where it is none.
type Rendered = HashMap<(Option<usize>, Option<usize>), Option<Arc<str>>>;

/// A block, as far as it says something by itself.
#[derive(Debug, Clone)]
pub(super) struct Block<'f> {
    /// What was written; `None` if nothing was.
    spec: Option<&'f DriftSpec>,
    /// Whether it is the defaults'.
    is_default: bool,
    aspects: BTreeSet<Aspect>,
    /// Its rules, with their positions.
    rules: Vec<(usize, Ignore)>,
}

/// The defaults' block, and which of its rules fit a target.
pub(super) struct Defaults<'f> {
    /// `None` if it could not be read.
    block: Option<Block<'f>>,
    /// Positions of rules that fit a target of an app that takes the block.
    fit: HashSet<usize>,
    /// Whether some app takes the block.
    is_taken: bool,
    /// Whether all apps that take it know their targets.
    is_sure: bool,
}

/// Reads the defaults' block.
pub(super) fn defaults<'f>(file: &'f File, out: &mut Sink) -> Defaults<'f> {
    let root = Path::Root.field("defaults");
    let block = match &file.defaults {
        Slot::Absent => Some(Block::silent()),
        Slot::Broken => None,
        Slot::Given(defaults) => match &defaults.drift {
            Slot::Absent => Some(Block::silent()),
            Slot::Broken => None,
            Slot::Given(spec) => Some(Block::of(spec, (true, false), &root.field("drift"), out)),
        },
    };
    Defaults { block, fit: HashSet::new(), is_taken: false, is_sure: true }
}

/// Rules of the defaults' block that fit no target of any app that takes it.
pub(super) fn unfit_defaults(common: &Common<'_, '_>, out: &mut Sink) {
    let defaults = &common.default_drift;
    let Some(block) = defaults.block.as_ref().filter(|_| defaults.is_taken && defaults.is_sure) else { return };
    let root = Path::Root.field("defaults");
    let path = root.field("drift");
    for (index, rule) in block.rules.iter().filter(|(index, _)| !defaults.fit.contains(index)) {
        let draft = Draft::new(format!("{} fits no target of an app that takes these defaults", quoted(&rule.target)));
        block.report_target(*index, draft.help("a target is account/region, by the account's name or id"), &path, out);
    }
}

impl<'f> Block<'f> {
    /// What holds when nothing is written.
    fn silent() -> Self {
        Self { spec: None, is_default: true, aspects: BTreeSet::from(DEFAULT_CHECKS), rules: Vec::new() }
    }

    /// Reads a block, the defaults' or that of an app that may deploy stacks; reports what contradicts itself.
    fn of(spec: &'f DriftSpec, (is_default, deploys_stacks): (bool, bool), path: &Path<'_>, out: &mut Sink) -> Self {
        let aspects = aspects(spec, deploys_stacks, path, out);
        times(spec, path, out);
        let list = spec.ignore.given();
        if let Some(list) = list.filter(|list| list.items.len() > MAX_RULES) {
            let draft = Draft::new(format!("{} rules; at most {MAX_RULES} are read", list.items.len()));
            out.report(list.span, &path.field("ignore"), draft.help("put some together: * stands for any text"));
        }
        let rules = list.into_iter().flat_map(|list| list.given()).take(MAX_RULES);
        let rules = rules.filter_map(|(index, spec)| Some((index, rule(spec)?))).collect();
        Self { spec: Some(spec), is_default, aspects, rules }
    }

    /// Reports what is wrong with the targets of a rule.
    fn report_target(&self, index: usize, draft: Draft, path: &Path<'_>, out: &mut Sink) {
        let rules = self.spec.and_then(|spec| spec.ignore.given());
        let target = rules.and_then(|list| list.items.get(index)?.given()?.target.given());
        let Some(target) = target else { return };
        out.report(target.span, &path.field("ignore").item(index).field("target"), draft);
    }

    /// How the app is checked, for the model. `app` is where its summaries go.
    pub(super) fn drift(&self, ignore: Vec<Ignore>, operators: Vec<Operator>, app: &Channel) -> Drift {
        let spec = self.spec;
        let slack = spec.map_or(&Slot::Absent, |spec| &spec.slack);
        Drift {
            every: spec.and_then(|spec| spec.every.given()).map(|every| every.value.0),
            deadline: spec.map_or(DEFAULT_DEADLINE, deadline),
            policy: Policy {
                confirm: spec.map_or(Some(DEFAULT_CONFIRM), confirm),
                quiet: spec.and_then(|spec| spec.quiet.given()).map_or_else(Quiet::default, |quiet| quiet.value),
                digest: spec.and_then(|spec| spec.digest.given()).map(|digest| digest.value.0),
                response: spec
                    .and_then(|spec| spec.on_drift.given())
                    .map_or_else(Response::default, |response| response.value),
                ignore,
                operators,
            },
            channel: match slack {
                Slot::Given(slack) => channel(slack),
                Slot::Absent => app.clone(),
                Slot::Broken => Channel::Silent,
            },
        }
    }

    /// What is looked at, but for what a target's stacks and engine say.
    pub(super) fn looks(&self) -> Looks {
        let spec = self.spec;
        Looks {
            aspects: self.aspects.clone(),
            deploy_stage: spec.and_then(|spec| spec.deploy_stage.given()).map(|stage| stage.value.as_str().to_owned()),
            stacks: Vec::new(),
            stuck_after: spec
                .and_then(|spec| spec.stuck_after.given())
                .map_or(DEFAULT_STUCK, |stuck_after| stuck_after.value.0),
            variables: false,
            who: spec.and_then(|spec| spec.who.given()).is_some_and(|flag| flag.0),
        }
    }
}

fn deadline(spec: &DriftSpec) -> TimeSpan {
    spec.deadline.given().map_or(DEFAULT_DEADLINE, |deadline| deadline.value.0)
}

fn confirm(spec: &DriftSpec) -> Option<TimeSpan> {
    spec.confirm.given().map_or(Some(DEFAULT_CONFIRM), |confirm| confirm.value.0)
}

fn rule(spec: &IgnoreSpec) -> Option<Ignore> {
    Some(Ignore {
        target: spec.target.given()?.value.as_str().to_owned(),
        aspect: spec.check.given().map(|check| check.value),
        path: spec.path.given().map(|path| path.value.as_str().to_owned()),
        owner: spec.owner.given()?.value.as_str().to_owned(),
        reason: spec.reason.given()?.value.as_str().to_owned(),
        until: spec.until.given()?.value.0,
    })
}

/// What is compared; reports what is named in vain. An app that deploys stacks has some to be checked without naming one.
fn aspects(spec: &DriftSpec, deploys_stacks: bool, path: &Path<'_>, out: &mut Sink) -> BTreeSet<Aspect> {
    let field = path.field("checks");
    let mut aspects = BTreeSet::new();
    let is_known = match &spec.checks {
        Slot::Absent => {
            aspects.extend(DEFAULT_CHECKS);
            aspects.extend((!spec.stacks.is_absent()).then_some(Aspect::Stack));
            true
        }
        Slot::Broken => false,
        Slot::Given(checks) => {
            for (index, check) in checks.0.given() {
                let here = field.item(index);
                if !aspects.insert(check.value) {
                    let draft = Draft::new(format!("{} is given twice", check.value.name()));
                    out.report(check.span, &here, draft.help("remove one"));
                } else if check.value == Aspect::Stack && spec.stacks.is_absent() && !deploys_stacks {
                    let draft = Draft::new("no stacks are named to be checked");
                    out.report(check.span, &here, draft.help("name them in \"stacks\", or leave stack out"));
                }
            }
            checks.0.intact()
        }
    };
    if let Some(stacks) = spec.stacks.given().filter(|_| is_known && !aspects.contains(&Aspect::Stack)) {
        let draft = Draft::new("these stacks are not checked: \"checks\" leaves stack out");
        out.report(stacks.0.span, &path.field("stacks"), draft.help("add stack to \"checks\", or remove them"));
    }
    if let Some(response) = spec.on_drift.given()
        && response.value == Response::Redeploy
        && is_known
        && !aspects.contains(&Aspect::Revision)
    {
        let draft = Draft::new("redeploy is for revisions that drifted: \"checks\" leaves revision out");
        out.report(response.span, &path.field("on_drift"), draft.help("add revision to \"checks\", or say report"));
    }
    if let Some(stacks) = spec.stacks.given().filter(|stacks| stacks.0.items.len() > MOST_STACKS) {
        let count = stacks.0.items.len();
        let draft = Draft::new(format!("{count} stacks; at most {MOST_STACKS} are looked at in one target"));
        out.report(stacks.0.span, &path.field("stacks"), draft.help("name those that matter most"));
    }
    aspects
}

/// Reports times that contradict each other.
fn times(spec: &DriftSpec, path: &Path<'_>, out: &mut Sink) {
    if let (Some(given), Some(confirm), false) = (spec.deadline.given(), confirm(spec), spec.confirm.is_broken())
        && given.value.0 <= confirm
    {
        let draft = Draft::new(format!(
            "a check that ends after {} has no time for the second look, {confirm} after the first",
            given.value.0
        ))
        .help(format!("use more than {confirm}, or say confirm: never"));
        out.report(given.span, &path.field("deadline"), draft);
    }
    if let (Some(digest), Some(every)) = (spec.digest.given(), spec.every.given())
        && digest.value.0 < every.value.0
    {
        let draft = Draft::new(format!("a digest every {} needs a check as often", digest.value.0))
            .help(format!("checks come every {}: use at least that, or check more often", every.value.0));
        out.report(digest.span, &path.field("digest"), draft);
    }
}

fn is_stack_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl<'c, 'f> AppCheck<'c, 'f> {
    /// The block that holds for the app: its own, or the defaults'; `None` if it could not be read.
    pub(super) fn drift_block(
        &self,
        common: &mut Common<'c, 'f>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Block<'f>> {
        match &self.spec.drift {
            Slot::Given(spec) => Some(Block::of(spec, (false, self.deploys_stacks()), &path.field("drift"), out)),
            Slot::Absent => {
                common.default_drift.is_taken = true;
                common.default_drift.block.clone()
            }
            Slot::Broken => None,
        }
    }

    /// The names of the stacks in each place.
    pub(super) fn stacks(
        &self,
        common: &mut Common<'c, 'f>,
        block: Option<&Block<'f>>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<Box<[Arc<str>]>>> {
        let (block, root) = (block?, Path::Root.field("defaults"));
        let path = if block.is_default { root.field("drift") } else { path.field("drift") };
        let path = path.field("stacks");
        let list = block.spec.and_then(|spec| spec.stacks.given());
        let mut templates = Vec::new();
        for (index, name) in list.into_iter().flat_map(|list| list.0.given()).take(MOST_STACKS) {
            if name.value.uses().is_static() {
                templates.push((index, name));
                continue;
            }
            let what = if name.value.uses().release { "the release" } else { "the run" };
            let draft = Draft::new(format!("a stack's name cannot depend on {what}"))
                .help("whatever was released, the same stacks are checked; use account, region and app");
            out.report(name.span, &path.item(index), draft);
        }
        let places = places?;
        let mut all: Vec<Vec<Arc<str>>> = vec![Vec::with_capacity(templates.len()); places.len()];
        for (index, name) in templates {
            let (here, uses) = (path.item(index), name.value.uses());
            let mut rendered = Rendered::new();
            let (mut failed, mut refused, mut twice) = (None, Vec::new(), Vec::new());
            for (place, stacks) in places.iter().zip(&mut all) {
                let key = (uses.account.then_some(place.account), uses.region.then_some(place.region));
                let stack = rendered.entry(key).or_insert_with(|| match self.render(common, &name.value, *place) {
                    Ok(Outcome::Text(text)) if is_stack_name(&text) => Some(text),
                    Ok(Outcome::Text(text)) => {
                        refused.push((text, common.grid.target(place.account, place.region)));
                        None
                    }
                    Ok(Outcome::Later(_) | Outcome::Refused) => None,
                    Err(draft) => {
                        failed.get_or_insert(draft);
                        None
                    }
                });
                let Some(stack) = stack else { continue };
                if stacks.contains(stack) {
                    twice.push((Arc::clone(stack), common.grid.target(place.account, place.region)));
                } else {
                    stacks.push(Arc::clone(stack));
                }
            }
            if let Some(draft) = failed {
                out.report(name.span, &here, draft);
            }
            if let Some((text, target)) = refused.first() {
                let more = if refused.len() > 1 { format!(" (and {} more)", refused.len() - 1) } else { String::new() };
                let of = if name.value.is_literal() { String::new() } else { format!(" for {target}{more}") };
                out.report(name.span, &here, Draft::new(format!("{}{of} is not {STACK_NAME}", quoted(text))));
            }
            if let Some((stack, target)) = twice.first() {
                let of = if name.value.is_literal() { String::new() } else { format!(" for {target}") };
                let draft = Draft::new(format!("stack {stack} is given twice{of}")).help("remove one");
                out.report(name.span, &here, draft);
            }
        }
        Some(all.into_iter().map(Vec::into_boxed_slice).collect())
    }

    /// The rules that are about a target of the app. Its own are, all of them: reports those that fit none.
    pub(super) fn rules(
        &self,
        common: &mut Common<'c, 'f>,
        block: Option<&Block<'f>>,
        places: Option<&[Place]>,
        operators: &[Operator],
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<Ignore>> {
        let block = block?;
        // An account that could not be read has a placeholder for its id.
        let ids_known = common.grid.accounts.iter().all(|row| row.spec.is_some_and(|spec| spec.id.given().is_some()));
        let Some(places) = places else {
            common.default_drift.is_sure &= !block.is_default;
            return None;
        };
        common.default_drift.is_sure &= ids_known || !block.is_default;
        let path = path.field("drift");
        let covers = |rule: &Ignore| {
            places.iter().any(|place| {
                let account = &common.accounts[place.account];
                let key =
                    TargetKey { account: account.id.clone(), region: common.grid.regions[place.region].region.clone() };
                rule.covers(&account.name, &key)
            })
        };
        let (fit, unfit): (Vec<_>, Vec<_>) = block.rules.iter().partition(|(_, rule)| covers(rule));
        if !block.is_default && ids_known {
            for (index, rule) in unfit {
                let mut draft = Draft::new(format!("{} fits no target of app {}", quoted(&rule.target), self.name));
                if out.may_suggest() {
                    let all: Vec<String> =
                        places.iter().map(|place| common.grid.target(place.account, place.region)).collect();
                    let accounts = all.iter().filter_map(|target| Some(format!("{}/*", target.split_once('/')?.0)));
                    let accounts: BTreeSet<String> = accounts.collect();
                    let whole = Some(format!("{}/*", rule.target)).filter(|whole| accounts.contains(whole));
                    let names = all.iter().chain(&accounts).map(String::as_str);
                    draft = draft
                        .help(format!("the app's targets are {}", some_of(&all)))
                        .suggest(whole.as_deref().or_else(|| closest(&rule.target, names)));
                }
                block.report_target(*index, draft, &path, out);
            }
        }
        let rules: Vec<Ignore> = fit.iter().map(|(_, rule)| rule.clone()).collect();
        if block.is_default {
            common.default_drift.fit.extend(fit.iter().map(|(index, _)| *index));
        }
        self.weigh_rules(block, &rules, operators, &path, out);
        Some(rules)
    }

    /// What a check is stored with has its limits. Operators who are too many by themselves are reported with the waves.
    fn weigh_rules(
        &self,
        block: &Block<'f>,
        rules: &[Ignore],
        operators: &[Operator],
        path: &Path<'_>,
        out: &mut Sink,
    ) {
        let operators = serde_json::to_vec(operators).map_or(usize::MAX, |json| json.len());
        let rules = serde_json::to_vec(rules).map_or(usize::MAX, |json| json.len());
        let bytes = operators.saturating_add(rules);
        if bytes <= MAX_POLICY_BYTES || operators > MAX_POLICY_BYTES {
            return;
        }
        let Some(list) = block.spec.and_then(|spec| spec.ignore.given()) else { return };
        let root = Path::Root.field("defaults");
        let path = if block.is_default { &root.field("drift") } else { path };
        let draft = Draft::new(format!(
            "the rules of app {}, with its operators, have {bytes} bytes; at most {MAX_POLICY_BYTES} are stored",
            self.name
        ));
        out.report(list.span, &path.field("ignore"), draft.help("use fewer rules, or shorter reasons"));
    }
}
