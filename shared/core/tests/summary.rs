//! What people read about a run, as golden files: stories told through the real state machine, then drawn.
//!
//! `INSTA_UPDATE=always cargo test -p manifold-core --test summary` rewrites them; read the difference.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod summary {
    pub(crate) mod limits;
    pub(crate) mod story;
}

use manifold_core::control::{Order, Origin};
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::run::{Outcome, Verdict};
use manifold_core::summary::{Payload, Summary, slack, text};
use manifold_core::time::Span;
use proptest::prelude::*;

use summary::limits::assert_slack_limits;
use summary::story::{Fleet, Story, bot, hostile, in_slack, operator};

/// Draws the story in every form, checks Slack's limits, and compares with the golden files.
fn check(name: &str, summary: &Summary) -> Payload {
    let message = slack::message(summary);
    let thread = slack::thread(summary);
    assert_slack_limits(&message);
    thread.iter().for_each(assert_slack_limits);
    let drawn = text::render(summary);
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "control characters in {drawn:?}");
    if summary.verdict != Some(Verdict::Succeeded) {
        let header = message.blocks[0]["text"]["text"].as_str().unwrap();
        assert!(!header.contains("white_check_mark") && !drawn.starts_with('✔'), "green without truth: {header}");
    }

    let mut golden = insta::Settings::clone_current();
    golden.set_snapshot_path("summary");
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

#[test]
fn all_green() {
    let mut story = Story::open(Fleet::default());
    story.start_all();
    story.succeed_all();
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    assert_eq!(slack::thread(&summary), None, "there is nothing to detail");
    check("all_green", &summary);
}

#[test]
fn one_failed() {
    let mut story = Story::open(Fleet::default());
    story.start_all();
    story.fail("prod", "us-east-1", "JobFailed in action Deploy", "Service web did not become stable: 3/4 healthy");
    story.succeed_all();
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::Failed));
    let message = check("one_failed", &summary);
    assert!(message.text.starts_with(":x: web: failed on 1 of 6 targets"), "{}", message.text);
    let thread = said(&slack::thread(&summary).unwrap());
    assert!(thread.contains("|failed action>"), "the failed action's page is in a console: {thread}");
}

#[test]
fn half_failed_with_two_causes() {
    let mut story = Story::open(Fleet::default());
    story.claim("prod", "eu-west-1");
    story.claim("prod", "us-east-1");
    story.start_all();
    story.fail("dev", "eu-west-1", "JobFailed in action Deploy", "Task stopped: OutOfMemory");
    story.refuse("prod", "eu-west-1");
    story.refuse("prod", "us-east-1");
    story.succeed_all();
    let summary = story.summary();
    assert_eq!((summary.causes.len(), summary.tally.failures()), (2, 3));
    check("half_failed_with_two_causes", &summary);
}

#[test]
fn halted_before_the_second_wave() {
    let mut story = Story::open(Fleet { waves: vec![("canary", 2, 0), ("everyone", 4, 1)], ..Fleet::default() });
    story.start_all();
    story.fail("dev", "eu-west-1", "JobFailed in action Migrate", "relation \"users\" already exists");
    story.succeed_all();
    let summary = story.summary();
    assert_eq!(summary.tally.skipped, 4);
    check("halted_before_the_second_wave", &summary);
}

#[test]
fn nothing_could_be_started() {
    let mut story = Story::open(Fleet::default());
    for (account, region) in story.places() {
        story.claim(&account, &region);
    }
    for (account, region) in story.places() {
        story.refuse(&account, &region);
    }
    let summary = story.summary();
    assert!(summary.next_step().unwrap().starts_with("Mend the cause"));
    check("nothing_could_be_started", &summary);
}

#[test]
fn superseded() {
    let mut story = Story::open(Fleet { waves: vec![("all", 6, 6)], ..Fleet::default() });
    story.start_all();
    story.supersede("dev", "eu-west-1");
    story.cancel("prod", "us-east-1");
    story.succeed_all();
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::Incomplete));
    check("superseded", &summary);
}

#[test]
fn overtaken_before_its_turn() {
    check("overtaken_before_its_turn", &Story::overtaken(Fleet::default()).summary());
}

#[test]
fn waiting_behind_another_run() {
    check("waiting_behind_another_run", &Story::waiting(Fleet::default()).summary());
}

/// Two targets, then four that somebody must let begin.
fn asking() -> Fleet {
    Fleet {
        waves: vec![("canary", 2, 0), ("prod & rest", 4, 0)],
        approval: Some("prod & rest"),
        approvers: vec![operator("Jane Doe", &["U0JANE"]), operator("<!channel> *ops*", &[])],
        operators: vec![operator("Jane Doe", &["U0JANE"])],
        channel: bot(),
        ..Fleet::default()
    }
}

/// The ids of the message's buttons.
fn buttons(payload: &Payload) -> Vec<String> {
    let blocks = payload.blocks.iter().filter(|block| block["type"] == "actions");
    let elements = blocks.flat_map(|block| block["elements"].as_array().cloned().unwrap_or_default());
    elements.map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn waits_for_approval() {
    let mut story = Story::open(asking());
    story.start_all();
    story.succeed_all();
    let summary = story.summary();
    let message = check("waits_for_approval", &summary);
    assert_eq!(buttons(&message), ["manifold.approve", "manifold.reject", "manifold.abort"]);
    assert!(message.text.starts_with(":white_circle: web: waits for approval of prod  rest,"), "{}", message.text);
    let value = message.blocks.iter().find_map(|block| block["elements"][0]["value"].as_str()).unwrap();
    assert!(value.contains(summary.run.as_str()) && value.contains("prod & rest"), "{value}");
}

#[test]
fn nobody_can_press_what_is_not_theirs_to_press() {
    let shown = |fleet: Fleet| {
        let mut story = Story::open(fleet);
        story.start_all();
        story.succeed_all();
        buttons(&slack::message(&story.summary()))
    };
    // What a webhook posted can't be edited, and its buttons would stay.
    let url = SecretRef::SecretsManager("manifold/hook".to_owned());
    assert!(shown(Fleet { channel: Channel::Webhook { url }, ..asking() }).is_empty());
    assert!(shown(Fleet { channel: Channel::Silent, ..asking() }).is_empty());
    assert_eq!(shown(Fleet { approvers: vec![operator("ops", &[])], ..asking() }), ["manifold.abort"]);
    assert_eq!(shown(Fleet { operators: Vec::new(), ..asking() }), ["manifold.approve", "manifold.reject"]);
    assert!(shown(Fleet { approval: None, operators: Vec::new(), ..asking() }).is_empty());
}

#[test]
fn approved_and_failed() {
    let mut story = Story::open(asking());
    story.start_all();
    story.succeed_all();
    story.command(in_slack("U0JANE", "jane <!here>"), Order::Approve { wave: "prod & rest".to_owned() });
    assert_eq!(story.summary().asks, None);
    story.start_all();
    story.fail("prod", "us-east-1", "JobFailed in action Deploy", "Service web did not become stable: 3/4 healthy");
    story.succeed_all();
    let message = check("approved_and_failed", &story.summary());
    assert_eq!(buttons(&message), ["manifold.retry_failed"]);
    assert!(said(&message).contains("was approved by jane &lt;!here&gt; (Slack)"), "{}", said(&message));
}

#[test]
fn rejected() {
    let mut story = Story::open(asking());
    story.start_all();
    story.succeed_all();
    story.command(in_slack("U0JANE", "jane"), Order::Reject { wave: "prod & rest".to_owned() });
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::NotApproved));
    check("rejected", &summary);
}

#[test]
fn aborted_while_it_ran() {
    let mut story = Story::open(Fleet { approval: None, ..asking() });
    story.start_all();
    story.command(in_slack("U0JANE", "jane"), Order::Abort { stop: false });
    let message = check("aborted_while_it_ran", &story.summary());
    assert!(buttons(&message).is_empty(), "it is ending already");
}

#[test]
fn a_rollback_says_of_what_and_by_whom() {
    let of = "web-0f3a5b7c9d1e2f40".parse().unwrap();
    let origin = Origin::Rollback { of, by: in_slack("U0JANE", "_jane_ <@U1>") };
    let mut story = Story::open(Fleet { origin, ..Fleet::default() });
    story.start_all();
    story.succeed_all();
    check("rollback", &story.summary());
}

#[test]
fn what_has_the_release_already_is_told() {
    let mut story = Story::open(Fleet { unchanged: 2, waves: vec![("all", 4, 0)], ..Fleet::default() });
    story.start_all();
    story.succeed_all();
    check("some_unchanged", &story.summary());
    // What `Run::open` does with a plan of nothing, and what is shown of it.
    let story = Story::open(Fleet { unchanged: 6, waves: vec![("all", 0, 0)], ..Fleet::default() });
    let summary = story.summary();
    assert_eq!((summary.verdict, summary.size), (Some(Verdict::Succeeded), 0));
    check("nothing_to_do", &summary);
}

#[test]
fn in_progress() {
    let mut story =
        Story::open(Fleet { waves: vec![("canary", 2, 1), ("everyone", 4, 1)], concurrent: 2, ..Fleet::default() });
    story.start("dev", "eu-west-1");
    story.fail("dev", "eu-west-1", "JobFailed in action Deploy", "exit status 1");
    story.start("dev", "us-east-1");
    story.succeed("dev", "us-east-1");
    story.start("staging", "eu-west-1");
    let summary = story.summary();
    assert_eq!(summary.verdict, None);
    check("in_progress", &summary);
}

#[test]
fn a_busy_engine_is_named_as_what_is_waited_for() {
    let mut story = Story::open(Fleet { waves: vec![("canary", 2, 0), ("everyone", 4, 0)], ..Fleet::default() });
    story.start("dev", "eu-west-1");
    story.busy("dev", "us-east-1");
    let summary = story.summary();
    assert_eq!(
        summary.waits_for,
        [
            "1 execution to finish",
            "1 target to be tried again: ConcurrentPipelineExecutionsLimitExceeded",
            "wave \"canary\" to end: 4 targets are behind it",
        ]
    );
    check("busy", &summary);
}

#[test]
fn who_waits_for_a_turn_is_named_with_the_service_that_limits_calls() {
    let mut story = Story::open(Fleet { waves: vec![("all", 6, 0)], ..Fleet::default() });
    story.start("dev", "eu-west-1");
    story.wait_in_line("dev", "us-east-1");
    let one = "1 target to have a turn at CodePipeline, which limits calls: dev/us-east-1";
    assert_eq!(story.summary().waits_for[2], one);
    for (account, region) in [("staging", "eu-west-1"), ("staging", "us-east-1"), ("prod", "eu-west-1")] {
        story.wait_in_line(account, region);
    }
    let summary = story.summary();
    let four = "4 targets to have a turn at CodePipeline, which limits calls: ";
    assert!(summary.waits_for[2].starts_with(four), "{:?}", summary.waits_for);
    assert!(summary.waits_for[2].ends_with(" and 1 more"), "{:?}", summary.waits_for);
    check("in_line", &summary);
}

#[test]
fn a_halted_run_that_is_retried_elsewhere_waits_for_nothing_else() {
    let mut story = Story::open(Fleet { waves: vec![("canary", 2, 0), ("everyone", 4, 0)], ..Fleet::default() });
    story.start_all();
    story.fail("dev", "eu-west-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    story.resume("dev", "eu-west-1");
    assert_eq!(story.summary().waits_for, ["1 execution to finish"]);
}

#[test]
fn a_message_in_progress_does_not_change_with_time_alone() {
    let mut story = Story::open(Fleet::default());
    story.start("dev", "eu-west-1");
    let before = slack::message(&story.summary());
    story.wait_minutes(20);
    assert_eq!(slack::message(&story.summary()), before);
}

#[test]
fn tolerated_failures_are_not_green() {
    let mut story = Story::open(Fleet { waves: vec![("all", 6, 2)], ..Fleet::default() });
    story.start_all();
    story.fail("staging", "eu-west-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    check("tolerated_failures", &summary);
}

#[test]
fn timed_out() {
    let mut story = Story::open(Fleet { waves: vec![("canary", 4, 4), ("everyone", 2, 0)], ..Fleet::default() });
    story.start_all();
    story.succeed("dev", "eu-west-1");
    story.succeed("staging", "us-east-1");
    story.deadline();
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::TimedOut));
    check("timed_out", &summary);
}

#[test]
fn reopened_in_the_target_account() {
    let mut story = Story::open(Fleet::default());
    story.start_all();
    story.fail("prod", "us-east-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    story.resume("prod", "us-east-1");
    let again = story.summary();
    assert_eq!(again.verdict, None, "a retry takes the verdict back");
    check("reopened", &again);
    story.succeed("prod", "us-east-1");
    let summary = story.summary();
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    assert_eq!(slack::thread(&summary), None);
    assert_slack_limits(&slack::thread_cleared(&summary));
    check("reopened_and_mended", &summary);
}

#[test]
fn an_unknown_future_state_is_shown_and_never_green() {
    let mut story = Story::open(Fleet::default());
    story.start_all();
    story.state("prod", "us-east-1", "PAUSED_BY_POLICY");
    let summary = story.summary();
    check("unknown_state", &summary);
}

#[test]
fn a_reason_that_is_not_known_yet() {
    let mut story = Story::open(Fleet::default());
    story.start_all();
    story.state("prod", "us-east-1", "FAILED");
    story.succeed_all();
    let summary = story.summary();
    assert!(summary.has_unexplained());
    check("unexplained", &summary);
}

#[test]
fn second_attempt() {
    let mut story = Story::open(Fleet { max_attempts: 2, ..Fleet::default() });
    story.start_all();
    story.fail("prod", "us-east-1", "JobFailed in action Deploy", "exit status 1");
    story.start("prod", "us-east-1");
    story.fail("prod", "us-east-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    check("second_attempt", &story.summary());
}

#[test]
fn gov_cloud() {
    let mut story = Story::open(Fleet { regions: vec!["us-gov-west-1", "us-gov-east-1"], ..Fleet::default() });
    story.start_all();
    story.fail("prod", "us-gov-east-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    let message = check("gov_cloud", &story.summary());
    assert!(said(&message).contains("https://us-gov-east-1.console.amazonaws-us-gov.com/"));
}

#[test]
fn china() {
    let mut story = Story::open(Fleet { regions: vec!["cn-north-1", "cn-northwest-1"], ..Fleet::default() });
    story.start_all();
    story.succeed_all();
    let message = check("china", &story.summary());
    assert!(said(&message).contains("https://cn-northwest-1.console.amazonaws.cn/"));
}

#[test]
fn isolated_partitions_have_no_links() {
    let mut story = Story::open(Fleet { regions: vec!["us-iso-east-1"], ..Fleet::default() });
    story.start_all();
    story.succeed_all();
    assert!(
        !said(&slack::message(&story.summary()))
            .contains("console.aws.amazon.com/codesuite/codepipeline/pipelines/web-deploy")
    );
}

#[test]
fn no_revision_known() {
    let mut story = Story::open(Fleet { revision: None, ..Fleet::default() });
    story.start_all();
    story.succeed_all();
    check("no_revision_known", &story.summary());
}

#[test]
fn many_accounts_in_few_regions_are_rows() {
    let mut story = Story::open(Fleet::of_accounts(20, vec!["eu-west-1", "us-east-1"]));
    story.start_all();
    story.fail("team-007", "us-east-1", "JobFailed in action Deploy", "exit status 1");
    story.succeed_all();
    check("many_accounts", &story.summary());
}

#[test]
fn ten_thousand_targets() {
    let regions = vec![
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
    let fleet = Fleet::of_accounts(1_000, regions);
    let mut story = Story::open(Fleet {
        waves: vec![("canary", 10, 0), ("early", 990, 60), ("everyone", 9_000, 900)],
        pace: Span::from_millis(100),
        ..fleet
    });
    let places = story.places();
    for (index, (account, region)) in places.iter().enumerate() {
        match index {
            i if i > 10 && i % 97 == 0 => story.deny(account, region),
            i if i > 10 && i % 41 == 0 => {
                story.start(account, region);
                let cause = format!("JobFailed in action Deploy{}", i % 30);
                story.fail(account, region, &cause, &format!("exit status {i}: <out of memory> & \"more\""));
            }
            i if i > 10 && i % 501 == 0 => {
                story.start(account, region);
                story.supersede(account, region);
            }
            _ => {
                story.start(account, region);
                story.succeed(account, region);
            }
        }
    }
    let summary = story.summary();
    assert_eq!(summary.size, 10_000);
    let message = check("ten_thousand_targets", &summary);
    assert!(said(&message).contains(" more causes, "), "a cut is announced");
}

#[test]
fn hostile_commit_message() {
    let mut story = Story::open(Fleet { revision: Some(hostile()), ..Fleet::default() });
    story.start_all();
    story.fail(
        "prod",
        "us-east-1",
        "<!here> *JobFailed* in `Deploy`",
        "secret?\u{1b}]8;;https://evil.example\u{7}click\u{1b}]8;;\u{7}\n```\n<https://evil.example|sign in> &amp;",
    );
    story.state("dev", "eu-west-1", "<!channel>");
    let message = check("hostile_commit_message", &story.summary());
    for pings in ["<!channel", "<!here", "<!everyone", "<@", "<#", "<!subteam"] {
        assert!(!said(&message).contains(pings), "{pings} in {}", said(&message));
    }
}

#[test]
fn each_run_size_stays_within_the_limits() {
    for accounts in [1, 3, 6, 7, 30, 31, 61, 400] {
        for regions in [vec!["eu-west-1"], vec!["eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-2"]] {
            let fleet = Fleet::of_accounts(accounts, regions);
            let size = fleet.size();
            let mut story = Story::open(Fleet { waves: vec![("all", size, size)], ..fleet });
            for (index, (account, region)) in story.places().iter().enumerate() {
                story.start(account, region);
                // Every target with a cause of its own, and as much to say as may be said.
                story.fail(account, region, &format!("Cause {index} {}", "&".repeat(300)), &"<>&😀".repeat(400));
            }
            let summary = story.summary();
            assert_slack_limits(&slack::message(&summary));
            assert_slack_limits(&slack::thread(&summary).unwrap());
        }
    }
}

#[test]
fn the_same_facts_in_any_order_give_the_same_message() {
    let mut story = Story::open(Fleet { waves: vec![("all", 6, 6)], ..Fleet::default() });
    story.start_all();
    story.fail("dev", "eu-west-1", "B", "b");
    story.fail("prod", "eu-west-1", "A", "a");
    story.succeed_all();
    let summary = story.summary();
    let causes: Vec<&str> = summary.causes.iter().map(|group| group.cause.as_str()).collect();
    assert_eq!(causes, ["A", "B"], "groups of the same size stand in a fixed order");
    assert!(summary.causes.iter().all(|group| group.outcome == Outcome::Failed));
    assert_eq!(slack::message(&summary), slack::message(&story.summary_of_shuffled_targets()));
}

/// Texts such as people and machines have sent: markup, broken entities, reordering, emoji, and a great length.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<!channel>",
        "<@U012AB3CD>",
        "<#C1|x>",
        "<https://evil.example|click>",
        "https://evil.example/a|b>c",
        "<",
        ">",
        "&",
        "&lt",
        "&amp;",
        "|",
        "*",
        "_",
        "~",
        "`",
        "```",
        "\n",
        "\r\n> ",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{1b}[2J",
        "\u{9b}31m",
        "\u{0}",
        "👩\u{200d}💻",
        "😀",
        "e\u{301}",
        "漢字",
        ":x:",
        ":white_check_mark:",
        "a",
        " word ",
        "<!date^1^{date}|x>",
    ]);
    prop_oneof![
        8 => prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat()),
        4 => any::<String>(),
        1 => prop::sample::select(vec!["<", "&", "😀", "<!here>", "\n", "*a"]).prop_map(|text| text.repeat(100_000 / text.len())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_from_outside_breaks_the_limits_or_speaks_slacks_markup(
        texts in prop::collection::vec(nasty(), 10),
        failures in 0_usize..6,
    ) {
        let [id, message, url, author, repository, reference, who, cause, detail, state] =
            <[String; 10]>::try_from(texts).unwrap();
        let mut revision = hostile();
        revision.id = id;
        revision.message = Some(message);
        revision.url = Some(format!("https://{url}"));
        revision.author = Some(author);
        revision.repository = Some(repository);
        revision.reference = Some(reference);
        let mut story = Story::open(Fleet { revision: Some(revision), who: Some(who), ..Fleet::default() });
        story.start_all();
        for (account, region) in story.places().into_iter().take(failures) {
            story.fail(&account, &region, &cause, &detail);
        }
        story.state("prod", "us-east-1", &state);
        let mut summary = story.summary();
        for line in &mut summary.targets {
            line.reason_link = Some(format!("https://eu-west-1.console.aws.amazon.com/{url}"));
            line.account_name.push_str(&detail);
        }
        for account in &mut summary.accounts {
            account.name.push_str(&cause);
        }
        assert_slack_limits(&slack::message(&summary));
        slack::thread(&summary).iter().for_each(assert_slack_limits);
        let drawn = text::render(&summary);
        let hidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        prop_assert!(!drawn.contains(hidden), "hidden characters in {:?}", drawn);
        prop_assert!(drawn.len() < 100_000);
    }
}
