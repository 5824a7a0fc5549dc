//! What both renderers say alike: the headline, the facts, and how findings are grouped.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, AspectLine, Report, State, TargetLine};
use crate::drift::check::Change;
use crate::drift::definition;
use crate::drift::judge::Finding;
use crate::drift::{Aspect, Cause};
use crate::ids::TargetKey;
use crate::summary::layout::{number, targets};
use crate::time::Timestamp;

/// The state of a check as a whole, or of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Open,
    Warning,
    Drifted,
    Unknown,
    InSync,
}

impl Mark {
    pub(super) fn of(report: &Report) -> Self {
        if !report.is_closed() {
            return Self::Open;
        }
        match report.overdue {
            // What was found is old: whatever it was, nobody has looked since.
            Some(_) => Self::Warning,
            None if report.has_drift() => Self::Drifted,
            None if report.is_in_sync() => Self::InSync,
            None => Self::Unknown,
        }
    }
}

impl From<Answer> for Mark {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Drifted => Self::Drifted,
            Answer::Unknown => Self::Unknown,
            Answer::InSync => Self::InSync,
        }
    }
}

/// `web: drift in 3 of 10 targets, 1 unknown`. Nothing in it is untrusted, and it is shorter than 150 characters.
pub(super) fn headline(report: &Report) -> String {
    let app = &report.app;
    let of = |count: u32| format!("{} of {}", number(count), targets(report.size));
    let counts = &report.counts;
    match report.state {
        State::Looking { looked } => return format!("{app}: drift check, {} looked at", of(looked)),
        State::Confirming { looked, awaited } => {
            let awaited = targets(awaited);
            return format!("{app}: drift check, {} of {awaited} looked at again", number(looked));
        }
        State::Closed { .. } => {}
    }
    let out_of_time = matches!(report.state, State::Closed { out_of_time: true, .. });
    let found = match (counts.drifted, counts.unknown) {
        (0, 0) => format!("{} in sync", targets(counts.in_sync)),
        (0, unknown) if report.is_outage() => {
            format!("the check itself could not look, {} unknown", targets(unknown))
        }
        (0, unknown) if out_of_time => format!("the check itself could not look everywhere, {} unknown", of(unknown)),
        (0, unknown) => format!("{} could not be checked", of(unknown)),
        (drifted, 0) => format!("drift in {}", of(drifted)),
        (drifted, unknown) => format!("drift in {}, {} unknown", of(drifted), number(unknown)),
    };
    match report.overdue {
        Some(_) => format!("{app}: no drift check since {}; then {found}", report.opened_at),
        None => format!("{app}: {found}"),
    }
}

/// A text in which points in time stand, so that each renderer spells them.
pub(super) type Words = Vec<Word>;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Words; what is untrusted in them is for the renderer to escape.
    Said(String),
    /// A point in time.
    At(Timestamp),
    /// A command to type, or a run. Nothing in it is untrusted.
    Code(String),
}

pub(super) fn said(words: impl Into<String>) -> Word {
    Word::Said(words.into())
}

/// What must be known before anything else is believed.
pub(super) fn warnings(report: &Report) -> Vec<Words> {
    let mut warnings = Vec::new();
    if let Some(overdue) = report.overdue {
        warnings.push(vec![
            said("No check since "),
            Word::At(report.opened_at),
            said(": the next one was due "),
            Word::At(overdue.due),
            said(", and by "),
            Word::At(overdue.noticed_at),
            said(" nobody had opened it. What stands below may be out of date."),
        ]);
    }
    if let State::Closed { out_of_time: true, .. } = report.state {
        warnings
            .push(vec![said("The check itself could not look everywhere: its time was up before every look was in.")]);
    } else if report.is_outage() {
        warnings.push(vec![said("The check itself could not look: of no target is anything known.")]);
    }
    warnings
}

/// Which check it is.
pub(super) fn facts(report: &Report) -> Vec<Words> {
    let mut first = vec![said("Check "), Word::Code(report.check.to_string())];
    match &report.cause {
        Cause::Scheduled { every, .. } => first.push(said(format!(", scheduled every {every}"))),
        Cause::Asked { by, why: None } => first.push(said(format!(", asked for by {by}"))),
        Cause::Asked { by, why: Some(why) } => first.push(said(format!(", asked for by {by}: {why}"))),
    }
    let mut time = vec![said("Opened "), Word::At(report.opened_at)];
    match report.took() {
        Some(took) => time.push(said(format!(", took {took}"))),
        None => time.extend([said(", ends by "), Word::At(report.due_at)]),
    }
    match report.looked_twice {
        0 => {}
        1 => time.push(said("; 1 target was looked at twice")),
        twice => time.push(said(format!("; {} were looked at twice", targets(twice)))),
    }
    let mut facts = vec![first, time];
    if !report.is_whole {
        facts.push(vec![said(format!("Only of {} that was asked for; the app may have more", targets(report.size)))]);
    }
    facts
}

/// `6 in sync, 3 drifted, 1 unknown`, with their symbols; nothing while the check is open.
pub(super) fn counts(report: &Report) -> Vec<(Mark, String)> {
    let counts = &report.counts;
    [
        (Mark::Drifted, counts.drifted, "drifted"),
        (Mark::Unknown, counts.unknown, "unknown"),
        (Mark::InSync, counts.in_sync, "in sync"),
    ]
    .into_iter()
    .filter(|(_, count, _)| *count > 0)
    .map(|(mark, count, words)| (mark, format!("{} {words}", number(count))))
    .collect()
}

/// What changed, and how the check is looked after.
pub(super) fn story(report: &Report) -> Vec<Words> {
    let mut story = Vec::new();
    let news = &report.news;
    if report.is_closed() {
        match &report.before {
            None => story.push(vec![said("The app's first check: there is none before to compare it with.")]),
            Some(before) => {
                let parts = [(news.new, "new"), (news.resolved, "in sync again"), (news.persisting, "as before")];
                let parts = parts.into_iter().filter(|(count, _)| *count > 0);
                let parts: Vec<String> = parts.map(|(count, words)| format!("{} {words}", number(count))).collect();
                let parts = match parts.is_empty() {
                    true => "nothing new".to_owned(),
                    false => format!("{} (comparisons)", parts.join(", ")),
                };
                story.push(vec![said("Against check "), Word::Code(before.to_string()), said(format!(": {parts}"))]);
            }
        }
    }
    if report.is_digest {
        story.push(vec![said("A digest: all that stands is told.")]);
    }
    if let Some(again) = &report.again {
        let times = if again.times == 1 { "once".to_owned() } else { format!("{} times", number(again.times)) };
        story.push(vec![
            said(format!("Checked again {times} since, last at ")),
            Word::At(again.at),
            said(" ("),
            Word::Code(again.check.to_string()),
            said("): nothing new."),
        ]);
    }
    story
}

/// What rules hide, as one line, and the rules that have expired.
pub(super) fn rules(report: &Report, most: usize) -> Vec<Words> {
    let rules = &report.rules;
    let mut lines = Vec::new();
    if let Some(next) = rules.next_ends {
        let count = match rules.in_force {
            1 => "1 ignore rule in force: it ends ".to_owned(),
            count => format!("{} ignore rules in force, the next ends ", number(count)),
        };
        lines.push(vec![said(count), Word::At(next)]);
    }
    for rule in rules.expired.iter().take(most) {
        let aspect = rule.aspect.map_or("everything", Aspect::name);
        let path = rule.path.as_deref().map(|path| format!(" at {path}")).unwrap_or_default();
        lines.push(vec![
            said(format!("Ignore rule of {} expired ", rule.owner)),
            Word::At(rule.until),
            said(format!(": its findings count again ({aspect} of {}{path}; {})", rule.target, rule.reason)),
        ]);
    }
    if let more @ 1.. = rules.expired.len().saturating_sub(most) {
        lines.push(vec![said(format!("+{} more expired rules", number(more)))]);
    }
    lines
}

/// What stood of targets that are gone.
pub(super) fn gone(report: &Report, most: usize) -> Option<String> {
    if report.gone.is_empty() {
        return None;
    }
    let mut names = report.gone.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    if let more @ 1.. = report.gone.len().saturating_sub(most) {
        names.push_str(&format!(" and {} more", number(more)));
    }
    Some(format!("Not the app's targets any more, and not looked at: {names}"))
}

/// What a reader should do next.
pub(super) fn next_steps(report: &Report) -> Vec<Words> {
    let mut steps = Vec::new();
    match report.redeploys.len() {
        0 => {}
        1 => steps.push(vec![said("A rollout brings 1 target its last good release again.")]),
        count => steps.push(vec![said(format!("A rollout brings {} their last good release again.", targets(count)))]),
    }
    if !report.is_closed() {
        return steps;
    }
    let drifted = report.targets.iter().find(|target| target.value == Some(Answer::Drifted));
    if let Some(target) = drifted {
        steps.push(vec![
            said("See all of it with "),
            Word::Code(format!("manifold drift show {}", report.check)),
            said(", and where a target differs with "),
            Word::Code(format!("manifold drift diff {} --app {}", target.key, report.app)),
        ]);
        steps.push(vec![
            said("If it is meant: "),
            Word::Code(format!("manifold drift accept {} --app {}", target.key, report.app)),
            said("; if it is meant for a while: "),
            Word::Code(format!("manifold drift ignore {} --app {}", target.key, report.app)),
        ]);
    }
    let lines = || report.targets.iter().flat_map(|target| target.aspects.values());
    let is_denied =
        |finding: &Finding| finding.words.contains("AccessDenied") || finding.words.contains("not authorized");
    if lines().any(|line| line.value == Answer::Unknown && line.findings.iter().any(is_denied)) {
        steps.push(vec![
            said("A role is missing or may not look: what is wrong with it says "),
            Word::Code(format!("manifold doctor --app {}", report.app)),
        ]);
    }
    steps
}

/// A part of what a check found, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Drift that is new, or another one than before.
    Drift,
    /// What is not known and was, or was for another reason than drift that can't be seen any more.
    Unknown,
    /// In sync again.
    Resolved,
    /// As it was at the last check.
    Standing,
}

impl Part {
    /// All of them, in order.
    pub(super) const ALL: [Self; 4] = [Self::Drift, Self::Unknown, Self::Resolved, Self::Standing];

    /// Its title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Drift => "New",
            Self::Unknown => "Not known",
            Self::Resolved => "In sync again",
            Self::Standing => "As before",
        }
    }

    fn of(line: &AspectLine) -> Option<Self> {
        match (&line.change, line.value) {
            (Some(Change::Persisting { .. }), _) => Some(Self::Standing),
            (Some(Change::Resolved { .. }), _) => Some(Self::Resolved),
            (Some(Change::New | Change::Other { .. }) | None, Answer::Drifted) => Some(Self::Drift),
            (Some(Change::New | Change::Other { .. }) | None, Answer::Unknown) => Some(Self::Unknown),
            (Some(Change::New | Change::Other { .. }) | None, Answer::InSync) => None,
        }
    }
}

/// Targets that were found to be alike.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// In which comparisons.
    pub(super) aspects: Vec<Aspect>,
    /// How they came out.
    pub(super) value: Answer,
    /// In words, each once. Untrusted.
    pub(super) words: Vec<String>,
    /// The targets, by what exactly was found.
    pub(super) clusters: Vec<Cluster<'a>>,
}

/// Targets of which exactly the same was found.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    /// What was found.
    pub(super) findings: Vec<&'a Finding>,
    /// Whether who did it, and when, is told with each target; else with each finding.
    pub(super) blames_places: bool,
    /// Where.
    pub(super) places: Vec<Place<'a>>,
}

/// A target in a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Which.
    pub(super) target: &'a TargetLine,
    /// Its comparison, the first one if several are alike.
    pub(super) line: &'a AspectLine,
}

impl Group<'_> {
    /// How many targets.
    pub(super) fn size(&self) -> usize {
        self.clusters.iter().map(|cluster| cluster.places.len()).sum()
    }

    /// `definition: differs from its baseline`.
    pub(super) fn title(&self) -> String {
        let aspects: Vec<&str> = self.aspects.iter().map(|aspect| aspect.name()).collect();
        let mut words = self.words.iter().take(MOST_WORDS).map(String::as_str).collect::<Vec<_>>().join("; ");
        if let more @ 1.. = self.words.len().saturating_sub(MOST_WORDS) {
            words.push_str(&format!("; +{} more findings", number(more)));
        }
        let aspects = aspects.join(", ");
        match self.value {
            Answer::Drifted => format!("{aspects}: {words}"),
            Answer::Unknown => format!("{aspects} unknown: {words}"),
            Answer::InSync => format!("{aspects} in sync again, after: {words}"),
        }
    }

    /// Since when the first of them has stood, and whether that is so of all.
    pub(super) fn since(&self) -> Option<(Timestamp, bool)> {
        let places = self.clusters.iter().flat_map(|cluster| &cluster.places);
        let since: BTreeSet<Timestamp> = places.filter_map(|place| place.since()).collect();
        since.first().map(|first| (*first, since.len() == 1))
    }
}

impl Place<'_> {
    /// Since when it has stood, or had.
    pub(super) fn since(&self) -> Option<Timestamp> {
        match self.line.change.as_ref()? {
            Change::New => None,
            Change::Other { since, .. } | Change::Persisting { since } | Change::Resolved { since, .. } => Some(*since),
        }
    }

    /// Who did it, and when, if that is told with the target.
    pub(super) fn blame(&self) -> Option<Blame<'_>> {
        Blame::common(&self.line.findings)
    }

    /// What is to be said of it besides where it is. What is untrusted is in [`Word::Said`].
    pub(super) fn words(&self, blames: bool) -> Words {
        let mut words = match blames {
            true => self.blame().map(Blame::words).unwrap_or_default(),
            false => Vec::new(),
        };
        match &self.line.change {
            None | Some(Change::New) => {}
            Some(Change::Other { since, was }) => {
                let was = if was.is_empty() { "not in sync" } else { was.as_str() };
                words.extend([said(", since "), Word::At(*since), said(format!(" it was: {was}"))]);
            }
            Some(Change::Persisting { since }) => words.extend([said(", stands since "), Word::At(*since)]),
            Some(Change::Resolved { since, .. }) => {
                words.extend([said(", it had not been since "), Word::At(*since)]);
            }
        }
        words
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Blame<'a> {
    by: Option<&'a str>,
    at: Option<Timestamp>,
}

impl<'a> Blame<'a> {
    /// Of a finding.
    pub(super) fn of(finding: &'a Finding) -> Option<Self> {
        let Finding { by, at, .. } = finding;
        (by.is_some() || at.is_some()).then_some(Self { by: by.as_deref(), at: *at })
    }

    /// Of several findings, if those that have one have the same.
    fn common(findings: &'a [Finding]) -> Option<Self> {
        let blames: BTreeSet<Self> = findings.iter().filter_map(Self::of).collect();
        blames.first().copied().filter(|_| blames.len() == 1)
    }

    /// `, by jane, at 2026-11-28T06:00:00Z`.
    pub(super) fn words(self) -> Words {
        let by = self.by.map(|by| said(format!(", by {by}")));
        let at = self.at.into_iter().flat_map(|at| [said(", at "), Word::At(at)]);
        by.into_iter().chain(at).collect()
    }
}

/// Words that are not of one target alone.
fn shared(words: &str, key: &TargetKey) -> String {
    definition::spelled(words, key)
}

/// How many of a group's words its title tells.
const MOST_WORDS: usize = 3;

/// Whether a finding says what should be there, or what is.
fn has_values(finding: &Finding) -> bool {
    finding.expected.is_some() || finding.found.is_some()
}

/// Whether a finding only says that there are more.
fn is_rest(finding: &Finding) -> bool {
    finding.path.as_deref().is_some_and(|path| path.ends_with('…'))
}

/// What a comparison is grouped by.
fn words_of(line: &AspectLine, spell: impl Fn(&str) -> String) -> Vec<String> {
    let mut words: Vec<String> = match &line.change {
        Some(Change::Resolved { was, .. }) => vec![spell(was)],
        Some(Change::New | Change::Other { .. } | Change::Persisting { .. }) | None => {
            let own = line.findings.iter().filter(|finding| !is_rest(finding) && !finding.is_unseen);
            let own: Vec<String> = own.map(|finding| spell(&finding.words)).collect();
            match own.is_empty() {
                true => line.findings.iter().map(|finding| spell(&finding.words)).collect(),
                false => own,
            }
        }
    };
    let mut seen = BTreeSet::new();
    words.retain(|word| !word.is_empty() && seen.insert(word.clone()));
    if words.is_empty() {
        words.push("for no reason that is known".to_owned());
    }
    words
}

/// What exactly was found: places with the same are told together.
type Sense<'a> = (Vec<(&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>)>, Option<Vec<Option<Blame<'a>>>>);

fn sense(line: &AspectLine) -> Sense<'_> {
    // Of an unknown comparison the words say why, and they may name the target.
    let findings = line.findings.iter().filter(|finding| line.value == Answer::Drifted || has_values(finding));
    let senses =
        findings.map(|f| (f.words.as_str(), f.path.as_deref(), f.expected.as_deref(), f.found.as_deref())).collect();
    let blames: Vec<Option<Blame<'_>>> = line.findings.iter().map(Blame::of).collect();
    let is_told_with_places = Blame::common(&line.findings).is_some() || blames.iter().all(Option::is_none);
    (senses, (!is_told_with_places).then_some(blames))
}

/// Comparisons of a target of which the same is to be said, and the first of them.
type Alike<'a> = (Vec<Aspect>, &'a AspectLine);

/// What was found, grouped; the largest groups first.
pub(super) fn groups(report: &Report, part: Part) -> Vec<Group<'_>> {
    let mut grouped: BTreeMap<(Answer, Vec<Aspect>, Vec<String>), Vec<Place<'_>>> = BTreeMap::new();
    for target in &report.targets {
        // What is said of several comparisons alike is said once.
        let mut alike: BTreeMap<(Answer, Vec<String>), Alike<'_>> = BTreeMap::new();
        for (aspect, line) in target.aspects.iter().filter(|(_, line)| Part::of(line) == Some(part)) {
            let words = words_of(line, |words| shared(words, &target.key));
            alike.entry((line.value, words)).or_insert_with(|| (Vec::new(), line)).0.push(*aspect);
        }
        for ((value, words), (aspects, line)) in alike {
            grouped.entry((value, aspects, words)).or_default().push(Place { target, line });
        }
    }
    let mut groups: Vec<Group<'_>> = grouped
        .into_iter()
        .map(|((value, aspects, words), places)| {
            let words = match places.as_slice() {
                [only] => words_of(only.line, str::to_owned),
                _ => words,
            };
            Group { aspects, value, words, clusters: clusters(places) }
        })
        .collect();
    groups.sort_by_key(|group| (group.value, std::cmp::Reverse(group.size())));
    groups
}

fn clusters(places: Vec<Place<'_>>) -> Vec<Cluster<'_>> {
    let mut clustered: BTreeMap<Sense<'_>, Vec<Place<'_>>> = BTreeMap::new();
    for place in places {
        clustered.entry(sense(place.line)).or_default().push(place);
    }
    let mut clusters: Vec<Cluster<'_>> = clustered
        .into_iter()
        .map(|((_, blames), places)| Cluster {
            findings: places.first().map(|place| place.line.findings.iter().collect()).unwrap_or_default(),
            blames_places: blames.is_none(),
            places,
        })
        .collect();
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.places.len()));
    clusters
}

impl Cluster<'_> {
    /// What a finding is shown with besides its path and values: its words, if the group's words do not tell them.
    pub(super) fn words_of<'f>(&self, group: &Group<'_>, finding: &'f Finding) -> Option<&'f str> {
        let is_told = match group.words.as_slice() {
            [only] => *only == finding.words,
            // Path and values say which of them it is.
            several => has_values(finding) && several.iter().take(MOST_WORDS).any(|words| *words == finding.words),
        };
        (!is_told).then_some(finding.words.as_str())
    }

    /// The findings that say more than the group's words.
    pub(super) fn shown(&self, group: &Group<'_>) -> Vec<&Finding> {
        let says_more = |finding: &&&Finding| match group.value {
            Answer::Drifted => finding.path.is_some() || self.words_of(group, finding).is_some(),
            // Why something is not known the group's words say.
            Answer::Unknown | Answer::InSync => has_values(finding),
        };
        self.findings.iter().filter(says_more).copied().collect()
    }
}

impl Group<'_> {
    /// What a finding found where, each already as its renderer spells it: `30 → 60`.
    pub(super) fn values(path: Option<&str>, expected: Option<String>, found: Option<String>) -> Option<String> {
        match (expected, found) {
            (None, None) => None,
            // Which execution it is; none was expected.
            (None, Some(found)) if path.is_some_and(|path| path.starts_with("/executions/")) => Some(found),
            (None, Some(found)) => Some(format!("(nothing) → {found}")),
            (Some(expected), None) => Some(format!("{expected} → (nothing)")),
            (Some(expected), Some(found)) => Some(format!("{expected} → {found}")),
        }
    }
}
