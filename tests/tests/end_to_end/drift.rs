//! Drift checks of ten targets: what somebody changed by hand, on a local AWS, and one message about it.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use manifold_aws::clock::SystemClock;
use manifold_core::drift::{Cause, Check, slot};
use manifold_core::time::Span;
use manifold_ports::clock::Clock;
use manifold_tests::local_aws::organization::{Organization, REGIONS};
use manifold_tests::local_aws::patience;
use manifold_tests::local_aws::product::Done;
use manifold_tests::simulation::drift::told;
use serde_json::json;

use crate::story::{LIMIT, release, target};

/// A stack in each target: a queue.
const STACK: &str = r#"{"Resources": {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}}}}"#;
/// Somebody with the rights to do it.
const JANE: &str = "assumed-role/Admin/jane";

/// The home fleet, checked for everything when somebody asks.
fn checked(fleet: &str) -> String {
    let (before, after) = fleet.split_once("    drift:\n").expect("the fleet file has a drift block");
    let after = after.trim_start_matches(|c: char| c != '#');
    format!(
        "{before}    drift: {{ checks: [revision, definition, health, stack], stacks: svc, confirm: 1s, deadline: 10m }}\n    {after}"
    )
}

/// Looks now, while CloudFormation tells of each detection that it has ended.
async fn drift(story: &Organization, told: &mut BTreeSet<String>) -> Done {
    let command = story.control("drift", &["--app", "web", "--output", "json"]);
    let mut command = std::pin::pin!(command);
    loop {
        match tokio::time::timeout(Duration::from_millis(500), &mut command).await {
            Ok(done) => return done,
            Err(_) => story.end_detections(told).await,
        }
    }
}

/// What is not in sync, or was not before, of the last check.
async fn found(story: &Organization) -> (Check, Vec<String>) {
    let (check, plan, looked) = story.last_check().await.expect("a check has ended");
    let told = told(&plan, &looked);
    (check, told)
}

/// How many messages stand in Slack that are no replies, and what the last one shows.
fn posted(story: &Organization) -> (usize, String) {
    let messages = story.slack().messages();
    let posted: Vec<_> = messages.iter().filter(|message| message.thread_ts.is_none()).collect();
    (posted.len(), posted.last().map(|message| message.shown().to_string()).unwrap_or_default())
}

/// Takes the read-only role of an account away. Returns what brings it back.
async fn remove_role(story: &Organization, account: &str) -> (String, Vec<(String, String)>) {
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let iam = story.iam(account).await;
    let role = iam.get_role().role_name("ManifoldInspect").send().await.unwrap().role.unwrap();
    let trust = plain(role.assume_role_policy_document().unwrap());
    let mut policies = Vec::new();
    for name in iam.list_role_policies().role_name("ManifoldInspect").send().await.unwrap().policy_names() {
        let policy = iam.get_role_policy().role_name("ManifoldInspect").policy_name(name).send().await.unwrap();
        policies.push((name.clone(), plain(policy.policy_document())));
        iam.delete_role_policy().role_name("ManifoldInspect").policy_name(name).send().await.unwrap();
    }
    iam.delete_role().role_name("ManifoldInspect").send().await.unwrap();
    (trust, policies)
}

#[tokio::test]
async fn of_ten_targets_one_was_started_one_edited_one_stack_changed_and_one_role_removed_and_one_message_says_that() {
    let story = Organization::new().await;
    story.write_fleet(&checked(&story.fleet()));
    for account in [&story.dev, &story.prod] {
        for region in REGIONS {
            let config = story.server().root(account, region).await;
            let stacks = aws_sdk_cloudformation::Client::new(&config);
            stacks.create_stack().stack_name("svc").template_body(STACK).send().await.unwrap();
        }
    }
    let done = story.install_with(&["--yes", "--output", "json"]).await;
    assert_eq!(done.status, Some(0), "manifold install failed\n{}\n{}", done.out, done.err);
    story.suit_the_emulator().await;
    let (run, _) = release(&story).await;
    story.emptied(LIMIT).await;
    assert_eq!(posted(&story).0, 1, "the rollout's");
    let mut told = BTreeSet::new();

    // All is in sync, and is looked at once.
    let first = drift(&story, &mut told).await;
    let (check, nothing) = found(&story).await;
    assert_eq!((first.status, nothing.as_slice()), (Some(0), [].as_slice()), "{first:#?}\n{check:#?}");
    assert_eq!(check.closed().unwrap().counts.in_sync, 10);
    story.emptied(LIMIT).await;
    assert_eq!(posted(&story).0, 2, "the first check says that it looked: {:?}", posted(&story));

    let pipelines = story.front().pipelines();
    let [_, second, third, ..] = REGIONS;
    // Somebody starts one, edits another one, changes a queue, and an account's role goes away.
    let by_hand = target(&story.dev, REGIONS[0]);
    let jane = format!("arn:aws:sts::{}:{JANE}", story.dev);
    let other = "feedfacefeedfacefeedfacefeedfacefeedface";
    let _ = pipelines.start_by_hand(&by_hand, &jane, &[("Source", other)]);
    pipelines.settle(&[&story.dev]);
    let _ = pipelines.take_events(&story.dev);
    let edited = target(&story.dev, second);
    pipelines.edit(&edited, |pipeline| {
        let deploy = pipeline.stages.last_mut().unwrap();
        deploy.actions[0].configuration.insert("ProjectName".to_owned(), "svc-hotfix".to_owned());
    });
    let sqs = aws_sdk_sqs::Client::new(&story.server().root(&story.dev, third).await);
    let jobs =
        sqs.list_queues().send().await.unwrap().queue_urls().iter().find(|url| url.contains("Jobs")).unwrap().clone();
    let timeout = |seconds: &'static str| {
        sqs.set_queue_attributes().queue_url(&jobs).attributes(QueueAttributeName::VisibilityTimeout, seconds).send()
    };
    timeout("5").await.unwrap();
    let (trust, policies) = remove_role(&story, &story.prod).await;

    let changed = drift(&story, &mut told).await;
    let (check, what) = found(&story).await;
    let mut expected = vec![
        format!("dev/{} revision: drifted, new", REGIONS[0]),
        format!("dev/{second} definition: drifted, new"),
        format!("dev/{third} stack: drifted, new"),
    ];
    for region in REGIONS {
        for aspect in ["definition", "health", "revision", "stack"] {
            expected.push(format!("prod/{region} {aspect}: unknown, new"));
        }
    }
    expected.sort();
    assert_eq!((changed.status, what), (Some(11), expected), "{changed:#?}\n{check:#?}");
    story.emptied(LIMIT).await;
    let (count, message) = posted(&story);
    assert_eq!(count, 3);
    for part in ["feedface", "svc-hotfix", "VisibilityTimeout", "jane", "ManifoldInspect"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }

    // The second check says nothing new, and so nothing is said.
    let again = drift(&story, &mut told).await;
    let (_, what) = found(&story).await;
    assert_eq!(again.status, Some(11));
    assert!(what.len() == 23 && what.iter().all(|what| what.ends_with("persisting")), "{what:#?}");
    story.emptied(LIMIT).await;
    assert_eq!(posted(&story).0, 3);

    // All of it is put right.
    let revision = manifold_tests::local_aws::organization::COMMIT;
    let ours = format!("arn:aws:sts::{}:assumed-role/ManifoldTarget/mf-{run}", story.dev);
    let _ = pipelines.start_by_hand(&by_hand, &ours, &[("Source", revision)]);
    pipelines.settle(&[&story.dev]);
    let _ = pipelines.take_events(&story.dev);
    pipelines.edit(&edited, |pipeline| {
        let deploy = pipeline.stages.last_mut().unwrap();
        deploy.actions[0].configuration.remove("ProjectName");
    });
    timeout("30").await.unwrap();
    let iam = story.iam(&story.prod).await;
    iam.create_role().role_name("ManifoldInspect").assume_role_policy_document(trust).send().await.unwrap();
    for (name, policy) in policies {
        let put = iam.put_role_policy().role_name("ManifoldInspect").policy_name(name).policy_document(policy);
        put.send().await.unwrap();
    }
    let _repaired = drift(&story, &mut told).await;
    let (_, what) = found(&story).await;
    let resolved = what.iter().filter(|what| what.ends_with("in sync, resolved")).count();
    // Jane's execution stays in the history until the next rollout: that is the health's to say.
    let left: Vec<&String> = what.iter().filter(|what| !what.ends_with("resolved")).collect();
    assert_eq!((resolved, left), (23, vec![&format!("dev/{} health: drifted, new", REGIONS[0])]), "{what:#?}");
    story.emptied(LIMIT).await;
    assert_eq!(posted(&story).0, 4);
}

#[tokio::test]
async fn ticks_of_the_schedule_open_one_check_a_slot() {
    let story = Organization::new().await;
    let (before, after) = story.fleet().split_once("    drift:\n").map(|(b, a)| (b.to_owned(), a.to_owned())).unwrap();
    let after = after.trim_start_matches(|c: char| c != '#');
    let drift = "    drift: { every: 1h, checks: [definition, health], confirm: 1s, deadline: 10m }\n    ";
    story.write_fleet(&format!("{before}{drift}{after}"));
    story.install().await;
    // What Scheduler makes of the schedule's input: the emulator fills nothing in. Two ticks of one slot, one of them twice.
    let slot = slot(SystemClock.now(), Span::from_minutes(60));
    let (sqs, dispatch) = (story.sqs().await, story.queue("dispatch").await);
    for (minutes, attempt) in [(5, "1"), (5, "2"), (10, "1")] {
        let tick = json!({
            "kind": "drift-check", "scheduleArn": "arn:aws:scheduler:us-east-1:111122223333:schedule/default/drift",
            "scheduledTime": slot.plus(Span::from_minutes(minutes)).to_string(), "executionId": "d32c5kddcf5bb8c3",
            "attempt": attempt,
        });
        sqs.send_message().queue_url(&dispatch).message_body(tick.to_string()).send().await.unwrap();
    }
    let check = patience::until("the check", LIMIT, async || match story.last_check().await {
        Some((check, ..)) => Ok(check),
        None => Err(format!("{:?}", story.queues().await)),
    })
    .await;
    assert_eq!(check.cause, Cause::Scheduled { slot, every: Span::from_minutes(60) });
    assert_eq!(check.closed().unwrap().counts.in_sync, 10, "{check:#?}");
    story.emptied(LIMIT).await;
    assert_eq!(story.last_check().await.unwrap().0.run, check.run);
    let (count, message) = posted(&story);
    assert_eq!(count, 1, "{message}");
    assert!(message.contains("10 targets in sync"), "{message}");
}
