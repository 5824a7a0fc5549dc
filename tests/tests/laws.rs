//! The laws, each over the embedded run: the real handlers, virtual time, and what AWS may do to them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use manifold_core::ids::RunId;
use manifold_core::run::{Outcome, Verdict};
use manifold_core::time::Span;
use manifold_local::faults::{At, Faults, Harm, Mishap};
use manifold_local::world::Inbox;
use manifold_ports::clock::Clock;
use manifold_tests::{COMMIT, EVENT, FLEET, Story, Told};
use serde_json::{Value, json};

const REGIONS: [&str; 5] = ["us-east-1", "ca-central-1", "ap-southeast-2", "eu-central-1", "eu-west-1"];

/// Whoever passes this point for these times, counted from 0, dies there.
fn killed_at(name: &'static str, nths: impl IntoIterator<Item = u64>) -> Vec<Mishap> {
    nths.into_iter().map(|nth| Mishap { at: At::Named(name, nth), harm: Harm::Killed }).collect()
}

fn ten_executions(told: &Told) {
    let executions = told.executions();
    assert_eq!(executions.len(), 10, "{executions:?}");
    assert!(executions.values().all(|count| *count == 1), "{executions:?}");
}

#[test]
fn one_release_event_deploys_ten_targets_and_posts_one_summary() {
    let told = Story::new().tell();
    told.check_invariants(false);
    ten_executions(&told);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded));
    assert_eq!(told.messages().len(), 1);
}

// Law 1: never twice.

#[test]
fn law_1_two_workers_on_one_message_start_one_execution() {
    for seed in 0..20 {
        // Every message is delivered twice, and the engine does not remember its tokens: only the claim helps.
        let faults = Faults { duplicates: 1.0, tokens_forgotten: true, ..Faults::default() };
        let told = Story::new().seed(seed).faults(faults).tell();
        told.check_invariants(false);
        ten_executions(&told);
        assert_eq!(told.verdict(), Some(Verdict::Succeeded), "seed {seed}");
    }
}

#[test]
fn law_1_a_deploy_that_dies_between_start_and_record_is_found_not_repeated() {
    // Every first start is lost with its worker; no event names the run, so nobody but the next worker can know.
    let mishaps = killed_at("engine.start/after", 0..3);
    let faults = Faults { mishaps, tokens_forgotten: true, started_untold: true, ..Faults::default() };
    let told = Story::new().faults(faults).tell();
    assert!(told.simulation().killed("deploy") > 0);
    assert!(told.simulation().world().calls().contains_key("engine.find"), "the next worker looked");
    told.check_invariants(false);
    ten_executions(&told);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn law_1_a_deploy_that_dies_between_start_and_record_is_known_by_its_started_event() {
    let mishaps = killed_at("engine.start/after", 0..3);
    let faults = Faults { mishaps, tokens_forgotten: true, ..Faults::default() };
    let told = Story::new().faults(faults).tell();
    assert!(told.simulation().killed("deploy") > 0);
    told.check_invariants(false);
    ten_executions(&told);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn law_1_a_deploy_that_dies_before_the_start_is_made_good() {
    let mishaps = killed_at("engine.start/before", 0..3);
    let faults = Faults { mishaps, tokens_forgotten: true, ..Faults::default() };
    let told = Story::new().faults(faults).tell();
    assert!(told.simulation().killed("deploy") > 0);
    told.check_invariants(false);
    ten_executions(&told);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded));
}

#[test]
fn law_1_a_deploy_that_died_is_not_made_good_once_the_run_is_halted() {
    // Five in dev and two in prod are started; the worker of the third in prod dies, and both others fail.
    let mishaps = killed_at("engine.start/before", [7]);
    let told = Story::new().faults(Faults { mishaps, ..Faults::default() }).fail("prod/*=JobFailed").tell();
    assert_eq!(told.simulation().killed("deploy"), 1);
    told.check_invariants(false);
    assert_eq!(told.executions().len(), 7, "{:?}", told.executions());
    assert_eq!(told.summary().waves[1].tally.skipped, 1);
    assert_eq!(told.verdict(), Some(Verdict::Failed));
}

#[test]
fn law_1_and_2_a_handler_may_die_at_any_of_its_awaits() {
    let points = Story::new().tell().simulation().world().points();
    assert!(points > 100, "{points}");
    let mut gaps = 0;
    for point in 0..points {
        let faults = Faults {
            mishaps: vec![Mishap { at: At::Any(point), harm: Harm::Killed }],
            tokens_forgotten: true,
            ..Faults::default()
        };
        let told = Story::new().faults(faults).tell();
        let gap = told.simulation().killed("summarize") > 0;
        gaps += usize::from(told.messages().len() > 1);
        told.check_invariants(gap);
        ten_executions(&told);
        let at = told.simulation().world().killed_at();
        assert_eq!(told.verdict(), Some(Verdict::Succeeded), "killed at point {point}, {at:?}");
    }
    // Between Slack's answer to the first message and its record there are three awaits.
    assert!(gaps <= 3, "{gaps} of {points} deaths posted a second message");
}

#[test]
fn laws_1_to_3_the_table_may_refuse_or_leave_unanswered_any_of_its_calls() {
    let mut refused = 0;
    for name in ["ledger.get", "ledger.targets", "ledger.commit/before", "ledger.commit/after"] {
        for nth in 0.. {
            let mishap = Mishap { at: At::Named(name, nth), harm: Harm::Refused };
            let faults = Faults { mishaps: vec![mishap], tokens_forgotten: true, ..Faults::default() };
            let told = Story::new().faults(faults).tell();
            if told.simulation().world().met().is_empty() {
                break;
            }
            refused += 1;
            assert_eq!(told.verdict(), Some(Verdict::Succeeded), "{mishap}");
            // One message, too: nobody has died, so that what Slack answered is known.
            assert_eq!(told.messages().len(), 1, "{mishap}");
            told.check_invariants(false);
            ten_executions(&told);
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn law_1_a_duplicate_release_event_opens_no_second_run() {
    let told = Story::new().and_event(EVENT).and_event(EVENT).tell();
    told.check_invariants(false);
    ten_executions(&told);
    assert_eq!(told.simulation().world().runs().len(), 1);
}

#[test]
fn law_2_where_nothing_is_lost_the_sweep_finds_nothing_to_do() {
    for seed in 0..20 {
        let told = Story::new().seed(seed).fail("prod/eu-west-1=JobFailed").tell();
        told.check_invariants(false);
        // But for one more look at what Slack shows, before the run is forgotten.
        assert_eq!((told.simulation().overdue(), told.summary().asked_for), (1, 0), "seed {seed}");
        assert!(!told.simulation().world().calls().contains_key("engine.ask"));
    }
}

#[test]
fn law_2_when_all_events_are_lost_every_result_is_asked_for_within_minutes() {
    let told = Story::new().faults(Faults { lost: 1.0, ..Faults::default() }).tell();
    told.check_invariants(false);
    ten_executions(&told);
    let summary = told.summary();
    assert_eq!((summary.verdict, summary.asked_for), (Some(Verdict::Succeeded), 10));
    // Executions take up to four minutes; each is asked for when it has been silent for five.
    let world = told.simulation().world();
    let posted = world.slack_calls().pop().unwrap();
    assert!(posted.body.to_string().contains("10 results were asked for, as their events did not arrive."));
    assert_eq!(world.calls()["engine.ask"], 10, "one call for each");
    // Dev, then prod in three turns of two: four times five minutes, and a minute for each look.
    assert!(summary.took().unwrap() < Span::from_minutes(26), "{}", summary.took().unwrap());
}

#[test]
fn law_2_whatever_share_of_the_events_is_lost_the_result_is_the_same() {
    let fails = ["JobFailed", "Retried", "Superseded", "Canceled", "Stopped", "UnknownState", "Throttled"];
    for fail in fails {
        let tell = |seed, lost| {
            let faults = Faults { lost, ..Faults::default() };
            let told = Story::new().seed(seed).faults(faults).fail(&format!("prod/eu-west-1={fail}")).tell();
            told.check_invariants(false);
            ten_executions(&told);
            told
        };
        let plain = tell(0, 0.0);
        for (seed, lost) in [(1, 1.0), (2, 1.0), (3, 0.3), (4, 0.3), (5, 0.3), (6, 0.3)] {
            let told = tell(seed, lost);
            if fail == "Retried" && lost < 1.0 {
                continue; // A retry of which nothing is heard is not asked for, once its failure was told.
            }
            assert_eq!(told.verdict(), plain.verdict(), "{fail}, {lost} lost, seed {seed}");
            assert_eq!(told.outcome("prod/eu-west-1"), plain.outcome("prod/eu-west-1"), "{fail}, {lost} lost");
        }
    }
}

#[test]
fn law_2_late_events_after_an_answer_change_nothing() {
    for seed in 0..20 {
        // So late that the engine is asked first.
        let faults = Faults { duplicates: 0.5, disorder: Span::from_minutes(40), ..Faults::default() };
        let told = Story::new().seed(seed).faults(faults).fail("prod/eu-west-1=JobFailed").tell();
        told.check_invariants(false);
        ten_executions(&told);
        assert!(told.summary().asked_for > 0);
        assert_eq!(told.verdict(), Some(Verdict::CompletedWithFailures), "seed {seed}");
    }
}

#[test]
fn law_1_and_2_two_sweeps_at_once_over_lost_events_and_lost_messages_start_nothing_twice() {
    for seed in 0..30 {
        let faults =
            Faults { lost: 0.3, messages_lost: 0.3, sweeps: Some(2), tokens_forgotten: true, ..Faults::default() };
        let newer = EVENT
            .replace("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", "aaaaaaaa-7d52-4d5e-9f0b-5a1f7c2b9e01")
            .replace("2026-10-26T13:58:01Z", "2026-10-26T14:03:00Z");
        let told = Story::new().seed(seed).faults(faults).and_event(newer).tell();
        told.check_invariants(false);
        assert_eq!(told.executions().values().sum::<usize>(), 20, "seed {seed}");
        let verdicts: Vec<_> = told.simulation().verdicts().into_values().collect();
        assert_eq!(verdicts, [Some(Verdict::Succeeded); 2], "seed {seed}");
    }
}

#[test]
fn law_1_and_2_a_handler_or_a_sweep_may_die_at_any_await_of_a_run_whose_events_are_lost() {
    let faults = Faults { lost: 1.0, tokens_forgotten: true, ..Faults::default() };
    let points = Story::new().faults(faults.clone()).tell().simulation().world().points();
    let mut killed = 0;
    for point in 0..points {
        let told = Story::new()
            .faults(Faults { mishaps: vec![Mishap { at: At::Any(point), harm: Harm::Killed }], ..faults.clone() })
            .tell();
        killed += told.simulation().killed("sweep");
        told.check_invariants(told.simulation().killed("summarize") > 0);
        ten_executions(&told);
        let at = told.simulation().world().killed_at();
        assert_eq!(told.verdict(), Some(Verdict::Succeeded), "killed at point {point}, {at:?}");
    }
    assert!(killed > 50, "{killed}");
}

#[test]
fn law_1_and_2_whoever_asks_may_die_at_any_of_its_awaits_and_what_follows_is_done() {
    // Points of these names are passed by whoever asks, and by others.
    for name in ["engine.ask", "ledger.commit/after", "queues.send/before", "queues.send/after"] {
        for nth in (0..60).step_by(3) {
            let mishaps = killed_at(name, [nth]);
            let faults = Faults { lost: 1.0, mishaps, ..Faults::default() };
            let told = Story::new().faults(faults).fail("prod/eu-west-1=JobFailed").tell();
            told.check_invariants(told.simulation().killed("summarize") > 0);
            let summary = told.summary();
            assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures), "{name} {nth}");
            assert_eq!(summary.causes[0].cause, "JobFailed in action Deploy", "{name} {nth}: it was asked for");
        }
    }
}

#[test]
fn law_2_a_silent_target_is_asked_for_in_vain_and_times_out_at_the_deadline() {
    let told = Story::new().fail("dev/us-east-1=Silent").tell();
    told.check_invariants(false);
    let summary = told.summary();
    assert_eq!((summary.verdict, summary.asked_for), (Some(Verdict::TimedOut), 0));
    let late = summary.ended_at.unwrap().since(summary.due_at.unwrap());
    assert!(late < Span::from_minutes(2), "{late}");
    // In two hours: after 5 and 10 minutes, then every 10, and once before the deadline. The last turn comes with the
    // deadline, and either may be faster.
    let asked = told.simulation().world().calls()["engine.ask"];
    assert!((13..=14).contains(&asked), "{asked}");
}

/// The event that tells of a retry of the one execution that failed.
fn resumed(simulation: &manifold_local::simulation::Simulation) -> String {
    let executions = simulation.world().executions().into_iter();
    let failed = executions.rev().find(|execution| execution.error_code.is_some()).unwrap();
    json!({
        "version": "0", "id": "again", "source": "aws.codepipeline", "resources": [],
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "account": failed.target.account, "region": failed.target.region, "time": "2026-10-26T14:28:05Z",
        "detail": {
            "pipeline": "svc-deploy", "execution-id": failed.id, "state": "RESUMED", "version": 1.0,
            "pipeline-execution-attempt": 2.0,
        },
    })
    .to_string()
}

#[test]
fn law_2_a_retry_after_the_verdict_is_asked_for_when_its_end_is_lost() {
    let mut simulation = Story::new().fail("prod/eu-west-1=JobFailed").begin();
    simulation.run().unwrap();
    // It fails again, and no event tells.
    simulation.world().deliver(Inbox::Collect, resumed(&simulation), Span::from_millis(0));
    simulation.run().unwrap();
    let told = Told::of(simulation);
    told.check_invariants(false);
    let summary = told.summary();
    assert_eq!((summary.verdict, summary.asked_for), (Some(Verdict::CompletedWithFailures), 1));
    assert_eq!(told.simulation().world().calls()["engine.ask"], 1);
}

#[test]
fn law_2_a_run_that_is_opened_again_while_the_sweep_forgets_it_is_looked_after() {
    let forgets = |simulation: &manifold_local::simulation::Simulation| {
        simulation.world().calls().get("ledger.forget").copied().unwrap_or(0)
    };
    let is_told =
        |simulation: &manifold_local::simulation::Simulation| simulation.verdicts().values().any(Option::is_some);
    let begin = || {
        let mut simulation = Story::new().fail("prod/eu-west-1=JobFailed").begin();
        while !is_told(&simulation) {
            simulation.step().unwrap().unwrap();
        }
        simulation
    };
    let mut undisturbed = begin();
    let told_at = undisturbed.world().now();
    while forgets(&undisturbed) == 0 {
        undisturbed.step().unwrap().unwrap();
    }
    let until = undisturbed.world().now().since(told_at).as_millis();
    // Some of these commits fall between what the sweep read and what it deletes.
    for early in -10..50 {
        let mut simulation = begin();
        let delay = Span::from_millis(until - early);
        simulation.world().deliver(Inbox::Collect, resumed(&simulation), delay);
        simulation.run().unwrap();
        let told = Told::of(simulation);
        told.check_invariants(false);
        let summary = told.summary();
        assert_eq!(
            (summary.verdict, summary.asked_for),
            (Some(Verdict::CompletedWithFailures), 1),
            "{early} ms before"
        );
    }
}

// Law 3: one summary.

#[test]
fn law_3_ten_targets_are_one_message_edited_in_place() {
    let told = Story::new().fail("prod/eu-west-1=JobFailed").tell();
    told.check_invariants(false);
    let calls = told.simulation().world().slack_calls();
    let first = told.messages().remove(0);
    let edits: Vec<_> = calls.iter().filter(|call| call.method == "chat.update").collect();
    assert!(!edits.is_empty());
    let replies: Vec<_> = calls.iter().filter(|call| call.body.get("thread_ts").is_some()).collect();
    assert_eq!(replies.len(), 1, "the failure's detail is one reply");
    let ours = [&first.ts, &replies[0].ts];
    assert!(edits.iter().all(|edit| ours.contains(&&edit.ts)), "an edit of another message");
    assert_eq!(replies[0].body["thread_ts"], json!(first.ts));
}

#[test]
fn law_3_a_webhook_gets_one_message_at_the_end() {
    let webhook = FLEET.replace(
        "    channel: C0123456789\n    token: { secrets_manager: manifold/slack }\n",
        "    webhook: { ssm: /manifold/webhook }\n",
    );
    assert_ne!(webhook, FLEET);
    let told = Story::new().fleet(webhook).fail("prod/eu-west-1=JobFailed").tell();
    told.check_invariants(false);
    let calls = told.simulation().world().slack_calls();
    assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), ["webhook"]);
    let text = calls[0].body.to_string();
    assert!(text.contains("JobFailed in action Deploy"), "the one message names the cause: {text}");
}

// Law 4: order does not matter.

#[test]
fn law_4_duplicated_reordered_and_early_events_give_the_same_result() {
    let plain = Story::new().fail("prod/eu-west-1=JobFailed").tell();
    assert_eq!(plain.verdict(), Some(Verdict::CompletedWithFailures));
    for seed in 0..60 {
        // Later by up to five minutes, each: SUCCEEDED comes before STARTED, and both before the record.
        let faults = Faults { duplicates: 0.5, disorder: Span::from_seconds(300), ..Faults::default() };
        let told = Story::new().seed(seed).faults(faults).fail("prod/eu-west-1=JobFailed").tell();
        told.check_invariants(false);
        ten_executions(&told);
        assert_eq!(told.verdict(), Some(Verdict::CompletedWithFailures), "seed {seed}");
        assert_eq!(told.outcome("prod/eu-west-1"), Some(Outcome::Failed), "seed {seed}");
    }
}

#[test]
fn law_4_a_retry_in_the_target_account_reopens_a_failure_in_any_order() {
    for seed in 0..40 {
        let faults = Faults { duplicates: 0.3, disorder: Span::from_seconds(240), ..Faults::default() };
        let told = Story::new().seed(seed).faults(faults).fail("prod/eu-west-1=Retried").tell();
        told.check_invariants(false);
        assert_eq!(told.outcome("prod/eu-west-1"), Some(Outcome::Succeeded), "seed {seed}");
        assert_eq!(told.verdict(), Some(Verdict::Succeeded), "seed {seed}");
    }
}

#[test]
fn law_4_superseded_and_canceled_are_their_own_outcomes() {
    for (what, outcome) in [("Superseded", Outcome::Superseded), ("Canceled", Outcome::Canceled)] {
        let told = Story::new().fail(&format!("prod/eu-west-1={what}")).tell();
        told.check_invariants(false);
        assert_eq!(told.outcome("prod/eu-west-1"), Some(outcome));
        assert_eq!(told.verdict(), Some(Verdict::Incomplete), "{what} is neither green nor a failure");
    }
}

#[test]
fn law_4_a_state_that_nobody_knows_is_shown_and_moves_nothing() {
    let told = Story::new().fail("prod/eu-west-1=UnknownState").tell();
    told.check_invariants(false);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded));
    let summary = told.summary();
    assert!(summary.targets.iter().any(|target| target.unrecognised.as_deref() == Some("HIBERNATING")));
}

// Law 5: the same release everywhere.

#[test]
fn law_5_every_target_gets_the_revision_that_triggered_the_run() {
    let told = Story::new().tell();
    for execution in told.simulation().world().executions() {
        assert_eq!(execution.revision.as_deref(), Some(COMMIT), "{}", execution.target);
        assert_eq!(execution.variables.get("COMMIT").map(String::as_str), Some(COMMIT));
    }
}

#[test]
fn law_5_two_releases_in_a_row_reach_every_target_whole_and_in_order() {
    let newer = EVENT
        .replace("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", "aaaaaaaa-7d52-4d5e-9f0b-5a1f7c2b9e01")
        .replace("2026-10-26T13:58:01Z", "2026-10-26T14:03:00Z");
    let told = Story::new().and_event(newer).tell();
    told.check_invariants(false);
    let world = told.simulation().world();
    assert_eq!(world.runs().len(), 2);
    let executions = world.executions();
    assert_eq!(executions.len(), 20);
    let runs: Vec<&RunId> = executions.iter().map(|execution| &execution.run).collect();
    assert!(runs[..10].iter().all(|run| *run == runs[0]), "the second run begins when the first has its verdict");
    assert!(runs[10..].iter().all(|run| *run == runs[10] && *run != runs[0]));
}

#[test]
fn law_5_of_three_releases_in_a_row_the_middle_one_is_overtaken_and_an_older_one_never_follows() {
    let release = |execution: &str, at: &str| {
        EVENT.replace("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", execution).replace("2026-10-26T13:58:01Z", at)
    };
    let told = Story::new()
        .and_event(release("aaaaaaaa-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:01:00Z"))
        .and_event(release("bbbbbbbb-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:02:00Z"))
        .and_event(release("cccccccc-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T13:00:00Z"))
        .tell();
    told.check_invariants(false);
    let mut verdicts: Vec<_> = told.simulation().verdicts().into_values().flatten().collect();
    verdicts.sort();
    assert_eq!(verdicts, [Verdict::Succeeded, Verdict::Succeeded, Verdict::Overtaken, Verdict::Overtaken]);
    assert_eq!(told.simulation().world().executions().len(), 20);
}

#[test]
fn law_2_a_dispatch_that_dies_before_it_sends_leaves_no_run_untold() {
    let release = |execution: &str, at: &str| {
        EVENT.replace("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", execution).replace("2026-10-26T13:58:01Z", at)
    };
    let mut killed = 0;
    for nth in 0..30 {
        let mishaps = killed_at("queues.send/before", [nth]);
        let second = release("aaaaaaaa-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:01:00Z");
        let third = release("bbbbbbbb-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:02:00Z");
        let faults = Faults { mishaps, ..Faults::default() };
        let mut simulation = Story::new().faults(faults).and_event(second).begin();
        simulation.world().deliver(Inbox::Dispatch, third, Span::from_seconds(20));
        simulation.run().unwrap();
        let verdicts: Vec<_> = simulation.verdicts().into_values().collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Some(Verdict::Succeeded)).count(), 2, "{verdicts:?}");
        killed += simulation.killed("dispatch");
        Told::of(simulation).check_invariants(false);
    }
    assert_eq!(killed, 3, "each release's dispatch died once");
}

/// 140 more accounts in 5 Regions, in a first wave of their own, all at once.
fn teams() -> String {
    let account = |n| format!("  team-{n}:\n    id: \"555566667{n}\"\n    tags: {{ stage: team }}\n");
    let accounts: String = (100..240).map(account).collect();
    let teams = "      - name: teams\n        select: { tags: { stage: team } }\n        max_concurrent: 700\n";
    FLEET
        .replace("accounts:\n  dev:", &format!("accounts:\n{accounts}  dev:"))
        .replace("    waves:\n", &format!("    waves:\n{teams}"))
}

#[test]
fn law_2_a_role_that_is_missing_in_every_account_is_told_of_every_target() {
    let told = Story::new().fleet(teams()).fail("*/*=AccessDenied").tell();
    told.check_invariants(false);
    assert_eq!(told.verdict(), Some(Verdict::Failed));
    let tally = told.summary().waves[0].tally;
    assert_eq!((tally.unreachable + tally.skipped, tally.timed_out), (700, 0), "{tally:?}");
}

#[test]
fn law_2_a_batch_of_more_events_than_one_transaction_holds_is_folded_in_parts() {
    // Their STARTED events arrive within three seconds, and nothing follows.
    let faults = Faults { largest_batch: Some(1000), ..Faults::default() };
    let told = Story::new().fleet(teams()).faults(faults).fail("*/*=Silent").tell();
    told.check_invariants(false);
    assert_eq!(told.executions().len(), 700);
    assert_eq!(told.verdict(), Some(Verdict::TimedOut));
}

#[test]
fn law_2_an_app_that_can_not_be_deployed_keeps_no_other_app_from_its_release() {
    let two = FLEET.replace(
        "apps:\n  web:",
        "apps:
  api:
    release:
      pipelines: web-release
    engine:
      codepipeline:
        name: api-deploy
        source_action: Source
    parameters:
      NOBODY:
        value: \"{{ release.url }}\"
    waves:
      - name: all
  web:",
    );
    let mut simulation = Story::new().fleet(two).event(EVENT.replace("GitHub", "Another")).begin();
    simulation.run().unwrap();
    let verdicts: Vec<_> = simulation.verdicts().into_iter().collect();
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!((verdicts[0].0.app().as_str(), verdicts[0].1), ("web", Some(Verdict::Succeeded)));
    assert_eq!(simulation.world().dead_letters().len(), 1, "somebody has to look after the other one");
}

// Law 6: no colour without truth.

#[test]
fn law_6_a_tolerated_failure_is_not_green_and_an_untold_end_times_out() {
    let tolerated = Story::new().fail("prod/us-east-1=JobFailed").tell();
    assert_eq!(tolerated.verdict(), Some(Verdict::CompletedWithFailures));
    let silent = Story::new().fail("dev/us-east-1=Silent").tell();
    silent.check_invariants(false);
    assert_eq!(silent.verdict(), Some(Verdict::TimedOut));
    assert_eq!(silent.outcome("dev/us-east-1"), Some(Outcome::TimedOut));
    assert_eq!(silent.outcome("prod/us-east-1"), Some(Outcome::Skipped));
}

#[test]
fn a_wave_beyond_its_tolerance_stops_the_run_and_the_rest_is_skipped() {
    let told = Story::new().fail("dev/*=JobFailed").tell();
    told.check_invariants(false);
    assert_eq!(told.verdict(), Some(Verdict::Failed));
    assert_eq!(told.executions().len(), 5, "prod was never touched");
    for region in REGIONS {
        assert_eq!(told.outcome(&format!("prod/{region}")), Some(Outcome::Skipped));
    }
}

#[test]
fn a_failed_attempt_is_tried_again_as_often_as_the_app_says() {
    let thrice = FLEET.replace("max_attempts: 1", "max_attempts: 3");
    let told = Story::new().fleet(thrice).fail("dev/eu-west-1=JobFailed").tell();
    told.check_invariants(false);
    let counts = told.executions();
    assert_eq!(counts.values().filter(|count| **count == 3).count(), 1, "{counts:?}");
    assert_eq!(told.outcome("dev/eu-west-1"), Some(Outcome::Failed));
}

// Law 7: least power. What an event's sender can choose changes nothing that is not theirs.

/// Runs the home story until every dev target runs, then delivers `forged`.
fn with_forged(forged: impl Fn(&Value, &RunId) -> Value) -> Told {
    let mut simulation = Story::new().begin();
    let started = |simulation: &manifold_local::simulation::Simulation| simulation.world().executions().len() == 5;
    while !started(&simulation) {
        assert!(simulation.step().unwrap().is_some(), "the story ended before every dev target ran");
    }
    let execution = simulation.world().executions().remove(0);
    let genuine = json!({
        "version": "0",
        "id": "forged",
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "source": "aws.codepipeline",
        "account": execution.target.account,
        "time": "2026-10-26T13:58:05Z",
        "region": execution.target.region,
        "resources": [],
        "detail": {
            "pipeline": "svc-deploy",
            "execution-id": execution.id,
            "state": "FAILED",
            "version": 1.0,
            "pipeline-execution-attempt": 1.0,
        },
    });
    let event = forged(&genuine, &execution.run);
    simulation.world().deliver(Inbox::Collect, event.to_string(), Span::from_millis(0));
    simulation.run().unwrap();
    Told::of(simulation)
}

#[test]
fn law_7_the_genuine_event_is_no_stray() {
    let told = with_forged(|genuine, _| genuine.clone());
    assert_eq!(told.simulation().stray_events(), 0);
    assert_eq!(told.verdict(), Some(Verdict::Succeeded), "SUCCEEDED follows, and ends the execution for good");
}

#[test]
fn law_7_an_event_of_another_account_region_or_pipeline_changes_nothing() {
    let elsewhere: [(&str, &str, Value); 3] = [
        ("account", "/account", json!("999900001111")),
        ("region", "/region", json!("eu-north-1")),
        ("pipeline", "/detail/pipeline", json!("another")),
    ];
    for (name, field, value) in elsewhere {
        let told = with_forged(|genuine, run| {
            let mut event = genuine.clone();
            *event.pointer_mut(field).unwrap() = value.clone();
            // It even claims to have been started by the run's own session.
            event["detail"]["execution-trigger"] = json!({
                "trigger-type": "StartPipelineExecution",
                "trigger-detail": format!("arn:aws:sts::999900001111:assumed-role/ManifoldTarget/{}", run.session_name()),
            });
            event
        });
        told.check_invariants(false);
        ten_executions(&told);
        assert_eq!(told.verdict(), Some(Verdict::Succeeded), "{name}");
        assert_eq!(told.simulation().stray_events(), 1, "{name}: counted");
    }
}

#[test]
fn law_7_an_event_that_names_a_run_which_does_not_exist_is_counted() {
    let told = with_forged(|genuine, _| {
        let mut event = genuine.clone();
        event["detail"]["execution-id"] = json!("00000000-0000-0000-0000-000000000000");
        event["detail"]["execution-trigger"] = json!({
            "trigger-detail": "arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-ffffffffffffffff",
        });
        event
    });
    told.check_invariants(false);
    assert_eq!(told.simulation().stray_events(), 1);
}

#[test]
fn law_7_a_hostile_commit_message_pings_nobody() {
    let hostile = EVENT.replace(
        "Fix <b>&</b> “smart” quotes in the basket 🚀",
        "<!channel> <@U123> <https://evil.example|log in> &lt;!here>",
    );
    assert_ne!(hostile, EVENT);
    let told = Story::new().event(hostile).tell();
    for call in told.simulation().world().slack_calls() {
        let body = call.body.to_string();
        for token in ["<!channel", "<@U123", "<https://evil", "<!here"] {
            assert!(!body.contains(token), "{token} in {body}");
        }
    }
}

// A poison message.

#[test]
fn a_poison_message_fails_alone_and_ends_in_the_dead_letters() {
    let mut simulation = Story::new().begin();
    let bodies =
        ["this is not json", "{\"version\":\"0\",\"detail-type\":\"CodePipeline Pipeline Execution State Change\"}"];
    for body in bodies {
        simulation.world().deliver(Inbox::Collect, body.to_owned(), Span::from_seconds(60));
    }
    simulation.run().unwrap();
    let dead: BTreeSet<String> = simulation.world().dead_letters().into_iter().map(|letter| letter.body).collect();
    assert_eq!(dead, bodies.map(str::to_owned).into());
    assert_eq!(Told::of(simulation).verdict(), Some(Verdict::Succeeded));
}
