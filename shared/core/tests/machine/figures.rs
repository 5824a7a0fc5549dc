//! Pipeline figures: what a step is worth measuring, and what many runs say together.

use manifold_core::control::{Origin, Via, Who};
use manifold_core::event::PipelineState::{Failed, Resumed, Started, Succeeded};
use manifold_core::figures::history::{History, Share, Spread, Stored};
use manifold_core::figures::{Ended, Failing, Figure, Measure};
use manifold_core::plan::Plan;
use manifold_core::release::{Release, Revision, Stage};
use manifold_core::run::{AppQueue, Closing, Ending, Run, Verdict, Wanted};
use manifold_core::time::{Span, Timestamp};

use super::play::{Play, app, plan, release, released_at, run_id};

fn minutes(minutes: i64) -> Span {
    Span::from_minutes(minutes)
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(released_at().as_millis() + minutes * 60_000)
}

fn revision(authored_at: Option<Timestamp>) -> Option<Revision> {
    Some(Revision {
        id: "4f3c2b1a".to_owned(),
        action: "Source".to_owned(),
        message: None,
        url: None,
        author: None,
        repository: None,
        reference: None,
        authored_at,
    })
}

fn who() -> Who {
    Who { via: Via::Cli, id: "alice".to_owned(), name: None }
}

/// A run of a release, or of another origin, opened 30 s after its release.
fn opened(source: &str, plan: Plan, queue: &AppQueue, release: Release, origin: Origin) -> Play {
    let at = release.released_at.plus(Span::from_seconds(30));
    let wanted = Wanted { run: run_id(source), app: app(), release: release.clone(), origin, plan: &plan };
    let step = Run::open(wanted, queue.clone(), at).run.finish();
    assert_eq!(step.figures, [], "opening is no end");
    let mut play = Play::open(source, plan, queue.clone(), release.released_at);
    play.head = step.head.unwrap();
    play.queue = step.queue.unwrap_or_else(|| queue.clone());
    play
}

/// What was measured: name and value.
fn told(figures: &[Figure]) -> Vec<(Measure, f64)> {
    figures.iter().map(|figure| (figure.measure, figure.value())).collect()
}

impl Play {
    /// A target that takes three minutes and ends so.
    fn finishes(&mut self, index: u32, state: manifold_core::event::PipelineState) -> Vec<(Measure, f64)> {
        assert_eq!(self.claim(index).step.figures, []);
        assert_eq!(self.started(index, 1).step.figures, []);
        assert_eq!(self.observe(index, Started).step.figures, []);
        self.wait(minutes(3));
        let first = self.observe(index, state.clone());
        let again = self.observe(index, state);
        assert_eq!(again.step.figures, [], "what is told again is measured again");
        told(&first.step.figures)
    }

    fn stored(&self) -> Stored {
        Stored { head: self.head.clone(), targets: self.targets.values().cloned().collect() }
    }
}

/// A release whose commit was authored an hour before, and whose pipeline took ten minutes.
fn told_release(source: &str, released: Timestamp) -> Release {
    let before = |minutes: i64| Timestamp::from_millis(released.as_millis() - minutes * 60_000);
    let stage = |name: &str, began, ended| Stage { name: name.to_owned(), began, ended };
    let stages = vec![stage("Source", before(10), before(9)), stage("Build", before(9), released)];
    Release { revision: revision(Some(before(60))), started_at: Some(before(10)), stages, ..release(source, released) }
}

fn one() -> Plan {
    plan(&[(1, 1, 0)], 1)
}

#[test]
fn a_change_that_gets_everywhere_is_measured_once_at_its_verdict() {
    let release = told_release("this", released_at());
    let mut play = opened("this", plan(&[(1, 1, 0), (1, 1, 0)], 1), &AppQueue::default(), release, Origin::Release);
    assert_eq!(play.finishes(0, Succeeded), [(Measure::TargetDuration, 180.0)]);
    let figures = play.finishes(1, Succeeded);
    // 30 s to open, twice three minutes; an hour since the commit, ten minutes since the push.
    let rolled_out = 30.0 + 360.0;
    assert_eq!(
        figures,
        [
            (Measure::TargetDuration, 180.0),
            (Measure::Deployments, 1.0),
            (Measure::FailedDeployments, 0.0),
            (Measure::FeedbackTime, 600.0 + rolled_out),
            (Measure::StageDuration, 60.0),
            (Measure::StageDuration, 540.0),
            (Measure::LeadTime, 3600.0 + rolled_out),
        ]
    );
    assert_eq!(play.queue.failing, None);
}

#[test]
fn without_a_believable_commit_time_lead_time_is_another_figure_counted_from_the_release() {
    let known = told_release("this", released_at());
    let late = Some(released_at().plus(minutes(1)));
    let cases = [
        (Release { revision: None, ..known.clone() }, 600.0),
        (Release { revision: revision(None), ..known.clone() }, 600.0),
        // By a clock that is ahead: a commit is not younger than its release.
        (Release { revision: revision(late), ..known.clone() }, 600.0),
        (Release { revision: None, started_at: None, ..known.clone() }, 0.0),
        (Release { revision: None, started_at: late, ..known }, 0.0),
    ];
    for (release, since_push) in cases {
        let mut play = opened("this", one(), &AppQueue::default(), release.clone(), Origin::Release);
        let figures = play.finishes(0, Succeeded);
        assert!(figures.contains(&(Measure::LeadTimeFromRelease, since_push + 210.0)), "{figures:?} of {release:?}");
        assert!(figures.iter().all(|(measure, _)| *measure != Measure::LeadTime), "{figures:?}");
    }
}

#[test]
fn the_first_failure_is_the_first_answer_and_the_verdict_none() {
    let release = told_release("this", released_at());
    // One may fail, so that the run goes on.
    let mut play = opened("this", plan(&[(3, 1, 2)], 1), &AppQueue::default(), release, Origin::Release);
    assert_eq!(play.finishes(0, Failed), [(Measure::FeedbackTime, 600.0 + 30.0 + 180.0)]);
    assert_eq!(play.finishes(1, Failed), []);
    assert_eq!(play.queue.failing, None, "the run may still be mended before its verdict");
    let figures = play.finishes(2, Succeeded);
    assert_eq!(play.verdict(), Some(Verdict::CompletedWithFailures));
    let counted = |wanted| figures.iter().filter(|(measure, _)| *measure == wanted).map(|(_, value)| *value).next();
    assert_eq!((counted(Measure::Deployments), counted(Measure::FailedDeployments)), (Some(1.0), Some(1.0)));
    assert_eq!(counted(Measure::FailedRuns), Some(1.0));
    assert_eq!((counted(Measure::FeedbackTime), counted(Measure::LeadTime)), (None, None), "{figures:?}");
    let failing = Failing { run: run_id("this"), opened_at: play.head.opened_at, since: play.now };
    assert_eq!(play.queue.failing, Some(failing));
}

#[test]
fn a_failure_lasts_until_the_next_good_verdict_of_the_app() {
    let mut first = opened("a", one(), &AppQueue::default(), told_release("a", at(0)), Origin::Release);
    first.finishes(0, Failed);
    let failed_at = first.now;
    // Another change that fails does not begin another failure.
    let mut second = opened("b", one(), &first.queue, told_release("b", at(20)), Origin::Release);
    second.finishes(0, Failed);
    assert_eq!(second.queue.failing.as_ref().map(|failing| failing.since), Some(failed_at));
    let back = Origin::Rollback { of: run_id("b"), by: who() };
    let mut third = opened("c", one(), &second.queue, told_release("c", at(40)), back);
    let figures = third.finishes(0, Succeeded);
    let lasted = third.now.since(failed_at).as_millis();
    assert_eq!(figures, [(Measure::TargetDuration, 180.0), (Measure::TimeToRestore, (lasted / 1000) as f64)]);
    assert_eq!(third.queue.failing, None);
    // What comes late of the run that failed begins nothing.
    first.queue = third.queue.clone();
    assert_eq!(first.observe(0, Failed).step.figures, []);
    assert_eq!(first.queue.failing, None);
}

#[test]
fn what_brings_drift_back_and_what_was_opened_before_restores_nothing() {
    let mut failed = opened("b", one(), &AppQueue::default(), told_release("b", at(20)), Origin::Release);
    failed.finishes(0, Failed);
    let drift = Origin::Restore { of: run_id("check"), by: who() };
    for (released, origin) in [(at(40), drift), (at(0), Origin::Retry { of: run_id("a"), by: who() })] {
        let mut other = opened("c", one(), &failed.queue, told_release("c", released), origin);
        other.head.phase = manifold_core::run::Phase::Active { since: other.now };
        let figures = other.finishes(0, Succeeded);
        assert!(figures.iter().all(|(measure, _)| *measure == Measure::TargetDuration), "{figures:?}");
        assert_eq!(other.queue.failing, failed.queue.failing);
    }
}

#[test]
fn a_change_that_is_mended_in_its_own_account_is_one_deployment_that_failed_and_was_restored() {
    let mut play = opened("this", one(), &AppQueue::default(), told_release("this", at(0)), Origin::Release);
    play.finishes(0, Failed);
    play.wait(minutes(10));
    assert_eq!(play.observe_try(0, Resumed, Some(2)).step.figures, []);
    play.wait(minutes(2));
    let mended = play.observe_try(0, Succeeded, Some(2));
    let figures = told(&mended.step.figures);
    assert!(figures.contains(&(Measure::TimeToRestore, 720.0)), "{figures:?}");
    assert!(figures.contains(&(Measure::LeadTime, 3600.0 + 210.0 + 720.0)), "{figures:?}");
    let again = [Measure::Deployments, Measure::FailedDeployments, Measure::FailedRuns, Measure::FeedbackTime];
    assert!(figures.iter().all(|(measure, _)| !again.contains(measure)), "{figures:?}");
    let history = History::of(app(), at(-60), at(600), &[play.stored()]);
    assert_eq!((history.deployments, history.failed, history.rolled_back), (1, 1, 0));
    assert_eq!(history.time_to_restore, Spread::of(vec![minutes(12)]));
    assert_eq!(history.not_restored, None);
    assert_eq!(history.lead_time, Spread::of(vec![Span::from_seconds(3600 + 210 + 720)]));
    // It was answered when it failed first, not when it was mended.
    assert_eq!(history.feedback_time, Spread::of(vec![Span::from_seconds(600 + 210)]));
}

#[test]
fn another_try_is_no_deployment_and_its_failure_is_told_all_the_same() {
    let retry = || Origin::Retry { of: run_id("a"), by: who() };
    let mut play = opened("b", one(), &AppQueue::default(), told_release("b", at(0)), retry());
    assert_eq!(play.finishes(0, Failed), [(Measure::FailedRuns, 1.0)]);
    assert_eq!(play.queue.failing, None, "the change that failed is the one that is tried again");
}

#[test]
fn what_ends_short_of_all_targets_without_a_failure_is_left_out() {
    let mut play = opened(
        "this",
        plan(&[(1, 1, 0), (1, 1, 0)], 1),
        &AppQueue::default(),
        told_release("this", at(0)),
        Origin::Release,
    );
    play.claim(0);
    play.started(0, 1);
    let because = Closing::Superseded { by: run_id("newer") };
    play.head.ending = Some(Ending { at: play.now, because });
    let figures = told(&play.observe(0, Succeeded).step.figures);
    assert_eq!((play.verdict(), Ended::of(&play.head)), (Some(Verdict::Incomplete), Some(Ended::Short)));
    assert!(figures.iter().all(|(measure, _)| *measure == Measure::TargetDuration), "{figures:?}");
    let history = History::of(app(), at(-60), at(600), &[play.stored()]);
    assert_eq!((history.deployments, history.left_out.stopped_short, history.left_out.total()), (0, 1, 1));
}

#[test]
fn what_is_not_known_is_not_zero() {
    let history = History::of(app(), at(0), at(60), &[]);
    assert_eq!(history.change_failure_rate.rate(), None);
    let json = serde_json::to_value(&history).unwrap();
    for unknown in ["change_failure_rate", "lead_time", "feedback_time", "time_to_restore", "lead_time_from_release"] {
        assert!(json[unknown].is_null(), "{unknown}: {}", json[unknown]);
    }
    // Under way: it says nothing but its release pipeline's stages.
    let play = opened("this", one(), &AppQueue::default(), told_release("this", at(0)), Origin::Release);
    let history = History::of(app(), at(0), at(60), &[play.stored()]);
    assert_eq!((history.deployments, history.left_out.under_way), (0, 1));
    assert_eq!((history.lead_time, history.feedback_time), (None, None));
    assert!(history.targets.is_empty());
    // A target that was never seen to start tells no duration.
    let mut play = opened("this", one(), &AppQueue::default(), told_release("this", at(0)), Origin::Release);
    play.finishes(0, Succeeded);
    let mut stored = play.stored();
    stored.targets[0].started_at = None;
    assert!(History::of(app(), at(0), at(60), &[stored]).targets.is_empty());
}

/// Ten days: a good change, one that fails and is retried, one that is good and rolled back, one that fails for good.
#[test]
fn many_runs_say_together_what_each_says() {
    const DAY: i64 = 24 * 60;
    let queue = AppQueue::default();
    let mut runs = Vec::new();
    let mut play = |source: &str, minute: i64, origin: Origin, ends| {
        let mut play = opened(source, one(), &queue, told_release(source, at(minute)), origin);
        play.finishes(0, ends);
        runs.push(play.stored());
    };
    play("a", 0, Origin::Release, Succeeded);
    play("b", DAY, Origin::Start { by: who() }, Failed);
    play("b-again", DAY + 100, Origin::Retry { of: run_id("b"), by: who() }, Succeeded);
    play("c", 2 * DAY, Origin::Release, Succeeded);
    play("c-back", 2 * DAY + 300, Origin::Rollback { of: run_id("c"), by: who() }, Succeeded);
    play("d", 3 * DAY, Origin::Release, Failed);
    play("d-drift", 3 * DAY + 5, Origin::Restore { of: run_id("check"), by: who() }, Succeeded);
    // In any order.
    runs.reverse();
    let history = History::of(app(), at(0), at(10 * DAY), &runs);
    assert_eq!((history.deployments, history.failed, history.rolled_back), (4, 3, 1));
    assert_eq!(history.change_failure_rate, Share { part: 3, of: 4 });
    assert_eq!(history.deployments_per_day, Some(0.4));
    assert_eq!((history.left_out.retries, history.left_out.rollbacks, history.left_out.restores), (1, 1, 1));
    // Both good ones, from the commit; the one that was rolled back had got everywhere.
    assert_eq!(history.lead_time, Spread::of(vec![Span::from_seconds(3600 + 210); 2]));
    assert_eq!(history.feedback_time, Spread::of(vec![Span::from_seconds(600 + 210); 4]));
    // The retry after 100 minutes; the rollback, from when somebody asked for it.
    assert_eq!(history.time_to_restore, Spread::of(vec![minutes(100), minutes(3)]));
    let lasting = history.not_restored.unwrap();
    assert_eq!((lasting.run, lasting.since), (run_id("d"), at(3 * DAY).plus(Span::from_seconds(210))));
    let stages: Vec<_> = history.stages.iter().map(|stage| (stage.stage.as_str(), stage.duration.count)).collect();
    assert_eq!(stages, [("Source", 4), ("Build", 4)]);
    let [target] = history.targets.as_slice() else { panic!("{:?}", history.targets) };
    assert_eq!((target.duration.count, target.duration.median), (5, minutes(3)));
    // A period that leaves all of it out.
    assert_eq!(History::of(app(), at(5 * DAY), at(10 * DAY), &runs).left_out.total(), 0);
}

#[test]
fn a_spread_is_of_times_that_were() {
    let of = |seconds: &[i64]| {
        let spread = Spread::of(seconds.iter().copied().map(Span::from_seconds).collect()).unwrap();
        [spread.median, spread.p90, spread.longest].map(|span| span.as_millis() / 1000)
    };
    assert_eq!(Spread::of(Vec::new()), None);
    assert_eq!(of(&[7]), [7, 7, 7]);
    assert_eq!(of(&[4, 1]), [1, 4, 4]);
    assert_eq!(of(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]), [5, 9, 10]);
}

#[test]
fn every_measure_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
    assert_eq!(names.len(), Measure::ALL.len());
}

#[test]
fn a_queue_and_a_release_of_an_older_version_are_read() {
    let queue: AppQueue = serde_json::from_str(r#"{"current":null,"next":null,"newest":null}"#).unwrap();
    assert_eq!(queue, AppQueue::default());
    let mut older = serde_json::to_value(Release { revision: revision(None), ..release("this", at(0)) }).unwrap();
    assert_eq!((older.get("stages"), older.get("started_at")), (None, None), "nothing new is stored of nothing");
    older["revision"].as_object_mut().unwrap().remove("authored_at");
    let read: Release = serde_json::from_value(older).unwrap();
    assert_eq!((read.stages, read.started_at), (Vec::new(), None));
}
