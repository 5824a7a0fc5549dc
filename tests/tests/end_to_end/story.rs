//! What the stories have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use manifold_core::ids::RunId;
use manifold_core::run::Outcome;
use manifold_core::summary::Summary;
use manifold_tests::local_aws::front::codepipeline::{Execution, PipelineId};
use manifold_tests::local_aws::organization::{COMMIT, Organization, PIPELINE};

/// More than enough for a run of ten targets, and longer than what an invocation leaves behind that died: its messages are
/// hidden for six minutes, and its claims are held for two.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A message that says what another worker is doing just now fails and comes again: here after seconds, and not minutes.
pub(crate) const DUPLICATE: u32 = 10;

/// One execution in each of the ten targets, with what every start must carry.
pub(crate) fn ten_executions(story: &Organization, run: &RunId) {
    let mut places = BTreeSet::new();
    for account in [&story.dev, &story.prod] {
        for execution in story.front().pipelines().executions(account) {
            assert_eq!(execution.pipeline.name, PIPELINE);
            assert_eq!(&execution.pipeline.account, account);
            // Started by the session of that account's own role, whose name tells the run.
            let session = format!("arn:aws:sts::{account}:assumed-role/ManifoldTarget/mf-{run}");
            assert_eq!(execution.cause.detail(), session);
            assert_eq!(execution.pinned, BTreeMap::from([("Source".to_owned(), COMMIT.to_owned())]));
            assert_eq!(execution.variables["COMMIT"], COMMIT);
            let stage = if *account == story.dev { "dev" } else { "prod" };
            assert_eq!(execution.variables["STAGE"], stage);
            places.insert((execution.pipeline.account.clone(), execution.pipeline.region.clone()));
        }
    }
    assert_eq!(places.len(), 10, "{places:#?}");
    assert_eq!(executions(story).len(), 10);
}

/// One release event, delivered once, and what comes of it.
pub(crate) async fn release(story: &Organization) -> (RunId, Summary) {
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&run, LIMIT).await;
    (run, summary)
}

pub(crate) fn executions(story: &Organization) -> Vec<Execution> {
    let pipelines = story.front().pipelines();
    [&story.dev, &story.prod].into_iter().flat_map(|account| pipelines.executions(account)).collect()
}

pub(crate) fn target(account: &str, region: &str) -> PipelineId {
    PipelineId::new(account, region, PIPELINE)
}

pub(crate) fn outcome(summary: &Summary, name: &str) -> Option<Outcome> {
    let (account, region) = name.split_once('/').unwrap();
    let line = summary.targets.iter().find(|line| line.account_name == account && line.key.region.as_str() == region);
    line.expect("a target of the fleet").status.outcome()
}

/// The one message of the run, as it stands in Slack at the end.
pub(crate) fn one_message(story: &Organization) -> String {
    let messages = story.slack().messages();
    let posted: Vec<_> = messages.iter().filter(|message| message.thread_ts.is_none()).collect();
    assert_eq!(posted.len(), 1, "{messages:#?}");
    let replies: Vec<_> = messages.iter().filter_map(|message| message.thread_ts.as_ref()).collect();
    assert!(replies.len() <= 1 && replies.iter().all(|parent| **parent == posted[0].ts), "{messages:#?}");
    posted[0].shown().to_string()
}
