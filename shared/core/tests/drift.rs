//! What drift checks conclude: stories told through the real core, every combination of two looks, and any order of
//! everything.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod drift {
    #[allow(dead_code, reason = "another test tells other parts of a story")]
    pub(crate) mod story;
}

use std::collections::BTreeMap;

use manifold_core::checkup::Tried;
use manifold_core::drift::check::{Change, Phase, Telling, Told};
use manifold_core::drift::judge::fingerprint;
use manifold_core::drift::message::{Look, SeenAt};
use manifold_core::drift::report::{Answer, AspectLine};
use manifold_core::drift::settle::Settled;
use manifold_core::drift::sight::{DisabledTransition, StackSeen};
use manifold_core::drift::watch::{Watch, overdue_from};
use manifold_core::drift::{Aspect, Ignore, OpenCheck, Report, Response};
use manifold_core::ids::RunId;
use manifold_core::known::Known;
use manifold_core::message::Payload;
use manifold_core::time::{Span, Timestamp};
use proptest::prelude::*;

use drift::story::{GOOD, OTHER, Story, There, at, by_hand, denied, execution, good, queue};

const THIRD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// How a comparison of a target came out.
fn line<'a>(report: &'a Report, account: &str, region: &str, aspect: Aspect) -> &'a AspectLine {
    let is = |target: &&manifold_core::drift::report::TargetLine| {
        target.account_name == account && target.key.region.as_str() == region
    };
    &report.targets.iter().find(is).unwrap().aspects[&aspect]
}

fn value(report: &Report, account: &str, region: &str, aspect: Aspect) -> Answer {
    line(report, account, region, aspect).value
}

fn words(line: &AspectLine) -> Vec<&str> {
    line.findings.iter().map(|finding| finding.words.as_str()).collect()
}

/// A story whose first check found everything in sync, and that is at the turn of the next one.
fn settled() -> Story {
    let mut story = Story::new();
    let report = story.run();
    assert!(report.is_in_sync(), "{report:?}");
    story.next_turn();
    story
}

/// What one look may see of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    Sync,
    /// Something differs.
    A,
    /// Something else does.
    B,
    /// The role is gone.
    Nothing,
    /// Not all of it was compared.
    Part,
    /// And something differs.
    AInPart,
    BInPart,
}

impl Sees {
    const ALL: [Self; 7] = [Self::Sync, Self::A, Self::B, Self::Nothing, Self::Part, Self::AInPart, Self::BInPart];

    /// What differs.
    const fn drift(self) -> Option<char> {
        match self {
            Self::A | Self::AInPart => Some('a'),
            Self::B | Self::BInPart => Some('b'),
            Self::Sync | Self::Nothing | Self::Part => None,
        }
    }

    const fn is_partial(self) -> bool {
        match self {
            Self::Part | Self::AInPart | Self::BInPart => true,
            Self::Sync | Self::A | Self::B | Self::Nothing => false,
        }
    }

    fn shows(self, story: &mut Story) {
        story.repair("dev", "eu-west-1");
        if self == Self::Nothing {
            return story.deny("dev", "eu-west-1");
        }
        let drift = story.at("dev", "eu-west-1").stack();
        if self.is_partial() {
            drift.nested = vec!["Inner".to_owned()];
        }
        if let Some(which) = self.drift() {
            drift.status = "DRIFTED".to_owned();
            let found = if which == 'a' { "60" } else { "90" };
            drift.drifted = vec![queue(&[("/VisibilityTimeout", Some("30"), Some(found))])];
        }
    }
}

#[test]
fn every_two_looks_make_drift_only_of_what_both_found_and_green_only_of_what_one_saw_whole() {
    for first in Sees::ALL {
        for second in Sees::ALL {
            let mut story = settled();
            first.shows(&mut story);
            let report = story.run_with(|story| second.shows(story));
            let line = line(&report, "dev", "eu-west-1", Aspect::Stack);
            // If nothing was found at first there is no second look.
            let second = if first == Sees::Sync { Sees::Sync } else { second };
            let both = first.drift().is_some() && first.drift() == second.drift();
            let expected = match (both, second) {
                (true, _) => Answer::Drifted,
                (false, Sees::Sync) => Answer::InSync,
                (false, _) => Answer::Unknown,
            };
            assert_eq!(line.value, expected, "{first:?}, then {second:?}: {line:?}");
            let is_named = |part: &str| words(line).iter().any(|words| words.contains(part));
            assert_eq!(line.value == Answer::Unknown || both, !line.findings.is_empty(), "{line:?}");
            if both {
                // What the second look could not see is told with it, and is no drift.
                let unseen: Vec<bool> = line.findings.iter().map(|finding| finding.is_unseen).collect();
                let expected = if second.is_partial() { vec![false, true] } else { vec![false] };
                assert_eq!(unseen, expected, "{line:?}");
            } else if second.drift().is_some() {
                assert!(is_named("seen at one of two looks only"), "{first:?}, then {second:?}: {line:?}");
            }
            assert_eq!(report.counts, story.closed().counts);
        }
    }
}

#[test]
fn what_one_look_saw_whole_is_in_order_although_the_other_could_not_look() {
    // Another comparison of the target is suspect, so that it is looked at again.
    let mut story = settled();
    story.at("dev", "eu-west-1").edits("svc-hotfix");
    let report = story.run_with(|story| story.deny("dev", "eu-west-1"));
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Stack), Answer::InSync);
    let definition = line(&report, "dev", "eu-west-1", Aspect::Definition);
    assert_eq!(definition.value, Answer::Unknown);
    assert!(words(definition)[0].contains("it could not be looked at again: AccessDenied"), "{definition:?}");
}

#[test]
fn with_one_look_what_it_finds_is_drift() {
    let mut story = settled();
    story.policy.confirm = None;
    story.at("dev", "eu-west-1").edits("svc-hotfix");
    let report = story.run();
    assert_eq!((report.looked_twice, value(&report, "dev", "eu-west-1", Aspect::Definition)), (0, Answer::Drifted));
}

#[test]
fn a_finding_that_nobody_confirmed_in_time_is_none() {
    let mut story = settled();
    story.at("dev", "eu-west-1").edits("svc-hotfix");
    story.at("prod", "eu-west-1").edits("svc-hotfix");
    story.open();
    story.look_all();
    assert!(matches!(story.settle(), Settled::Confirms { .. }));
    story.look(Look::Second, 0);
    story.wait(Span::from_minutes(31));
    assert!(matches!(story.settle(), Settled::Ends(_)));
    assert!(story.closed().out_of_time);
    let report = story.report();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Definition), Answer::Drifted);
    let other = line(&report, "prod", "eu-west-1", Aspect::Definition);
    assert_eq!(other.value, Answer::Unknown);
    assert!(words(other)[0].starts_with("seen once, and not looked at again in time: "), "{other:?}");
}

#[test]
fn a_finding_is_new_then_persists_and_then_is_resolved() {
    let mut story = settled();
    let change = |report: &Report| line(report, "prod", "us-east-1", Aspect::Stack).change.clone();
    let turn = |story: &mut Story| {
        let report = story.run();
        let now = story.now;
        story.next_turn();
        (report, now)
    };
    story.at("prod", "us-east-1").changes_queue();
    let (report, since) = turn(&mut story);
    assert_eq!(change(&report), Some(Change::New));
    for _ in 0..2 {
        assert_eq!(change(&turn(&mut story).0), Some(Change::Persisting { since }));
        assert_eq!(story.closed().telling, Telling::Silent);
    }
    // A drift does not go away because nobody can see it, and it is no news twice.
    let was = "Jobs (AWS::SQS::Queue) of stack svc-queues differs".to_owned();
    story.deny("prod", "us-east-1");
    let (report, unseen_since) = turn(&mut story);
    assert_eq!(change(&report), Some(Change::Other { since, was: was.clone() }));
    assert_eq!(change(&turn(&mut story).0), Some(Change::Persisting { since: unseen_since }));
    story.repair("prod", "us-east-1");
    story.at("prod", "us-east-1").changes_queue();
    assert_eq!(change(&turn(&mut story).0), Some(Change::Persisting { since }), "it is the same as before");
    // Another one.
    story.at("prod", "us-east-1").stack().drifted[0].properties[0].actual = Some("90".to_owned());
    let (report, other_since) = turn(&mut story);
    assert_eq!(change(&report), Some(Change::Other { since, was: was.clone() }));
    assert_eq!(change(&turn(&mut story).0), Some(Change::Persisting { since: other_since }));
    story.repair("prod", "us-east-1");
    let (report, _) = turn(&mut story);
    assert_eq!(change(&report), Some(Change::Resolved { since: other_since, was }));
    assert!(report.is_in_sync() && story.standing.is_empty(), "{:?}", story.standing);
    let (report, _) = turn(&mut story);
    assert_eq!((change(&report), report.news), (None, Default::default()));
}

#[test]
fn what_is_unknown_is_news_once_whatever_the_reason() {
    let mut story = settled();
    story.deny("dev", "eu-west-1");
    assert_eq!(story.run().news.new, 4);
    story.next_turn();
    let key = story.key("dev", "eu-west-1");
    let reason = "ThrottlingException".to_owned();
    story.there.get_mut(&key).unwrap().sight.assumed = Tried::Unanswered { reason };
    let report = story.run();
    assert_eq!((report.news.new, report.news.persisting, report.counts.unknown), (0, 4, 1));
    assert_eq!(words(line(&report, "dev", "eu-west-1", Aspect::Health)), ["ThrottlingException"], "told as it is now");
}

#[test]
fn what_cannot_be_seen_besides_a_drift_is_no_news_of_it() {
    let mut story = settled();
    story.at("dev", "eu-west-1").changes_queue();
    story.run();
    for unchecked in ["Jobs: Throttling", "Jobs: AccessDenied"] {
        story.next_turn();
        story.at("dev", "eu-west-1").stack().unchecked = vec![unchecked.to_owned()];
        let report = story.run();
        let line = line(&report, "dev", "eu-west-1", Aspect::Stack);
        assert!(matches!(line.change, Some(Change::Persisting { .. })), "{line:?}");
        assert_eq!(line.findings.len(), 3);
    }
}

#[test]
fn how_many_siblings_differ_is_no_news() {
    let mut story = Story::new();
    story.at("dev", "eu-west-1").edits("svc-odd");
    let odd = |report: &Report| line(report, "dev", "eu-west-1", Aspect::Definition).clone();
    assert_eq!(odd(&story.run()).change, Some(Change::New));
    story.next_turn();
    // Two of the others can't be seen any more.
    story.deny("prod", "eu-west-1");
    story.deny("prod", "us-east-1");
    let again = odd(&story.run());
    assert!(matches!(again.change, Some(Change::Persisting { .. })), "{again:?}");
}

/// What a settled end says, but for when it was written.
fn end_of(story: &Story) -> (String, String) {
    let mut report = story.report();
    let mut closed = story.closed().clone();
    let no_time = Timestamp::from_millis(0);
    closed.at = no_time;
    if let manifold_core::drift::report::State::Closed { at, .. } = &mut report.state {
        *at = no_time;
    }
    let mut standing = story.standing.clone();
    for stand in standing.values_mut().flat_map(|standing| standing.stands.values_mut()) {
        stand.since = no_time;
        stand.unseen_since = stand.unseen_since.map(|_| no_time);
    }
    (format!("{report:#?}\n{closed:#?}"), format!("{standing:#?}\n{:#?}", story.last))
}

#[test]
fn a_check_that_died_at_any_point_of_its_end_ends_as_if_it_had_not() {
    let mut story = settled();
    story.policy.response = Response::Redeploy;
    story.at("dev", "us-east-1").edits("svc-hotfix");
    story.at("staging", "eu-west-1").changes_queue();
    story.run();
    story.next_turn();
    // One of each: persisting, resolved, new, unknown, and one to be deployed again.
    story.repair("staging", "eu-west-1");
    story.at("team-a", "eu-west-1").changes_queue();
    story.deny("team-b", "us-east-1");
    story.at("prod", "eu-west-1").deploys(by_hand("by-hand-1", OTHER, at("2026-11-28T07:20:00Z")));
    story.open();
    story.look_all();
    let Settled::Confirms { messages, .. } = story.settle() else { panic!("something differs") };
    for asked in Story::asked(&messages, Look::Second) {
        story.look(Look::Second, asked.index);
    }
    let mut whole = story.clone();
    let Settled::Ends(ending) = whole.settle() else { panic!("all looks are in") };
    assert_eq!(ending.targets.len(), 5);
    assert_eq!(whole.closed().redeploys.len(), 1);
    for most in 0..=ending.targets.len() {
        for is_late in [false, true] {
            let mut died = story.clone();
            died.store_targets(&ending, most);
            died.wait(Span::from_minutes(if is_late { 40 } else { 1 }));
            assert!(matches!(died.settle(), Settled::Ends(_)));
            let (mut told, stood) = end_of(&died);
            assert_eq!(stood, end_of(&whole).1, "after {most}");
            told = told.replace("out_of_time: true", "out_of_time: false");
            assert_eq!(told, end_of(&whole).0, "after {most}");
            // Settled once more, it says the same again.
            let Settled::Ended(messages) = died.settle() else { panic!("it has ended") };
            assert_eq!(messages.len(), ending.messages.len());
        }
    }
}

#[test]
fn what_arrives_after_a_target_was_concluded_does_not_change_what_is_counted() {
    let mut story = settled();
    let since = story.now;
    for (account, region) in [("dev", "eu-west-1"), ("prod", "eu-west-1")] {
        story.at(account, region).sight.stacks[0].seen =
            Tried::Done(StackSeen::Detecting { id: "d-1".to_owned(), since });
    }
    story.open();
    story.look_all();
    story.wait(Span::from_minutes(31));
    let Settled::Ends(ending) = story.settled() else { panic!("its time is up") };
    assert_eq!(ending.check.closed().unwrap().counts.unknown, 2);
    // It dies after the first one, and then both detections end.
    story.store_targets(&ending, 1);
    for index in [0, 4] {
        let key = story.plan[index as usize].key.clone();
        story.repair(&story.plan[index as usize].account_name.clone(), key.region.as_str());
        story.look(Look::First, index);
    }
    assert!(matches!(story.settle(), Settled::Ends(_)));
    let report = story.report();
    assert_eq!((report.counts, report.news), (story.closed().counts, story.closed().news));
    assert_eq!(report.counts.unknown, 1, "what was concluded stays");
    assert_eq!(value(&report, "prod", "eu-west-1", Aspect::Stack), Answer::InSync);
}

#[test]
fn an_older_check_that_ends_later_changes_nothing() {
    let mut story = settled();
    story.policy.response = Response::Redeploy;
    story.at("dev", "eu-west-1").deploys(by_hand("by-hand-1", OTHER, at(HOUR)));
    story.open();
    story.look_all();
    let Settled::Confirms { messages, .. } = story.settle() else { panic!("it differs") };
    let older = story.check.clone();
    for asked in Story::asked(&messages, Look::Second) {
        story.look(Look::Second, asked.index);
    }
    // The next one is faster, and finds something else.
    let mut later = story.clone();
    later.next_turn();
    later.repair("dev", "eu-west-1");
    later.at("prod", "eu-west-1").edits("svc-hotfix");
    later.run();
    let before = (later.standing.clone(), later.last.clone());
    later.check = older.clone();
    assert!(matches!(later.settle(), Settled::Ends(_)));
    assert_eq!((later.standing.clone(), later.last.clone()), before);
    let closed = later.closed();
    assert_eq!((&closed.telling, closed.redeploys.len(), closed.is_digest), (&Telling::Silent, 0, false));

    // The same if the later one died before it was the last one.
    let mut died = story.clone();
    died.next_turn();
    died.repair("dev", "eu-west-1");
    died.at("dev", "eu-west-1").changes_queue();
    died.open();
    died.look_all();
    let Settled::Confirms { messages, .. } = died.settle() else { panic!("it differs") };
    for asked in Story::asked(&messages, Look::Second) {
        died.look(Look::Second, asked.index);
    }
    let Settled::Ends(ending) = died.settled() else { panic!("all looks are in") };
    died.store_targets(&ending, usize::MAX);
    let before = died.standing.clone();
    assert_eq!(before.len(), 1);
    died.check = older;
    assert!(matches!(died.settle(), Settled::Ends(_)));
    assert_eq!(died.standing, before);
}

fn rule(target: &str, aspect: Option<Aspect>, path: Option<&str>, until: &str) -> Ignore {
    Ignore {
        target: target.to_owned(),
        aspect,
        path: path.map(str::to_owned),
        owner: "team-a".to_owned(),
        reason: "tried out".to_owned(),
        until: at(until),
    }
}

const LATER: &str = "2026-12-24T00:00:00Z";

#[test]
fn a_rule_hides_what_it_names_until_it_expires() {
    let hides = |rule: Ignore| {
        let mut story = settled();
        story.policy.ignore = vec![rule];
        story.at("dev", "eu-west-1").changes_queue();
        let report = story.run();
        (value(&report, "dev", "eu-west-1", Aspect::Stack), report.looked_twice)
    };
    let path = |path: &str| rule("dev/*", Some(Aspect::Stack), Some(path), LATER);
    assert_eq!(hides(path("/svc-queues/Jobs/*")), (Answer::InSync, 0), "there is nothing to look at again");
    assert_eq!(hides(rule("dev/*", None, None, LATER)).0, Answer::InSync);
    assert_eq!(hides(rule("111111111111/eu-west-1", None, None, LATER)).0, Answer::InSync);
    assert_eq!(hides(path("/svc-queues/Jobs/VisibilityTimeout")).0, Answer::Drifted, "the other property is not meant");
    assert_eq!(hides(rule("dev/us-*", None, None, LATER)).0, Answer::Drifted);
    assert_eq!(hides(rule("dev/*", Some(Aspect::Health), None, LATER)).0, Answer::Drifted);
    assert_eq!(hides(rule("dev/*", None, None, "2026-11-28T07:00:04Z")).0, Answer::Drifted, "it has expired");

    // What it hid counts again, as news.
    let mut story = settled();
    story.policy.ignore = vec![rule("dev/*", None, None, "2026-11-28T07:30:00Z")];
    story.at("dev", "eu-west-1").changes_queue();
    assert!(story.run().is_in_sync());
    story.next_turn();
    let report = story.run();
    assert_eq!((report.news.new, report.rules.expired.len()), (1, 1));
}

#[test]
fn a_rule_that_expires_midway_holds_to_the_end_of_the_check() {
    let mut story = settled();
    // It expires between the opening of the check and the end of its looks.
    story.policy.ignore = vec![rule("dev/*", None, None, "2026-11-28T07:00:06Z")];
    story.at("dev", "eu-west-1").changes_queue();
    story.at("prod", "eu-west-1").changes_queue();
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Stack), Answer::InSync);
    assert_eq!(value(&report, "prod", "eu-west-1", Aspect::Stack), Answer::Drifted);
}

#[test]
fn no_rule_makes_green_of_what_nobody_saw_unless_it_names_the_part() {
    let blanket = rule("dev/*", None, None, LATER);
    let mut story = settled();
    story.policy.ignore = vec![blanket.clone()];
    story.deny("dev", "eu-west-1");
    let report = story.run();
    assert!(Aspect::ALL.iter().all(|aspect| value(&report, "dev", "eu-west-1", *aspect) == Answer::Unknown));

    let nested = |rules: Vec<Ignore>, drifts: bool| {
        let mut story = settled();
        story.policy.ignore = rules;
        if drifts {
            story.at("dev", "eu-west-1").changes_queue();
        }
        story.at("dev", "eu-west-1").stack().nested = vec!["Inner".to_owned()];
        value(&story.run(), "dev", "eu-west-1", Aspect::Stack)
    };
    let names_it = rule("dev/*", Some(Aspect::Stack), Some("/svc-queues/(nested)"), LATER);
    assert_eq!(nested(vec![blanket.clone()], false), Answer::Unknown);
    assert_eq!(nested(vec![names_it.clone()], false), Answer::InSync);
    // What is left when a drift is hidden is no drift.
    assert_eq!(nested(vec![blanket.clone()], true), Answer::Unknown);
    assert_eq!(nested(vec![blanket, names_it.clone()], true), Answer::InSync);
    assert_eq!(nested(vec![names_it], true), Answer::Drifted);
}

#[test]
fn what_is_accepted_is_in_sync_until_it_changes_or_a_rollout_comes() {
    let mut story = settled();
    let hour = story.now;
    story.at("dev", "eu-west-1").edits("svc-hotfix");
    story.at("dev", "us-east-1").deploys(by_hand("by-hand-1", OTHER, hour));
    story.at("prod", "eu-west-1").changes_queue();
    let report = story.run();
    assert_eq!(report.counts.drifted, 3);
    let index = 0;
    let digest = match &story.looked[&story.check][&index].first.pipeline {
        Some(Tried::Done(pipeline)) => pipeline.digest.clone(),
        other => panic!("{other:?}"),
    };
    story.accept("dev", "eu-west-1", Aspect::Definition, &digest);
    story.accept("dev", "us-east-1", Aspect::Revision, "by-hand-1");
    let found = fingerprint(&line(&report, "prod", "eu-west-1", Aspect::Stack).findings);
    story.accept("prod", "eu-west-1", Aspect::Stack, &found);
    story.next_turn();
    let report = story.run();
    assert!(report.is_in_sync(), "{report:#?}");
    assert_eq!(report.news.resolved, 3);

    // What could not be seen nobody has accepted.
    story.next_turn();
    story.at("prod", "eu-west-1").stack().unchecked = vec!["Jobs: Throttling".to_owned()];
    assert_eq!(value(&story.run(), "prod", "eu-west-1", Aspect::Stack), Answer::Unknown);
    story.at("prod", "eu-west-1").stack().unchecked.clear();

    story.next_turn();
    story.at("dev", "eu-west-1").edits("svc-other");
    story.at("prod", "eu-west-1").stack().drifted[0].properties.truncate(1);
    let key = story.key("dev", "us-east-1");
    story.known.insert(key.clone(), Known { target: key, current: good(THIRD, story.now), previous: None });
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Definition), Answer::Drifted);
    assert_eq!(value(&report, "prod", "eu-west-1", Aspect::Stack), Answer::Drifted);
    assert_eq!(value(&report, "dev", "us-east-1", Aspect::Revision), Answer::Drifted, "a rollout came after it");
}

/// What is said of a target's revision after something was done there.
fn revision(prepare: impl FnOnce(&mut Story), act: impl FnOnce(&mut There)) -> (Answer, Vec<String>) {
    let mut story = settled();
    prepare(&mut story);
    act(story.at("dev", "eu-west-1"));
    let report = story.run();
    let line = line(&report, "dev", "eu-west-1", Aspect::Revision);
    (line.value, words(line).into_iter().map(str::to_owned).collect())
}

const HOUR: &str = "2026-11-28T06:20:00Z";

#[test]
fn the_revision_is_that_of_the_last_execution_that_succeeded_in_the_deploy_stage() {
    let nothing = |_: &mut Story| {};
    assert_eq!(revision(nothing, |_| {}).0, Answer::InSync);
    let (value, words) = revision(nothing, |there| there.deploys(by_hand("x", OTHER, at(HOUR))));
    assert_eq!(value, Answer::Drifted);
    assert!(words[0].starts_with("runs 01234567 instead of 9fceb02d, which run web-"), "{words:?}");
    // The same revision by hand is what should be there.
    assert_eq!(revision(nothing, |there| there.deploys(by_hand("x", GOOD, at(HOUR)))).0, Answer::InSync);
    // A rollback in the target's account.
    let (value, words) = revision(nothing, |there| {
        let rollback = by_hand("x", OTHER, at(HOUR));
        there.deploys(manifold_core::drift::sight::ExecutionSeen { is_rollback: true, ..rollback });
    });
    assert_eq!(value, Answer::Drifted);
    assert!(words[0].starts_with("was rolled back to 01234567 instead of"), "{words:?}");
    // A variable may carry it.
    let by_variable = |there: &mut There| {
        let mut run = execution("x", OTHER, at(HOUR));
        run.variables.insert("COMMIT".to_owned(), GOOD.to_owned());
        there.deploys(run);
    };
    assert_eq!(revision(nothing, by_variable).0, Answer::InSync);
    // Nothing is listed: executions are kept for a year.
    let (value, words) = revision(nothing, |there| there.sight.deployed = Some(Tried::Done(Vec::new())));
    assert_eq!((value, words[0].as_str()), (Answer::Unknown, "no execution is listed that succeeded in stage Deploy"));
}

#[test]
fn whatever_came_later_makes_the_revision_unknown_if_it_may_have_deployed_anything() {
    for (status, expected) in [
        ("InProgress", Answer::Unknown),
        ("Stopping", Answer::Unknown),
        ("Stopped", Answer::Unknown),
        ("PAUSED_BY_POLICY", Answer::Unknown),
        ("Failed", Answer::InSync),
        ("Superseded", Answer::InSync),
        ("Cancelled", Answer::InSync),
    ] {
        let act = |there: &mut There| {
            let mut run = by_hand("x", OTHER, at(HOUR));
            run.status = status.to_owned();
            there.runs(run);
        };
        let (value, words) = revision(|_| {}, act);
        assert_eq!(value, expected, "{status}: {words:?}");
        assert!(words.iter().all(|words| !words.contains(" x")), "which one it is does not group targets: {words:?}");
    }
    // What was stopped before is over.
    let before = |there: &mut There| {
        let mut run = by_hand("x", OTHER, at("2026-11-27T10:00:00Z"));
        run.status = "Stopped".to_owned();
        there.runs(run);
    };
    assert_eq!(revision(|_| {}, before).0, Answer::InSync);
}

#[test]
fn in_parallel_mode_a_later_start_is_no_later_deploy() {
    let parallel = |same: bool| {
        revision(
            |_| {},
            |there| {
                there.pipeline().is_parallel = true;
                there.state().has_none = true;
                let late = execution("late", GOOD, at("2026-11-28T06:10:00Z"));
                let mut early = execution("early", if same { GOOD } else { OTHER }, at("2026-11-28T06:00:00Z"));
                // It began earlier, and ended later.
                early.updated_at = Some(at("2026-11-28T06:50:00Z"));
                there.sight.executions = Some(Tried::Done(vec![late.clone(), early.clone()]));
                there.sight.deployed = Some(Tried::Done(vec![late, early]));
            },
        )
    };
    assert_eq!(parallel(false).0, Answer::Unknown);
    assert_eq!(parallel(true).0, Answer::InSync);
    let mut story = settled();
    story.at("dev", "eu-west-1").pipeline().is_parallel = true;
    story.at("dev", "eu-west-1").state().has_none = true;
    let report = story.run();
    let health = line(&report, "dev", "eu-west-1", Aspect::Health);
    assert_eq!(health.value, Answer::Unknown, "{health:?}");
}

#[test]
fn a_rollout_that_is_under_way_and_one_that_ends_between_the_looks_are_no_drift() {
    let rollout: RunId = "web-0f3a5b7c9d1e2f40".parse().unwrap();
    let mut story = settled();
    story.rollout = Some(rollout.clone());
    story.at("dev", "eu-west-1").deploys(execution("x", THIRD, at(HOUR)));
    let told = story.run();
    let line_ = line(&told, "dev", "eu-west-1", Aspect::Revision);
    assert_eq!((line_.value, words(line_)[0]), (Answer::Unknown, "rollout web-0f3a5b7c9d1e2f40 is under way"));

    let known = |story: &mut Story| {
        for planned in story.plan.clone() {
            let current = good(THIRD, story.now);
            story.known.insert(planned.key.clone(), Known { target: planned.key, current, previous: None });
        }
    };
    let deployed = |story: &mut Story| {
        for there in story.there.values_mut() {
            there.deploys(execution("x", THIRD, at("2026-11-28T07:00:30Z")));
        }
    };
    // Under way at the first look, over at the second one.
    let mut story = settled();
    story.rollout = Some(rollout.clone());
    deployed(&mut story);
    let report = story.run_with(|story| {
        story.rollout = None;
        known(story);
    });
    assert!(report.is_in_sync(), "{report:#?}");
    // It begins between the looks: what was found before is not what counts.
    let mut story = settled();
    story.policy.response = Response::Redeploy;
    story.at("dev", "eu-west-1").deploys(by_hand("x", OTHER, at(HOUR)));
    let report = story.run_with(|story| story.rollout = Some(rollout));
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Revision), Answer::Unknown);
    assert!(story.closed().redeploys.is_empty());
}

#[test]
fn before_its_first_rollout_a_target_is_compared_with_its_siblings() {
    let told = |revisions: &[&str]| {
        let accounts: Vec<(String, String)> =
            (1..=revisions.len()).map(|n| (format!("a{n}"), format!("{:012}", 100_000_000_000 + n))).collect();
        let mut story = Story::of(&accounts, &["eu-west-1"]);
        story.known.clear();
        for ((account, _), revision) in accounts.iter().zip(revisions) {
            story.at(account, "eu-west-1").deploys(execution("x", revision, at(HOUR)));
        }
        let report = story.run();
        let value = |(account, _): &(String, String)| value(&report, account, "eu-west-1", Aspect::Revision);
        accounts.iter().map(value).collect::<Vec<_>>()
    };
    use Answer::{Drifted, InSync, Unknown};
    assert_eq!(told(&[GOOD, GOOD, GOOD, OTHER]), [InSync, InSync, InSync, Drifted]);
    assert_eq!(told(&[GOOD, GOOD, OTHER]), [Unknown, Unknown, Unknown], "two are too few to tell");
    assert_eq!(told(&[GOOD, GOOD, GOOD, OTHER, OTHER, OTHER]), [Unknown; 6], "half is no majority");
    assert_eq!(told(&[GOOD]), [Unknown]);
}

#[test]
fn a_target_whose_last_good_release_is_another_one_than_its_siblings_is_told() {
    let mut story = settled();
    let key = story.key("dev", "eu-west-1");
    let known = |revision: &str, source: &str| {
        let mut current = good(revision, at("2026-11-27T16:00:00Z"));
        current.release.source.id = source.parse().unwrap();
        Known { target: key.clone(), current, previous: None }
    };
    // The same revision, released once more.
    story.known.insert(key.clone(), known(GOOD, "released-again"));
    assert!(story.run().is_in_sync());
    story.next_turn();
    story.known.insert(key.clone(), known(OTHER, "other"));
    story.at("dev", "eu-west-1").deploys(execution("x", OTHER, at("2026-11-27T16:00:00Z")));
    let report = story.run();
    let line = line(&report, "dev", "eu-west-1", Aspect::Revision);
    let [finding] = line.findings.as_slice() else { panic!("{line:?}") };
    assert_eq!((finding.path.as_deref(), finding.expected.as_deref()), (Some("/release"), Some("9fceb02d")));
    assert_eq!(finding.found.as_deref(), Some("01234567"));
}

#[test]
fn a_definition_is_compared_with_its_baseline_and_with_its_siblings() {
    // At the first look of all there is no baseline.
    let mut story = Story::new();
    story.at("dev", "eu-west-1").edits("svc-odd");
    let report = story.run();
    let odd = line(&report, "dev", "eu-west-1", Aspect::Definition);
    assert_eq!((odd.value, words(odd)[0]), (Answer::Drifted, "differs from what most of the others have"));
    assert_eq!(odd.findings.len(), 1);
    assert_eq!((report.counts.drifted, report.counts.in_sync), (1, 9));
    // All of them are changed alike: each differs from its own baseline.
    story.next_turn();
    for planned in story.plan.clone() {
        story.at(&planned.account_name, planned.key.region.as_str()).edits("svc-new");
    }
    let report = story.run();
    assert_eq!(report.counts.drifted, 10);
    let one = line(&report, "prod", "eu-west-1", Aspect::Definition);
    assert_eq!(words(one), ["differs from its baseline"]);
    let finding = &one.findings[0];
    assert_eq!((finding.expected.as_deref(), finding.found.as_deref()), (Some("svc-deploy"), Some("svc-new")));
    // Without siblings, the first look says that there is nothing to compare with.
    let mut story = Story::of(&[("dev".to_owned(), "111111111111".to_owned())], &["eu-west-1"]);
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Definition), Answer::Unknown);
    story.next_turn();
    let report = story.run();
    assert!(report.is_in_sync());
    assert!(matches!(line(&report, "dev", "eu-west-1", Aspect::Definition).change, Some(Change::Resolved { .. })));
}

#[test]
fn a_stack_that_was_not_compared_whole_is_never_in_sync() {
    let seen = |change: fn(&mut manifold_core::drift::sight::StackDrift)| {
        let mut story = settled();
        change(story.at("dev", "eu-west-1").stack());
        value(&story.run(), "dev", "eu-west-1", Aspect::Stack)
    };
    assert_eq!(seen(|_| {}), Answer::InSync);
    assert_eq!(seen(|drift| drift.compared = 0), Answer::Unknown);
    assert_eq!(seen(|drift| drift.nested = vec!["Inner".to_owned()]), Answer::Unknown);
    assert_eq!(seen(|drift| drift.unsupported = vec!["Custom".to_owned()]), Answer::Unknown);
    assert_eq!(seen(|drift| drift.unchecked = vec!["Jobs".to_owned()]), Answer::Unknown);
    assert_eq!(seen(|drift| drift.failed = Some("why".to_owned())), Answer::Unknown);
    assert_eq!(seen(|drift| drift.status = "NOT_CHECKED".to_owned()), Answer::Unknown);
    assert_eq!(seen(|drift| drift.status = "UNKNOWN".to_owned()), Answer::Unknown);
    assert_eq!(seen(|drift| drift.status = "BETTER_THAN_EVER".to_owned()), Answer::Unknown);
    assert_eq!(seen(|drift| drift.status = "DRIFTED".to_owned()), Answer::Drifted);
    assert_eq!(seen(|drift| drift.more = 1), Answer::Drifted);

    // A stack that was to be looked at and is not among those that were.
    let mut story = settled();
    story.plan[0].looks.as_mut().unwrap().stacks.push("svc-tables".to_owned());
    let report = story.run();
    let line = line(&report, "dev", "eu-west-1", Aspect::Stack);
    assert_eq!((line.value, words(line)), (Answer::Unknown, vec!["stack svc-tables: it was not looked at"]));
}

#[test]
fn a_target_of_which_nothing_is_compared_is_not_in_sync() {
    let mut story = settled();
    story.plan[0].looks.as_mut().unwrap().aspects.clear();
    let report = story.run();
    assert_eq!((report.counts.unknown, story.closed().counts.unknown), (1, 1));
    assert!(!report.is_in_sync());
}

#[test]
fn a_detection_ends_with_its_answer_and_not_with_the_lack_of_one() {
    let mut story = settled();
    let since = story.now;
    let detecting = Tried::Done(StackSeen::Detecting { id: "d-1".to_owned(), since });
    story.at("dev", "eu-west-1").sight.stacks[0].seen = detecting;
    story.open();
    story.look_all();
    assert_eq!(story.checks[&story.check].looked, 9);
    let Settled::Waits(messages) = story.settle() else { panic!("it is not complete") };
    let asked = Story::asked(&messages, Look::First);
    assert_eq!(asked.iter().map(|asked| asked.detections.len()).collect::<Vec<_>>(), [1]);
    // No answer, or the same look told twice, whose detection found the first one in progress.
    let reason = "Throttling".to_owned();
    story.at("dev", "eu-west-1").sight.stacks[0].seen = Tried::Unanswered { reason };
    assert_eq!(story.look(Look::First, 0), Told::Duplicate);
    assert!(matches!(story.settle(), Settled::Waits(_)));
    story.repair("dev", "eu-west-1");
    assert_eq!(story.look(Look::First, 0), Told::Changed);
    assert_eq!(story.look(Look::First, 0), Told::Duplicate);
    assert_eq!(story.checks[&story.check].looked, 10);
    assert!(matches!(story.settle(), Settled::Ends(_)));
    assert!(story.report().is_in_sync());
}

#[test]
fn looks_that_come_too_early_too_late_or_from_nowhere_are_strays() {
    let mut story = settled();
    story.open();
    assert_eq!(story.look(Look::Second, 0), Told::Stray, "nobody asked for it yet");
    let key = story.plan[0].key.clone();
    let sight = Box::new(story.sight(&key));
    assert_eq!(story.fold(Look::First, &SeenAt { index: 10, key, sight }), Told::Stray);
    story.go_on(|_| {});
    assert_eq!(story.look(Look::First, 0), Told::Stray);
    assert_eq!(story.look(Look::Second, 0), Told::Stray);
    assert!(matches!(story.checks[&story.check].phase, Phase::Closed(_)));
}

#[test]
fn only_a_revision_that_drifted_alone_is_deployed_again() {
    let redeploys = |act: fn(&mut There)| {
        let mut story = settled();
        story.policy.response = Response::Redeploy;
        let there = story.at("dev", "eu-west-1");
        there.deploys(by_hand("x", OTHER, at(HOUR)));
        act(there);
        story.run();
        story.closed().redeploys.len()
    };
    assert_eq!(redeploys(|_| {}), 1);
    // Somebody tried before; it is what the rollout puts right.
    let failed = |there: &mut There| {
        let mut run = by_hand("y", OTHER, at("2026-11-28T06:25:00Z"));
        run.status = "Failed".to_owned();
        there.runs(run);
    };
    assert_eq!(redeploys(failed), 1);
    assert_eq!(redeploys(|there| there.edits("svc-hotfix")), 0);
    assert_eq!(redeploys(There::changes_queue), 0);
    let disabled = |there: &mut There| {
        let stage = "Deploy".to_owned();
        there.state().disabled = vec![DisabledTransition { stage, reason: None, by: None, at: None }];
    };
    assert_eq!(redeploys(disabled), 0, "somebody keeps releases from it");

    // What it should have is not known: only its siblings say that it is odd.
    let mut story = Story::new();
    story.policy.response = Response::Redeploy;
    story.known.clear();
    story.at("dev", "eu-west-1").deploys(by_hand("x", OTHER, at(HOUR)));
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Revision), Answer::Drifted);
    assert!(story.closed().redeploys.is_empty());
}

#[test]
fn a_check_that_somebody_asked_for_does_not_hide_that_the_next_one_is_overdue() {
    let mut story = settled();
    story.run();
    let scheduled = story.check.clone();
    story.wait(Span::from_minutes(10));
    story.open_asked(None);
    story.go_on(|_| {});
    let asked = story.check.clone();
    assert_eq!(story.last.as_ref().map(|last| last.check.clone()), Some(asked.clone()));

    let from = overdue_from(&story.checks[&scheduled]).unwrap();
    let look = |story: &Story, check: &RunId, now: Timestamp| {
        let check = &story.checks[check];
        OpenCheck::new(check).look(check, 1, None, story.last.as_ref(), now)
    };
    assert_eq!(look(&story, &asked, story.now), Watch::Done { untold: false });
    let waits = look(&story, &scheduled, story.now);
    assert!(matches!(&waits, Watch::Open { open, messages } if open.asleep_until == from && messages.is_empty()));
    let settles = look(&story, &scheduled, from);
    assert!(matches!(&settles, Watch::Open { messages, .. } if messages.len() == 1), "{settles:?}");
    story.now = from;
    story.check = scheduled;
    let Settled::Overdue { messages, .. } = story.settle() else { panic!("nobody opened the next one") };
    let tells = |payload: &Payload| matches!(payload, Payload::Drift(manifold_core::drift::Note::Tell { .. }));
    assert!(tells(&messages[0].payload));
    // Said once; the asked one is never overdue.
    assert!(matches!(story.settle(), Settled::Ended(_)));
    story.check = asked;
    assert!(matches!(story.settle(), Settled::Ended(_)));
}

#[test]
fn a_check_that_another_one_followed_is_not_overdue() {
    let mut story = settled();
    story.run();
    let before = story.check.clone();
    story.next_turn();
    story.run();
    story.wait(Span::from_minutes(600));
    let after = std::mem::replace(&mut story.check, before);
    assert!(matches!(story.settle(), Settled::Ended(_)));
    story.check = after;
    assert!(matches!(story.settle(), Settled::Overdue { .. }));
}

#[test]
fn what_is_compared_no_more_does_not_stand() {
    let mut story = settled();
    story.at("dev", "eu-west-1").changes_queue();
    story.at("dev", "eu-west-1").edits("svc-hotfix");
    story.run();
    story.next_turn();
    story.plan[0].looks.as_mut().unwrap().aspects.remove(&Aspect::Stack);
    story.run();
    let key = story.key("dev", "eu-west-1");
    assert_eq!(story.standing[&key].stands.keys().collect::<Vec<_>>(), [&Aspect::Definition]);
}

/// What may be the matter with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matter {
    Nothing,
    Revision,
    Definition,
    Transition,
    Stack,
    Role,
    Partial,
}

impl Matter {
    fn happens(self, story: &mut Story, index: usize) {
        let planned = story.plan[index].clone();
        let (account, region) = (planned.account_name.as_str(), planned.key.region.as_str());
        story.repair(account, region);
        let there = story.at(account, region);
        match self {
            Self::Nothing => {}
            Self::Revision => there.deploys(by_hand("x", OTHER, at(HOUR))),
            Self::Definition => there.edits("svc-hotfix"),
            Self::Transition => {
                let stage = "Deploy".to_owned();
                there.state().disabled = vec![DisabledTransition { stage, reason: None, by: None, at: None }];
            }
            Self::Stack => there.changes_queue(),
            Self::Role => story.there.get_mut(&planned.key).unwrap().sight.assumed = denied(&planned.key),
            Self::Partial => there.stack().unsupported = vec!["Custom".to_owned()],
        }
    }
}

fn matters() -> impl Strategy<Value = Vec<Matter>> {
    let all = vec![
        Matter::Nothing,
        Matter::Nothing,
        Matter::Nothing,
        Matter::Revision,
        Matter::Definition,
        Matter::Transition,
        Matter::Stack,
        Matter::Role,
        Matter::Partial,
    ];
    prop::collection::vec(prop::sample::select(all), 10)
}

/// Folds looks in, in an order, some of them twice.
fn deliver(story: &mut Story, look: Look, targets: &[u32], order: &[usize], doubled: &[bool]) {
    let mut waiting: Vec<u32> = targets.to_vec();
    let mut seen: BTreeMap<u32, ()> = BTreeMap::new();
    let mut order = order.iter().cycle();
    let mut doubled = doubled.iter().cycle();
    while !waiting.is_empty() {
        let which = order.next().unwrap() % waiting.len();
        let index = waiting[which];
        if !*doubled.next().unwrap() || seen.contains_key(&index) {
            waiting.remove(which);
        }
        let before = (story.checks[&story.check].clone(), story.looked[&story.check].clone());
        let told = story.look(look, index);
        if seen.insert(index, ()).is_some() {
            assert_eq!(told, Told::Duplicate);
            assert_eq!((story.checks[&story.check].clone(), story.looked[&story.check].clone()), before);
        } else {
            assert_eq!(told, Told::Changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order of the looks, and however often they come, the end is the same; and a check of the same facts
    /// finds nothing new.
    #[test]
    fn any_order_of_looks_ends_the_same(
        before in matters(),
        after in matters(),
        order in prop::collection::vec(0_usize..100, 1..12),
        doubled in prop::collection::vec(any::<bool>(), 1..12),
    ) {
        let mut story = settled();
        for (index, matter) in before.iter().enumerate() {
            matter.happens(&mut story, index);
        }
        story.run();
        story.next_turn();
        for (index, matter) in after.iter().enumerate() {
            matter.happens(&mut story, index);
        }
        story.open();
        let mut straight = story.clone();
        let all: Vec<u32> = (0..10).collect();
        let mut ends = Vec::new();
        for (story, order, doubled) in [
            (&mut straight, [0].as_slice(), [false].as_slice()),
            (&mut story, order.as_slice(), doubled.as_slice()),
        ] {
            deliver(story, Look::First, &all, order, doubled);
            if let Settled::Confirms { messages, .. } = story.settle() {
                let asked: Vec<u32> =
                    Story::asked(&messages, Look::Second).iter().map(|asked| asked.index).collect();
                deliver(story, Look::Second, &asked, order, doubled);
                prop_assert!(matches!(story.settle(), Settled::Ends(_)));
            }
            prop_assert!(story.checks[&story.check].closed().is_some());
            ends.push((story.report(), story.standing.clone(), story.last.clone()));
        }
        prop_assert_eq!(&ends[0], &ends[1]);
        let report = &ends[1].0;

        // What each target's matter is is what is found, and nothing is green that was not seen.
        for (target, matter) in report.targets.iter().zip(&after) {
            let found = |aspect: Aspect| target.aspects[&aspect].value;
            let expected = match matter {
                Matter::Nothing => Answer::InSync,
                Matter::Role | Matter::Partial => Answer::Unknown,
                Matter::Revision | Matter::Definition | Matter::Transition | Matter::Stack => Answer::Drifted,
            };
            prop_assert_eq!(target.value, Some(expected), "{:?}: {:?}", matter, target);
            if *matter == Matter::Role {
                prop_assert!(Aspect::ALL.iter().all(|aspect| found(*aspect) == Answer::Unknown));
            }
        }
        prop_assert_eq!(report.counts, story.closed().counts);
        prop_assert_eq!(report.news, story.closed().news);

        // Looked at once more, nothing is new; and what stands is what is not in sync.
        story.next_turn();
        let again = story.run();
        prop_assert_eq!((again.news.new, again.news.resolved, again.counts), (0, 0, report.counts));
        let stands: usize = story.standing.values().map(|standing| standing.stands.len()).sum();
        prop_assert_eq!(usize::try_from(again.news.persisting).unwrap(), stands);
    }
}

/// An execution of a service that has no revisions, such as an operation on a stack.
fn bare(id: &str, from: manifold_core::drift::sight::ExecutionSeen) -> manifold_core::drift::sight::ExecutionSeen {
    manifold_core::drift::sight::ExecutionSeen { id: id.parse().unwrap(), revisions: BTreeMap::new(), ..from }
}

#[test]
fn a_release_of_which_neither_execution_nor_revision_is_known_is_unknown_and_never_drifted() {
    let mut story = settled();
    let run = by_hand("0a1b2c3d-0000-4000-8000-000000000007", OTHER, at("2026-10-26T12:30:00Z"));
    story.at("dev", "eu-west-1").deploys(bare("Console-UpdateStack-1", run));
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Revision), Answer::Unknown);
}

#[test]
fn another_operation_on_a_stack_is_drift_where_it_is_known_which_one_brought_the_release() {
    let mut story = settled();
    let run = by_hand("0a1b2c3d-0000-4000-8000-000000000007", OTHER, at("2026-10-26T12:30:00Z"));
    story.at("dev", "eu-west-1").deploys(bare("Console-UpdateStack-1", run));
    let key = story.key("dev", "eu-west-1");
    story.known.get_mut(&key).unwrap().current.execution = Some("web-0123456789abcdef-1".parse().unwrap());
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Revision), Answer::Drifted);
}

#[test]
fn a_template_that_a_rollout_brought_is_the_baseline_from_then_on() {
    let mut story = Story::new();
    let keys: Vec<_> = story.there.keys().cloned().collect();
    for key in &keys {
        story.there.get_mut(key).unwrap().pipeline().is_released = true;
    }
    story.run();
    story.next_turn();
    assert_eq!(value(&story.run(), "dev", "eu-west-1", Aspect::Definition), Answer::InSync);

    // The next wave has not begun: the others have the template of the release before.
    story.next_turn();
    let (key, rolled_out) = (story.key("dev", "eu-west-1"), story.now);
    story.at("dev", "eu-west-1").edits("svc-deploy-2");
    story.known.get_mut(&key).unwrap().current.at = rolled_out;
    story.wait(Span::from_minutes(1));
    let report = story.run();
    assert_eq!(value(&report, "dev", "eu-west-1", Aspect::Definition), Answer::Unknown, "recorded as the baseline");
    assert_eq!(
        value(&report, "dev", "us-east-1", Aspect::Definition),
        Answer::InSync,
        "a release is no drift of others"
    );
    story.next_turn();
    assert_eq!(value(&story.run(), "dev", "eu-west-1", Aspect::Definition), Answer::InSync);

    story.next_turn();
    story.at("dev", "eu-west-1").edits("by-hand");
    assert_eq!(value(&story.run(), "dev", "eu-west-1", Aspect::Definition), Answer::Drifted);
}
