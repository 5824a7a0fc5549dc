//! What people and programs read about a drift check, as golden files: stories told through the real core, then drawn.
//!
//! `INSTA_UPDATE=always cargo test -p manifold-core --test drift_report` rewrites them; read the difference.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod drift {
    #[allow(dead_code, reason = "another test tells other parts of a story")]
    pub(crate) mod story;
}
#[path = "summary/limits.rs"]
mod limits;

use std::collections::BTreeMap;

use manifold_core::checkup::Tried;
use manifold_core::drift::check::{Change, Concluded, Looked, Phase, Telling};
use manifold_core::drift::judge::{Finding, Value};
use manifold_core::drift::message::Look;
use manifold_core::drift::report::{Answer, slack, text};
use manifold_core::drift::settle::Settled;
use manifold_core::drift::sight::{
    DisabledTransition, PendingApproval, PropertyDrift, ResourceDrift, StackSeen, Trace,
};
use manifold_core::drift::{Aspect, Ignore, Quiet, Report, Response};
use manifold_core::summary::Payload;
use manifold_core::time::Span;
use proptest::prelude::*;

use drift::story::{OTHER, Story, at, by_hand};
use limits::assert_slack_limits;

/// Draws the report in every form, checks Slack's limits, and compares with the golden files.
fn check(name: &str, report: &Report) -> Payload {
    let message = slack::message(report);
    let thread = slack::thread(report);
    assert_slack_limits(&message);
    thread.iter().for_each(assert_slack_limits);
    let drawn = text::render(report);
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "control characters in {drawn:?}");
    let header = message.blocks[0]["text"]["text"].as_str().unwrap();
    if !report.is_in_sync() || report.overdue.is_some() {
        assert!(!header.contains("white_check_mark") && !drawn.starts_with('✔'), "green without truth: {header}");
        assert!(!header.ends_with("targets in sync") || report.overdue.is_some(), "{header}");
    }

    let mut golden = insta::Settings::clone_current();
    golden.set_snapshot_path("drift");
    golden.set_prepend_module_to_snapshot(false);
    golden.set_omit_expression(true);
    golden.bind(|| {
        insta::assert_snapshot!(format!("{name}.slack"), serde_json::to_string_pretty(&message).unwrap());
        if let Some(thread) = &thread {
            insta::assert_snapshot!(format!("{name}.thread"), serde_json::to_string_pretty(thread).unwrap());
        }
        insta::assert_snapshot!(format!("{name}.text"), drawn);
    });
    message
}

fn said(payload: &Payload) -> String {
    serde_json::to_string(&payload.blocks).unwrap()
}

/// A story whose first check found everything in sync, and that is at the turn of the next one.
fn settled() -> Story {
    let mut story = Story::new();
    assert!(story.run().is_in_sync());
    story.next_turn();
    story
}

/// One changed by hand, one edited, one stack drifted, one role removed.
fn break_four(story: &mut Story) {
    story.at("dev", "eu-west-1").deploys(by_hand("by-hand-1", OTHER, at("2026-11-28T06:20:00Z")));
    story.at("prod", "us-east-1").edits("svc-hotfix");
    story.at("team-a", "eu-west-1").changes_queue();
    story.deny("team-b", "us-east-1");
}

fn mend_four(story: &mut Story) {
    for (account, region) in
        [("dev", "eu-west-1"), ("prod", "us-east-1"), ("team-a", "eu-west-1"), ("team-b", "us-east-1")]
    {
        story.repair(account, region);
    }
}

#[test]
fn all_in_sync() {
    let mut story = settled();
    let report = story.run();
    assert!(report.is_in_sync() && report.is_closed() && !report.has_drift() && !report.has_unknown());
    assert_eq!(report.counts, story.closed().counts);
    assert_eq!(slack::thread(&report), None, "there is nothing to detail");
    check("all_in_sync", &report);
}

#[test]
fn the_first_check_says_that_it_is_the_first() {
    let mut story = Story::new();
    story.at("prod", "us-east-1").edits("svc-hotfix");
    let report = story.run();
    assert_eq!(report.before, None);
    let odd = &report.targets.iter().find(|target| target.value == Some(Answer::Drifted)).unwrap();
    let findings = &odd.aspects[&Aspect::Definition].findings;
    let path = "/stages/Deploy/actions/Deploy/configuration/ProjectName";
    assert_eq!(findings.iter().map(|f| f.path.as_deref()).collect::<Vec<_>>(), [Some(path)], "the odd one out of ten");
    check("first_check", &report);
}

#[test]
fn one_of_each_kind() {
    let mut story = settled();
    break_four(&mut story);
    let report = story.run();
    assert_eq!((report.counts, report.news), (story.closed().counts, story.closed().news));
    assert_eq!((report.counts.drifted, report.counts.unknown), (3, 1));
    let message = check("one_of_each_kind", &report);
    assert_eq!(
        message.text,
        ":x: web: drift in 3 of 10 targets, 1 unknown – :x: 3 drifted · :grey_question: 1 unknown · \
         :white_check_mark: 6 in sync"
    );
    assert!(said(&message).contains("/stacks/drifts?stackId=arn%3Aaws%3Acloudformation%3A"), "{}", said(&message));
    let golden = serde_json::to_string_pretty(&report).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("drift");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("one_of_each_kind.json", golden));
}

#[test]
fn what_stands_is_counted_and_what_is_mended_is_told() {
    let mut story = settled();
    break_four(&mut story);
    let first = story.run();
    story.next_turn();
    // Nothing new: nothing to tell, and all of it still there for who asks.
    let report = story.run();
    assert_eq!(story.closed().telling, Telling::Silent);
    assert_eq!((report.news.new, report.news.resolved, report.counts), (0, 0, first.counts));
    assert_eq!(slack::thread(&report), None, "there is no news to detail");
    check("as_before", &report);

    // Another edit, one that can't be seen any more, and one that is mended.
    story.next_turn();
    story.at("prod", "us-east-1").edits("svc-other");
    story.deny("team-a", "eu-west-1");
    story.repair("team-b", "us-east-1");
    check("other_than_before", &story.run());

    story.next_turn();
    mend_four(&mut story);
    let report = story.run();
    assert!(report.is_in_sync(), "{report:?}");
    assert_eq!(story.closed().telling, Telling::Post);
    check("resolved", &report);
}

#[test]
fn a_digest_lists_all_that_stands() {
    let mut story = settled();
    story.policy.digest = Some(Span::from_minutes(60 * 3));
    break_four(&mut story);
    story.run();
    let mut report = story.report();
    while !report.is_digest {
        story.next_turn();
        report = story.run();
    }
    assert_eq!((report.news.new, story.closed().telling.clone()), (0, Telling::Post));
    assert!(slack::thread(&report).is_some());
    check("digest", &report);
}

#[test]
fn an_open_check_says_how_far_it_is_and_what_it_waits_for() {
    let mut story = settled();
    break_four(&mut story);
    story.open();
    for index in 0..4 {
        story.look(Look::First, index);
    }
    // A detection that goes on.
    let since = story.now;
    let target = story.plan[4].key.clone();
    let detecting = Tried::Done(StackSeen::Detecting { id: "d-1".to_owned(), since });
    story.there.get_mut(&target).unwrap().sight.stacks[0].seen = detecting;
    story.look(Look::First, 4);
    let report = story.report();
    assert!(!report.is_closed() && !report.is_in_sync());
    assert!(report.targets.iter().all(|target| target.value.is_none() && target.aspects.is_empty()));
    let message = check("looking", &report);
    assert_eq!(message.text, ":hourglass_flowing_sand: web: drift check, 4 of 10 targets looked at");
}

#[test]
fn a_check_that_confirms_says_what_is_looked_at_again() {
    let mut story = settled();
    break_four(&mut story);
    story.open_asked(Some("after the incident"));
    story.look_all();
    assert!(matches!(story.settle(), Settled::Confirms { .. }));
    story.look(Look::Second, 0);
    let report = story.report();
    assert_eq!(report.news, Default::default(), "nothing is concluded yet");
    let message = check("confirming", &report);
    assert_eq!(message.text, ":hourglass_flowing_sand: web: drift check, 1 of 4 targets looked at again");
}

#[test]
fn a_message_of_an_open_check_does_not_change_with_time_alone() {
    let mut story = settled();
    story.open();
    story.look(Look::First, 0);
    let before = slack::message(&story.report());
    story.wait(Span::from_minutes(20));
    assert_eq!(slack::message(&story.report()), before);
}

#[test]
fn an_outage_of_the_check_is_said() {
    let mut story = settled();
    for planned in story.plan.clone() {
        story.deny(&planned.account_name, planned.key.region.as_str());
    }
    let report = story.run();
    assert!(report.is_outage() && report.has_unknown() && !report.is_in_sync());
    let message = check("outage", &report);
    assert!(message.text.starts_with(":grey_question: web: the check itself could not look, 10 targets unknown"));
}

#[test]
fn a_check_whose_time_is_up_says_what_it_did_not_see() {
    let mut story = settled();
    story.open();
    for index in 0..7 {
        story.look(Look::First, index);
    }
    story.wait(Span::from_minutes(31));
    assert!(matches!(story.settle(), Settled::Ends(_)));
    let report = story.report();
    assert_eq!((report.counts.in_sync, report.counts.unknown), (7, 3));
    assert_eq!(report.counts, story.closed().counts);
    check("out_of_time", &report);
}

#[test]
fn that_no_check_followed_is_said_first() {
    let mut story = settled();
    story.run();
    story.wait(Span::from_minutes(180));
    assert!(matches!(story.settle(), Settled::Overdue { .. }));
    let message = check("overdue", &story.report());
    assert!(
        message.text.starts_with(":warning: web: no drift check since 2026-11-28T07:00:04Z; then 10 targets in sync"),
        "{}",
        message.text
    );
}

#[test]
fn later_checks_that_found_nothing_new_are_counted() {
    let mut story = settled();
    story.policy.quiet = Quiet::Edit;
    break_four(&mut story);
    story.run();
    let told = story.check.clone();
    for _ in 0..5 {
        story.next_turn();
        story.run();
        assert_eq!(story.closed().telling, Telling::Again { of: told.clone() });
    }
    let report = story.report_of(&told);
    assert_eq!(report.again.as_ref().map(|again| again.times), Some(5));
    check("again", &report);
}

#[test]
fn unhealthy_pipelines() {
    let mut story = settled();
    let disabled = |stage: &str, reason: Option<&str>| DisabledTransition {
        stage: stage.to_owned(),
        reason: reason.map(str::to_owned),
        by: Some("arn:aws:iam::333333333333:user/jane".to_owned()),
        at: Some(at("2026-11-28T06:30:00Z")),
    };
    story.at("prod", "eu-west-1").state().disabled = vec![disabled("Deploy", Some("freeze"))];
    story.at("prod", "us-east-1").state().disabled = vec![disabled("Deploy", Some("freeze"))];
    story.at("dev", "eu-west-1").state().approvals = vec![PendingApproval {
        stage: "Gate".to_owned(),
        action: "Ask".to_owned(),
        since: Some(at("2026-11-20T00:00:00Z")),
    }];
    let mut failed = by_hand("failed-1", OTHER, at("2026-11-28T06:40:00Z"));
    failed.status = "Failed".to_owned();
    story.at("team-a", "us-east-1").runs(failed);
    let report = story.run();
    assert_eq!(report.counts.drifted, 4);
    let message = check("unhealthy", &report);
    assert!(said(&message).contains("/executions/failed-1/"), "the execution is linked: {}", said(&message));
}

#[test]
fn a_stack_is_told_with_its_properties_and_who_changed_them() {
    let mut story = settled();
    let trace = |event: &str, resource: &str| Trace {
        event: event.to_owned(),
        by: "john.doe@example.com".to_owned(),
        at: at("2026-11-28T06:11:00Z"),
        resource: resource.to_owned(),
    };
    for (account, region) in [("dev", "eu-west-1"), ("dev", "us-east-1"), ("staging", "eu-west-1")] {
        story.at(account, region).changes_queue();
        let traces = vec![trace("SetQueueAttributes", "https://sqs.eu-west-1.amazonaws.com/444455556666/jobs")];
        story.at(account, region).sight.trail = Some(Tried::Done(traces));
    }
    // One of them in another way, with a resource that is gone, and a nested stack that nobody looked into.
    let drift = story.at("staging", "eu-west-1").stack();
    drift.drifted.push(ResourceDrift {
        logical: "Dead".to_owned(),
        physical: None,
        kind: "AWS::SQS::Queue".to_owned(),
        is_deleted: true,
        properties: Vec::new(),
        more: 0,
    });
    drift.more = 3;
    drift.nested = vec!["Inner".to_owned()];
    check("stacks", &story.run());
}

#[test]
fn what_was_seen_at_one_of_two_looks_is_unknown() {
    let mut story = settled();
    story.at("dev", "eu-west-1").changes_queue();
    let report = story.run_with(|story| {
        story.at("dev", "eu-west-1").stack().drifted[0].properties[0].actual = Some("90".to_owned());
        story.at("dev", "eu-west-1").stack().drifted[0].properties.truncate(1);
    });
    assert!(report.has_unknown() && !report.has_drift());
    check("unconfirmed", &report);
}

#[test]
fn ignore_rules_gone_targets_and_what_is_brought_back() {
    let mut story = settled();
    let rule = |target: &str, until: &str| Ignore {
        target: target.to_owned(),
        aspect: Some(Aspect::Stack),
        path: Some("/svc-queues/Jobs/*".to_owned()),
        owner: "team-a".to_owned(),
        reason: "the *new* timeout <!here> is tried out".to_owned(),
        until: at(until),
    };
    story.policy.ignore = vec![
        rule("team-a/*", "2026-12-24T00:00:00Z"),
        rule("staging/*", "2026-12-20T00:00:00Z"),
        rule("dev/*", "2026-11-01T00:00:00Z"),
    ];
    story.policy.response = Response::Redeploy;
    break_four(&mut story);
    story.at("dev", "us-east-1").changes_queue();
    let first = story.run();
    assert_eq!(first.redeploys.len(), 1);
    check("brought_back", &first);
    // What drifted in prod is not the app's any more.
    story.next_turn();
    story.plan.retain(|planned| planned.account_name != "prod");
    story.plan.iter_mut().zip(0..).for_each(|(planned, index)| planned.index = index);
    let report = story.run();
    assert_eq!((report.gone.as_slice(), report.redeploys.len()), (&["prod/us-east-1".to_owned()][..], 0));
    assert_eq!((report.rules.in_force, report.rules.expired.len()), (2, 1));
    check("rules", &report);
}

#[test]
fn part_of_the_app_and_one_target() {
    let mut story = settled();
    story.open_asked(None);
    story.checks.get_mut(&story.check).unwrap().is_whole = false;
    story.go_on(|_| {});
    assert!(text::render(&story.report()).contains("Only of 10 targets"));

    let mut story = Story::of(&[("dev".to_owned(), "111111111111".to_owned())], &["cn-north-1"]);
    story.run();
    story.next_turn();
    story.at("dev", "cn-north-1").edits("svc-hotfix");
    let message = check("one_target_in_china", &story.run());
    assert!(said(&message).contains("https://cn-north-1.console.amazonaws.cn/"), "{}", said(&message));
}

#[test]
fn what_nobody_stored_or_concluded_is_never_in_sync() {
    let mut story = settled();
    story.run();
    let closed = &story.checks[&story.check];
    let looked: Vec<Looked> = story.looked[&story.check].values().skip(1).cloned().collect();
    let report = Report::of(closed, &story.plan, &looked);
    assert_eq!((report.counts.in_sync, report.counts.unknown), (9, 1));
    assert!(!report.is_in_sync() && text::render(&report).contains("nothing is stored of it"));
    // Nothing that was to be looked at says nothing.
    let mut plan = story.plan.clone();
    plan.iter_mut().for_each(|planned| planned.looks = None);
    let all: Vec<Looked> = story.looked[&story.check].values().cloned().collect();
    assert!(!Report::of(closed, &plan, &all).is_in_sync());
}

/// What somebody may have called a stage, a property or an account.
const HOSTILE: &str = "<!channel> <@U012AB3CD> *URGENT* `x` ```y``` <https://evil.example|sign in> :white_check_mark: \
                       \u{202e}gnp.exe _now_ \u{1b}[2J\nsecond line &amp; |";

/// A finding whose every text is up to no good.
fn hostile(text: &str) -> Finding {
    Finding {
        words: text.to_owned(),
        path: Some(format!("/{text}")),
        expected: Some(text.to_owned()),
        found: Some(text.to_owned()),
        by: Some(text.to_owned()),
        at: Some(at("2026-11-28T06:30:00Z")),
        is_unseen: false,
    }
}

#[test]
fn hostile_texts() {
    let mut story = settled();
    story.policy.ignore = vec![Ignore {
        target: HOSTILE.to_owned(),
        aspect: None,
        path: Some(HOSTILE.to_owned()),
        owner: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
        until: at("2026-11-01T00:00:00Z"),
    }];
    story.plan[3].account_name = HOSTILE.to_owned();
    let there = story.at("dev", "eu-west-1");
    there.state().disabled = vec![DisabledTransition {
        stage: HOSTILE.to_owned(),
        reason: Some(HOSTILE.to_owned()),
        by: Some(HOSTILE.to_owned()),
        at: None,
    }];
    let drift = there.stack();
    drift.status = "DRIFTED".to_owned();
    drift.drifted = vec![ResourceDrift {
        logical: HOSTILE.to_owned(),
        physical: None,
        kind: HOSTILE.to_owned(),
        is_deleted: false,
        properties: vec![PropertyDrift {
            path: format!("/{HOSTILE}"),
            expected: Some(HOSTILE.to_owned()),
            actual: Some(HOSTILE.to_owned()),
        }],
        more: 0,
    }];
    let key = story.key("dev", "us-east-1");
    story.there.get_mut(&key).unwrap().sight.assumed =
        Tried::Refused { code: HOSTILE.to_owned(), message: HOSTILE.to_owned() };
    let mut report = story.run();
    report.gone = vec![HOSTILE.to_owned()];
    let message = check("hostile", &report);
    let thread = said(&slack::thread(&report).unwrap());
    for pings in ["<!channel", "<!here", "<!everyone", "<@", "<#", "<!subteam", ":white_check_mark: ∗"] {
        assert!(!said(&message).contains(pings) && !thread.contains(pings), "{pings} in {}", said(&message));
    }
}

/// Concludes a check by hand: of each target what is given.
fn concluded(story: &mut Story, of: impl Fn(usize) -> BTreeMap<Aspect, Concluded>) -> Report {
    story.run();
    let looked: Vec<Looked> = story.looked[&story.check]
        .values()
        .enumerate()
        .map(|(index, looked)| Looked { concluded: of(index), ..looked.clone() })
        .collect();
    Report::of(&story.checks[&story.check], &story.plan, &looked)
}

fn big(accounts: u64) -> Story {
    let regions = [
        "eu-west-1",
        "eu-central-1",
        "eu-north-1",
        "us-east-1",
        "us-east-2",
        "us-west-2",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "sa-east-1",
    ];
    let account = |n: u64| (format!("team-{n:04}"), format!("{:012}", 100_000_000_000 + n));
    Story::of(&(1..=accounts).map(account).collect::<Vec<_>>(), &regions)
}

#[test]
fn ten_thousand_targets() {
    let mut story = big(1_000);
    let since = at("2026-11-20T06:00:00Z");
    let report = concluded(&mut story, |index| {
        let (value, change) = match index % 5 {
            0 => (Value::Drifted(vec![hostile(&format!("{HOSTILE} {}", index % 40))]), Change::New),
            1 => (Value::Drifted(vec![hostile("stage")]), Change::Other { since, was: HOSTILE.to_owned() }),
            2 => (Value::Unknown(vec![hostile(&format!("Throttled {}", index % 70))]), Change::New),
            3 => (Value::Drifted(vec![hostile("stands")]), Change::Persisting { since }),
            _ => (Value::InSync, Change::Resolved { since, was: HOSTILE.to_owned() }),
        };
        BTreeMap::from([(Aspect::ALL[index % 4], Concluded { value, change })])
    });
    assert_eq!(report.size, 10_000);
    let message = check("ten_thousand_targets", &report);
    let message = said(&message);
    for part in ["*New*", "*Not known*", "*In sync again*", "*As before*", " more findings, in "] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for pings in ["<!channel", "<@"] {
        assert!(!message.contains(pings), "{pings} in {message}");
    }
}

#[test]
fn each_size_stays_within_the_limits() {
    for accounts in [1, 2, 10, 100] {
        for is_digest in [false, true] {
            let mut story = big(accounts);
            let since = at("2026-11-20T06:00:00Z");
            // Every target with findings of its own, and as much to say as may be said.
            let mut report = concluded(&mut story, |index| {
                let one = |n: usize| Finding {
                    at: Some(since.plus(Span::from_minutes(n as i64))),
                    ..hostile(&format!("{index} {n} {}", "<>&😀`".repeat(100)))
                };
                let findings: Vec<Finding> = (0..25).map(one).collect();
                let change = if index % 2 == 0 { Change::New } else { Change::Persisting { since } };
                let all = Aspect::ALL.into_iter();
                all.map(|aspect| {
                    (aspect, Concluded { value: Value::Drifted(findings.clone()), change: change.clone() })
                })
                .collect()
            });
            report.is_digest = is_digest;
            assert_slack_limits(&slack::message(&report));
            assert_slack_limits(&slack::thread(&report).unwrap());
            let lines = text::render(&report).lines().count();
            assert!(lines < 1_000, "{lines} lines");
        }
    }
}

#[test]
fn the_same_facts_in_any_order_give_the_same_message() {
    let mut story = settled();
    break_four(&mut story);
    let report = story.run();
    let shuffled: Vec<Looked> = story.looked[&story.check].values().rev().cloned().collect();
    assert_eq!(Report::of(&story.checks[&story.check], &story.plan, &shuffled), report);
}

#[test]
fn a_closed_checks_waits_are_over() {
    let mut story = settled();
    story.run();
    assert!(matches!(story.checks[&story.check].phase, Phase::Closed(_)));
    assert!(story.report().waits_for.is_empty());
}

/// Texts such as people and machines have sent: markup, broken entities, reordering, and a great length.
fn nasty() -> impl Strategy<Value = String> {
    let pieces = vec![
        "<!channel>",
        "<@U012AB3CD>",
        "<https://evil.example|click>",
        "<",
        ">",
        "&",
        "&lt",
        "|",
        "*",
        "_",
        "~",
        "`",
        "```",
        "\n",
        "\r\n> ",
        "\u{202e}",
        "\u{200b}",
        "\u{1b}[2J",
        "\u{0}",
        "😀",
        "漢字",
        ":x:",
        ":white_check_mark:",
        " word ",
        "/",
        "…",
        "<!date^1^{date}|x>",
    ];
    let piece = prop::sample::select(pieces);
    prop_oneof![
        8 => prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat()),
        4 => any::<String>(),
        1 => prop::sample::select(vec!["<", "&", "😀", "<!here>", "\n", "`a"]).prop_map(|text| text.repeat(50_000 / text.len())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_from_outside_breaks_the_limits_or_speaks_slacks_markup(
        texts in prop::collection::vec(nasty(), 8),
        kinds in prop::collection::vec((0_usize..4, 0_usize..3, 0_usize..4), 10),
    ) {
        let [words, path, expected, found, by, was, name, reason] = <[String; 8]>::try_from(texts).unwrap();
        let mut story = Story::new();
        story.policy.ignore = vec![Ignore {
            target: name.clone(), aspect: None, path: Some(path.clone()), owner: by.clone(), reason, until: at("2026-01-01T00:00:00Z"),
        }];
        let since = at("2026-11-20T06:00:00Z");
        let finding = Finding {
            words, path: Some(path), expected: Some(expected), found: Some(found), by: Some(by), at: Some(since), is_unseen: false,
        };
        let mut report = concluded(&mut story, |index| {
            let (aspect, value, change) = kinds[index % kinds.len()];
            let findings = vec![finding.clone(), Finding { path: None, at: None, ..finding.clone() }];
            let (value, change) = match (value, change) {
                (0, _) => (Value::InSync, Change::Resolved { since, was: was.clone() }),
                (1, 0) => (Value::Drifted(findings), Change::New),
                (1, 1) => (Value::Drifted(findings), Change::Other { since, was: was.clone() }),
                (1, _) => (Value::Drifted(findings), Change::Persisting { since }),
                (_, 0) => (Value::Unknown(findings), Change::New),
                (_, 1) => (Value::Unknown(findings), Change::Other { since, was: was.clone() }),
                (_, _) => (Value::Unknown(findings), Change::Persisting { since }),
            };
            BTreeMap::from([(Aspect::ALL[aspect], Concluded { value, change })])
        });
        report.targets.iter_mut().for_each(|target| target.account_name.push_str(&name));
        report.gone = vec![name.clone(), was.clone()];
        report.waits_for = vec![was.clone(), name.clone()];
        report.is_digest = kinds[0].2 == 0;
        assert_slack_limits(&slack::message(&report));
        slack::thread(&report).iter().for_each(assert_slack_limits);
        let drawn = text::render(&report);
        let hidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        prop_assert!(!drawn.contains(hidden), "hidden characters in {:?}", drawn);
    }
}
