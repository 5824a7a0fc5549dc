//! `plan --change-sets`: what a release would do to stacks, as CloudFormation tells it before.

use std::collections::BTreeMap;

use anyhow::Result;
use manifold_core::changes::{Change, Previewed, ToPreview, objection};
use manifold_core::checkup::Tried;
use manifold_core::engine::{Replacements, Work};
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::Reason;
use manifold_core::summary::text;
use manifold_core::time::Span;
use serde_json::{Value, json};

use super::site::Ahead;
use super::{EXIT_REFUSED, EXIT_UNKNOWN};
use crate::input::advise;
use crate::words::counted;

/// How long change sets are waited for. Most are made in half a minute; nested stacks and macros take longer.
const LONGEST: Span = Span::from_minutes(3);
/// How long it is tried to take them away. None can be while it is being made.
const LONGEST_AWAY: Span = Span::from_minutes(1);
/// How many targets, and how many changes of one change set, are named before the rest is counted.
const MOST_NAMED: usize = 20;

/// What CloudFormation says about the stacks of a plan.
pub(super) struct Foreseen<'a> {
    stacks: Vec<(&'a PlannedTarget, Replacements, Previewed)>,
    /// Of which targets a change set may be left, and why.
    left: Vec<String>,
}

/// How a target's change set stands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Current,
    Executed,
    New,
    Waits,
    Unknown,
    Refused,
}

/// What is the same for every target of a group.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sight {
    standing: Standing,
    /// What becomes of them.
    words: String,
    /// What it would do, line by line.
    details: Vec<String>,
}

/// The targets of a plan that are stacks, and whether what may be lost there may be lost.
fn stacks(targets: &[PlannedTarget]) -> impl Iterator<Item = (&PlannedTarget, Replacements)> {
    targets.iter().filter_map(|target| match &target.work {
        Some(Work::Stack(work)) => Some((target, work.replacements)),
        Some(Work::Build { .. } | Work::Deployment(_)) | None => None,
    })
}

/// Has the change sets of a plan's stacks made, and waits for them. None of them is left.
pub(super) async fn foresee<'a, S: Ahead>(site: &S, run: &RunId, targets: &'a [PlannedTarget]) -> Result<Foreseen<'a>> {
    let mut stacks: Vec<_> = stacks(targets)
        .map(|(target, replacements)| (target, replacements, Previewed::Pending("it was not asked for".to_owned())))
        .collect();
    let until = site.now().plus(LONGEST);
    loop {
        let open: Vec<usize> = (0..stacks.len()).filter(|index| is_pending(&stacks[*index].2)).collect();
        if open.is_empty() {
            return Ok(Foreseen { stacks, left: Vec::new() });
        }
        let targets = open.iter().map(|index| stacks[*index].0.clone()).collect();
        let asked = ToPreview { run: run.clone(), targets };
        if site.is_to_stop() || site.now() >= until {
            let left = take_away(site, asked).await?;
            return Ok(Foreseen { stacks, left });
        }
        let told = match site.preview(asked.clone()).await {
            Ok(told) => told,
            Err(error) => {
                return Err(match take_away(site, asked).await {
                    Ok(left) if left.is_empty() => error,
                    Ok(left) => advise(error, left.join("; ")),
                    Err(_) => advise(
                        error,
                        "change sets named manifold-plan-… may be left; a plan of the same release takes them away",
                    ),
                });
            }
        };
        for (index, previewed) in open.into_iter().zip(told) {
            stacks[index].2 = previewed;
        }
        if stacks.iter().any(|(_, _, previewed)| is_pending(previewed)) {
            site.pass().await?;
        }
    }
}

/// Takes change sets away for which nobody waits any more. Says which ones may be left, and why.
async fn take_away<S: Ahead>(site: &S, mut asked: ToPreview) -> Result<Vec<String>> {
    let until = site.now().plus(LONGEST_AWAY);
    loop {
        let told = site.discard(asked.clone()).await?;
        let left: Vec<(PlannedTarget, String)> = asked
            .targets
            .into_iter()
            .zip(told)
            .filter_map(|(target, told)| match told {
                Tried::Done(()) => None,
                Tried::Refused { code, message } => Some((target, format!("{code}: {message}"))),
                Tried::Unanswered { reason } => Some((target, reason)),
                Tried::NotTried => Some((target, "it was not tried".to_owned())),
            })
            .collect();
        if left.is_empty() || site.now() >= until {
            let words = |(target, why): (PlannedTarget, String)| {
                let (name, place) = (target.subject.words(), format!("{}/{}", target.account_name, target.key.region));
                format!("a change set manifold-plan-… of {name} in {place} may be left, to be deleted by hand: {why}")
            };
            return Ok(left.into_iter().map(words).collect());
        }
        asked.targets = left.into_iter().map(|(target, _)| target).collect();
        site.pass().await?;
    }
}

const fn is_pending(previewed: &Previewed) -> bool {
    match previewed {
        Previewed::Pending(_) => true,
        Previewed::New(_) | Previewed::Current | Previewed::Changes(_) | Previewed::Busy(_) | Previewed::Fails(_) => {
            false
        }
    }
}

/// What becomes of a target.
fn judge(previewed: &Previewed, replacements: Replacements) -> Sight {
    let sight = |standing, words: &str, details| Sight { standing, words: words.to_owned(), details };
    let of = |standing, reason: &Reason| sight(standing, &reason.cause, reason.detail.iter().cloned().collect());
    match previewed {
        Previewed::Current => sight(Standing::Current, "no changes, so that nothing is started", Vec::new()),
        Previewed::Changes(changes) => match objection(changes, replacements) {
            None => sight(Standing::Executed, "would be executed", lines(changes)),
            Some(_) => sight(
                Standing::Refused,
                "would not be executed, as something would be replaced or removed; \"replacements: allow\" lets it be",
                lines(changes),
            ),
        },
        Previewed::New(kinds) => sight(Standing::New, "a new stack, with resources of these types", kinds.clone()),
        Previewed::Busy(reason) => of(Standing::Waits, reason),
        Previewed::Fails(reason) => of(Standing::Refused, reason),
        Previewed::Pending(why) => sight(Standing::Unknown, "not known in time", vec![why.clone()]),
    }
}

/// What changes, with what may be lost first.
fn lines(changes: &[Change]) -> Vec<String> {
    let (kept, lost): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.effect.keeps());
    let mut lines: Vec<String> = lost.into_iter().chain(kept).map(Change::to_string).collect();
    if let more @ 1.. = lines.len().saturating_sub(MOST_NAMED) {
        lines.truncate(MOST_NAMED);
        lines.push(format!("and {more} more"));
    }
    lines
}

const fn symbol(standing: Standing) -> &'static str {
    match standing {
        Standing::Current => "–",
        Standing::Executed => "✔",
        Standing::New => "○",
        Standing::Waits => "…",
        Standing::Unknown => "?",
        Standing::Refused => "✖",
    }
}

impl Foreseen<'_> {
    /// The exit status of a plan.
    pub(super) fn exit_status(&self) -> u8 {
        let standings = self.stacks.iter().map(|(_, replacements, seen)| judge(seen, *replacements).standing);
        match standings.max() {
            Some(Standing::Refused) => EXIT_REFUSED,
            Some(Standing::Unknown) => EXIT_UNKNOWN,
            Some(Standing::Current | Standing::Executed | Standing::New | Standing::Waits) | None => 0,
        }
    }

    /// Targets to which the same happens are told together, the worst last.
    pub(super) fn draw(&self) -> Vec<String> {
        let mut groups: BTreeMap<Sight, Vec<String>> = BTreeMap::new();
        for (target, replacements, previewed) in &self.stacks {
            let place = format!("{}/{}", target.account_name, target.key.region);
            groups.entry(judge(previewed, *replacements)).or_default().push(place);
        }
        let mut lines = vec![String::new(), "Change sets:".to_owned()];
        if groups.is_empty() {
            lines.push("– none: no target is a stack".to_owned());
        }
        for (Sight { standing, words, details }, mut places) in groups {
            let of = places.len();
            if let more @ 1.. = places.len().saturating_sub(MOST_NAMED) {
                places.truncate(MOST_NAMED);
                places.push(format!("and {more} more"));
            }
            lines.push(format!("{} {}: {}", symbol(standing), counted(of, "target"), text::plain(&words, 300)));
            lines.push(format!("    in {}", places.join(", ")));
            lines.extend(details.iter().map(|detail| format!("    {}", text::plain(detail, 300))));
        }
        lines.extend(self.left.iter().map(|left| format!("! {}", text::plain(left, 300))));
        lines
    }

    /// What is said of change sets that may be left.
    pub(super) fn left(&self) -> &[String] {
        &self.left
    }

    /// What is said of a target, in full.
    pub(super) fn document(&self, target: &TargetKey) -> Option<Value> {
        let (_, replacements, previewed) = self.stacks.iter().find(|(planned, _, _)| planned.key == *target)?;
        Some(json!({
            "told": previewed,
            "executed": matches!(judge(previewed, *replacements).standing, Standing::Executed | Standing::New),
        }))
    }
}

/// How change sets are reviewed, where nobody asked what they would do.
pub(super) fn hint(app: &str, targets: &[PlannedTarget]) -> Option<String> {
    let (refused, allowed): (Vec<_>, Vec<_>) =
        stacks(targets).partition(|(_, replacements)| *replacements == Replacements::Refuse);
    let words = match (refused.len(), allowed.len()) {
        (0, 0) => return None,
        (_, 0) => "one that would replace or remove resources is not executed",
        (0, _) => "one may replace and remove resources",
        (_, _) => "whether one may replace or remove resources is said for each",
    };
    Some(format!(
        "Change sets are made and reviewed when their targets have their turn: {words}. What they would do: manifold \
         plan {app} --change-sets."
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use anyhow::bail;
    use manifold_core::engine::StackWork;
    use manifold_core::run::ReasonSource;
    use manifold_core::time::Timestamp;

    use super::super::embedded::at_once;
    use super::*;

    /// A hub whose change sets take their time.
    struct Slow {
        now: Cell<Timestamp>,
        /// When each is made, by the index of its target.
        ready: Vec<Timestamp>,
        /// Somebody presses Ctrl-C then.
        stop: Option<Timestamp>,
        /// The function is away from then on.
        away: Option<Timestamp>,
        /// Until then none is deleted.
        fixed: Timestamp,
        asked: RefCell<Vec<usize>>,
        discarded: RefCell<Vec<u32>>,
    }

    impl Slow {
        fn new(ready: &[i64]) -> Self {
            let ready = ready.iter().map(|seconds| at(*seconds)).collect();
            Self {
                now: Cell::new(at(0)),
                ready,
                stop: None,
                away: None,
                fixed: at(0),
                asked: RefCell::default(),
                discarded: RefCell::default(),
            }
        }

        fn foresee<'a>(&self, targets: &'a [PlannedTarget]) -> Result<Foreseen<'a>> {
            at_once(foresee(self, &"web-0ec813e6510259b9".parse()?, targets))
        }
    }

    impl Ahead for Slow {
        async fn preview(&self, asked: ToPreview) -> Result<Vec<Previewed>> {
            if self.away.is_some_and(|away| away <= self.now()) {
                bail!("the function is away");
            }
            self.asked.borrow_mut().push(asked.targets.len());
            let told = |target: &PlannedTarget| match self.ready[target.index as usize] <= self.now() {
                true => Previewed::Current,
                false => Previewed::Pending("it is being made".to_owned()),
            };
            Ok(asked.targets.iter().map(told).collect())
        }

        async fn discard(&self, asked: ToPreview) -> Result<Vec<Tried<()>>> {
            if self.now() < self.fixed {
                let why = Tried::Unanswered { reason: "it is being made".to_owned() };
                return Ok(vec![why; asked.targets.len()]);
            }
            self.discarded.borrow_mut().extend(asked.targets.iter().map(|target| target.index));
            Ok(vec![Tried::Done(()); asked.targets.len()])
        }

        fn is_to_stop(&self) -> bool {
            self.stop.is_some_and(|stop| stop <= self.now())
        }

        async fn pass(&self) -> Result<()> {
            self.now.set(self.now().plus(Span::from_seconds(2)));
            Ok(())
        }

        fn now(&self) -> Timestamp {
            self.now.get()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn targets(count: u32) -> Vec<PlannedTarget> {
        let target = |index| PlannedTarget {
            index,
            wave: 0,
            key: TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
            account_name: "dev".to_owned(),
            role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
            external_id: None,
            subject: "cloudformation:web".parse().unwrap(),
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            work: Some(Work::Stack(Box::new(StackWork {
                template: "s3://artifacts/web/t.yaml".parse().unwrap(),
                parameters: None,
                capabilities: Vec::new(),
                role: None,
                replacements: Replacements::Refuse,
            }))),
            looks: None,
        };
        (0..count).map(target).collect()
    }

    #[test]
    fn whoever_is_not_ready_is_asked_again_and_nobody_else() {
        let (hub, targets) = (Slow::new(&[0, 5, 3]), targets(3));
        let foreseen = hub.foresee(&targets).unwrap();
        assert_eq!(*hub.asked.borrow(), [3, 2, 2, 1]);
        assert!(hub.discarded.borrow().is_empty());
        assert_eq!(foreseen.exit_status(), 0);
    }

    #[test]
    fn what_is_not_made_in_time_is_taken_away_and_not_known() {
        let (hub, targets) = (Slow::new(&[0, 10_000]), targets(2));
        let foreseen = hub.foresee(&targets).unwrap();
        assert_eq!(*hub.discarded.borrow(), [1]);
        assert_eq!(hub.now(), at(0).plus(LONGEST));
        assert_eq!(foreseen.exit_status(), EXIT_UNKNOWN);
        let told = foreseen.draw().join("\n");
        assert!(told.contains("? 1 target: not known in time\n    in dev/eu-west-1\n    it is being made"), "{told}");
    }

    #[test]
    fn what_is_there_is_taken_away_at_an_interruption_and_when_the_function_is_away() {
        let (hub, targets) = (Slow { stop: Some(at(4)), ..Slow::new(&[0, 10_000]) }, targets(2));
        assert_eq!(hub.foresee(&targets).unwrap().exit_status(), EXIT_UNKNOWN);
        assert_eq!((hub.now(), hub.discarded.borrow().as_slice()), (at(4), [1].as_slice()));
        let hub = Slow { away: Some(at(4)), ..Slow::new(&[10_000, 0]) };
        assert!(hub.foresee(&targets).err().unwrap().to_string().contains("away"));
        assert_eq!(*hub.discarded.borrow(), [0]);
    }

    #[test]
    fn what_can_not_be_deleted_yet_is_deleted_later_or_told() {
        let slow = |fixed| Slow { stop: Some(at(2)), fixed: at(fixed), ..Slow::new(&[10_000, 10_000]) };
        let (hub, targets) = (slow(9), targets(2));
        let foreseen = hub.foresee(&targets).unwrap();
        assert_eq!((hub.now(), foreseen.left.len()), (at(10), 0));
        assert_eq!(*hub.discarded.borrow(), [0, 1]);
        let hub = slow(10_000);
        let told = hub.foresee(&targets).unwrap().draw().join("\n");
        let left = "! a change set manifold-plan-… of stack web in dev/eu-west-1 may be left, to be deleted by hand: it is \
                    being made";
        assert!(told.contains(left), "{told}");
        assert_eq!(hub.now(), at(2).plus(LONGEST_AWAY));
    }

    #[test]
    fn the_worst_decides_and_many_changes_are_counted() {
        let targets = targets(3);
        let reason = Reason {
            cause: "Stack web is busy".to_owned(),
            detail: Some("UPDATE_IN_PROGRESS".to_owned()),
            link: None,
            source: ReasonSource::Manifold,
            attempt: 0,
        };
        let adds: Vec<Change> = (0..25)
            .map(|index| Change {
                effect: manifold_core::changes::Effect::Adds,
                resource: format!("Q{index:02}"),
                kind: None,
            })
            .collect();
        let seen = |told: [Previewed; 3]| Foreseen {
            stacks: targets.iter().zip(told).map(|(target, told)| (target, Replacements::Refuse, told)).collect(),
            left: Vec::new(),
        };
        let kinds = vec!["AWS::SQS::Queue".to_owned()];
        let good = seen([Previewed::Changes(adds), Previewed::New(kinds), Previewed::Busy(reason.clone())]);
        assert_eq!(good.exit_status(), 0);
        let told = good.draw().join("\n");
        for words in [
            "✔ 1 target: would be executed",
            "    adds Q19\n    and 5 more\n",
            "○ 1 target: a new stack, with resources of these types\n    in dev/eu-west-1\n    AWS::SQS::Queue",
            "… 1 target: Stack web is busy",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let unknown = Previewed::Pending("throttled".to_owned());
        assert_eq!(seen([Previewed::Current, Previewed::Current, unknown.clone()]).exit_status(), EXIT_UNKNOWN);
        assert_eq!(seen([Previewed::Fails(reason), Previewed::Current, unknown]).exit_status(), EXIT_REFUSED);
    }
}
