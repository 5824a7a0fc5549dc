//! Rollout policies: what the fleet file says of waves, approvals, bakes, limits and operators, and the plans it makes.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::plan::{Lapse, Newer, OnFailure, Plan, PlannedTarget};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Fleet, PlanError, Selection};
use proptest::prelude::*;

const FLEET: &str = r#"version: 1
hub: { account: "111122223333", region: us-east-1 }
operators:
  alice: { slack: U0ALICE, iam: "arn:aws:sts::111122223333:assumed-role/Ops/alice" }
  bob: { iam: ["arn:aws:iam::111122223333:user/bob", "arn:*:assumed-role/Break*"] }
defaults: { role: ManifoldTarget }
regions: { us-east-1: {}, eu-west-1: {}, eu-central-1: {} }
accounts:
  dev: { id: "444455556666" }
  test: { id: "444455556667" }
  prod-1: { id: "777788889991" }
  prod-2: { id: "777788889992" }
apps:
  web:
    release: { pipelines: web-release }
    engine: { codepipeline: { name: svc-deploy, source_action: Source } }
    parameters:
      MODE: { default: fast, choices: [fast, safe] }
      NOTE: { default: none }
      PINNED: { value: fixed }
APP
"#;

fn text(app: &str) -> String {
    FLEET.replace("APP", app)
}

fn fleet(app: &str) -> Fleet {
    Fleet::parse("fleet.yaml", &text(app)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn web(app: &str) -> App {
    fleet(app).app("web").unwrap().clone()
}

fn problems(app: &str) -> String {
    Fleet::parse("fleet.yaml", &text(app)).unwrap_err().to_string()
}

fn release(commit: &str) -> Release {
    let target = TargetKey { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() };
    Release {
        source: ExecutionRef { target, id: format!("execution-{commit}").parse().unwrap() },
        pipeline: "web-release".parse().unwrap(),
        revision: Some(Revision {
            id: commit.to_owned(),
            action: "Source".to_owned(),
            message: Some("m".repeat(2000)),
            url: None,
            author: None,
            repository: None,
            reference: None,
        }),
        trigger: Trigger::default(),
        released_at: Timestamp::from_millis(0),
    }
}

fn run() -> RunId {
    "web-0f3a5b7c9d1e2f40".parse().unwrap()
}

fn plan(app: &str) -> Plan {
    web(app).plan(&run(), &release("abc")).unwrap()
}

fn waves(plan: &Plan) -> Vec<(String, u32, u32, u32)> {
    plan.waves.iter().map(|w| (w.name.clone(), w.size, w.max_concurrent, w.failure_tolerance)).collect()
}

fn names(plan: &Plan) -> Vec<String> {
    plan.targets.iter().map(|target| format!("{}/{}", target.account_name, target.key.region)).collect()
}

#[test]
fn what_a_file_says_of_control_is_in_the_plan() {
    let plan = plan(
        r"
    operators: [alice]
    newer_release: supersede
    on_failure: roll_back_run
    waves:
      - { name: first, select: { accounts: [dev, test] }, bake: 30m, strict: true }
      - name: prod
        approval: { by: alice, valid_for: 2h, newer_release: keep }
        bake: { time: 1h, alarms: [errors, latency] }",
    );
    assert_eq!((plan.policy.newer, plan.policy.on_failure), (Newer::Supersede, OnFailure::RollBackRun));
    assert_eq!(plan.policy.operators.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["alice"]);
    let [first, prod] = plan.waves.as_slice() else { panic!() };
    assert!(first.strict && first.approval.is_none());
    assert_eq!(first.bake.as_ref().map(|bake| bake.time), Some(Span::from_minutes(30)));
    let approval = prod.approval.as_ref().unwrap();
    assert_eq!((approval.valid_for, approval.newer), (Span::from_minutes(120), Lapse::Keep));
    assert_eq!(approval.approvers[0].slack, ["U0ALICE"]);
    assert_eq!(prod.bake.as_ref().unwrap().alarms, ["errors", "latency"]);
}

#[test]
fn without_a_word_everything_is_as_it_was() {
    let plan = plan("");
    assert_eq!(waves(&plan), [("all".to_owned(), 12, 10, 0)]);
    assert_eq!((plan.policy.newer, plan.policy.on_failure), (Newer::Queue, OnFailure::Halt));
    assert_eq!(plan.policy.operators.len(), 2, "all operators of the file may");
    assert!(plan.targets.iter().all(|target| target.after.is_empty() && target.before.is_empty()));
    assert_eq!(names(&plan)[..4], ["dev/us-east-1", "test/us-east-1", "prod-1/us-east-1", "prod-2/us-east-1"]);
}

#[test]
fn percentages_are_of_the_wave_and_rounded_down() {
    let app = "\n    waves: [{ name: all, max_concurrent: \"30%\", failure_tolerance: \"20%\" }]";
    assert_eq!(waves(&plan(app)), [("all".to_owned(), 12, 3, 2)]);
    let app = "\n    waves: [{ name: all, max_concurrent: \"1%\", failure_tolerance: \"1%\" }]";
    assert_eq!(waves(&plan(app)), [("all".to_owned(), 12, 1, 0)], "one runs at least, and none is tolerated");
}

#[test]
fn a_ramp_is_a_wave_a_step_with_one_approval_and_a_bake_each() {
    for ramp in ["\"1, 5, 25%, rest\"", "[1, 5, 25%]", "1 → 5 → 25% → rest"] {
        let plan = plan(&format!(
            "\n    waves: [{{ name: prod, ramp: {ramp}, bake: 5m, approval: {{ by: [alice, bob] }}, failure_tolerance: \"50%\" }}]"
        ));
        let sizes: Vec<(String, u32, u32)> =
            plan.waves.iter().map(|w| (w.name.clone(), w.size, w.failure_tolerance)).collect();
        let step = |nth: u32, size, tolerance| (format!("prod {nth}/4"), size, tolerance);
        assert_eq!(sizes, [step(1, 1, 0), step(2, 5, 2), step(3, 3, 1), step(4, 3, 1)], "{ramp}");
        assert_eq!(plan.waves.iter().map(|w| w.approval.is_some()).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(plan.waves.iter().all(|wave| wave.bake.is_some()));
    }
}

#[test]
fn canaries_go_first_one_at_a_time_and_are_in_no_other_wave() {
    let plan = plan(
        r"
    canary: { targets: [prod-1/eu-west-1, dev], bake: 10m }
    waves:
      - { name: dev, select: { accounts: dev } }
      - { name: rest, max_concurrent: 4 }",
    );
    assert_eq!(waves(&plan), [("canary".to_owned(), 4, 1, 0), ("rest".to_owned(), 8, 4, 0)], "dev is all canaries");
    assert_eq!(names(&plan)[..4], ["dev/us-east-1", "dev/eu-west-1", "prod-1/eu-west-1", "dev/eu-central-1"]);
    assert!(plan.targets.iter().zip(0..).all(|(target, index)| target.index == index));
}

#[test]
fn a_wave_has_its_own_order_of_regions() {
    let plan = plan("\n    waves: [{ name: all, region_order: [eu-central-1, eu-west-1] }]");
    let regions: Vec<&str> = plan.targets.iter().map(|target| target.key.region.as_str()).step_by(4).collect();
    assert_eq!(regions, ["eu-central-1", "eu-west-1", "us-east-1"]);
}

#[test]
fn so_many_of_an_account_or_a_region_wait_for_each_other() {
    let one = plan("\n    waves: [{ name: all, max_per_account: 1 }]");
    assert_eq!(one.targets.iter().filter(|target| target.after.is_empty()).count(), 4, "the first of each account");
    let first = &one.targets[0];
    let follower = &one.targets[usize::try_from(first.before[0]).unwrap()];
    assert_eq!((&follower.key.account, &follower.after[..]), (&first.key.account, &[first.key.clone()][..]));
    let both = plan("\n    waves: [{ name: all, max_per_account: 2, max_per_region: 1 }]");
    check_chains(&both.targets, Some(2), Some(1));
}

/// Whoever is waited for comes first, is told of it, and no more than so many can run at once.
fn check_chains(targets: &[PlannedTarget], per_account: Option<u32>, per_region: Option<u32>) {
    let at: BTreeMap<&TargetKey, usize> = targets.iter().enumerate().map(|(at, target)| (&target.key, at)).collect();
    for (index, target) in targets.iter().enumerate() {
        for after in &target.after {
            assert!(at[after] < index, "it waits for one that comes later");
            assert!(targets[at[after]].before.contains(&u32::try_from(index).unwrap()), "nobody tells it");
        }
        for before in &target.before {
            assert!(targets[usize::try_from(*before).unwrap()].after.contains(&target.key));
        }
    }
    // Everybody runs as soon as they may, and for as long as they can: the most that ever run at once.
    let mut ended = BTreeSet::new();
    while ended.len() < targets.len() {
        let running: Vec<&PlannedTarget> = targets
            .iter()
            .filter(|target| !ended.contains(&target.key) && target.after.iter().all(|key| ended.contains(key)))
            .collect();
        assert!(!running.is_empty(), "they wait for each other");
        let most =
            |count: usize, limit: Option<u32>| limit.is_none_or(|limit| count <= usize::try_from(limit).unwrap());
        for target in &running {
            assert!(most(running.iter().filter(|r| r.key.account == target.key.account).count(), per_account));
            assert!(most(running.iter().filter(|r| r.key.region == target.key.region).count(), per_region));
        }
        // The last one of them ends first: whoever follows it may start while the others run on.
        ended.insert(running.last().unwrap().key.clone());
    }
}

proptest! {
    #[test]
    fn limits_hold_whatever_they_are(
        account in proptest::option::of(1_u32..5), region in proptest::option::of(1_u32..5), only in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let limit = |name: &str, limit: Option<u32>| limit.map(|l| format!(", {name}: {l}")).unwrap_or_default();
        let app = web(&format!(
            "\n    waves: [{{ name: all{}{} }}]", limit("max_per_account", account), limit("max_per_region", region)
        ));
        let only: BTreeSet<TargetKey> =
            app.targets().iter().zip(only).filter(|(_, chosen)| *chosen).map(|(target, _)| target.key().clone()).collect();
        let plan = app.plan_for(&run(), &release("abc"), &Selection { only: Some(&only), ..Selection::default() }).unwrap();
        prop_assert_eq!(plan.targets.len(), only.len());
        prop_assert_eq!(plan.waves.iter().map(|wave| wave.size).sum::<u32>() as usize, only.len());
        check_chains(&plan.targets, account, region);
    }
}

#[test]
fn a_part_of_the_targets_has_waves_of_what_is_left() {
    let app =
        web("\n    waves: [{ name: dev, select: { accounts: [dev, test] } }, { name: prod, max_concurrent: \"50%\" }]");
    let only =
        app.targets().iter().filter(|target| target.account_name() == "prod-1").map(|t| t.key().clone()).collect();
    let plan = app.plan_for(&run(), &release("abc"), &Selection { only: Some(&only), ..Selection::default() }).unwrap();
    assert_eq!(waves(&plan), [("prod".to_owned(), 3, 1, 0)]);
    assert!(plan.targets.iter().all(|target| target.wave == 0));
}

#[test]
fn what_has_the_release_already_is_set_aside() {
    let app = web("\n    changed_only: true");
    assert!(app.changed_only());
    let before = app.plan(&run(), &release("abc")).unwrap();
    let known: BTreeMap<TargetKey, Known> =
        before.targets[..5].iter().map(|target| (target.key.clone(), known(target))).collect();
    let selection = Selection { known: Some(&known), ..Selection::default() };
    let plan = app.plan_for(&run(), &release("abc"), &selection).unwrap();
    assert_eq!((plan.targets.len(), plan.unchanged.len()), (7, 5));
    assert_eq!(plan.unchanged.iter().map(|target| target.index).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
    let newer = app.plan_for(&run(), &release("def"), &selection).unwrap();
    assert_eq!(newer.unchanged.len(), 0, "another revision is a change");
    let set = [("NOTE".to_owned(), "other".to_owned())];
    let other = app.plan_for(&run(), &release("abc"), &Selection { set: &set, ..selection }).unwrap();
    assert_eq!(other.unchanged.len(), 0, "and so is another value");
    let all: BTreeMap<TargetKey, Known> = before.targets.iter().map(|t| (t.key.clone(), self::known(t))).collect();
    let plan = app.plan_for(&run(), &release("abc"), &Selection { known: Some(&all), ..Selection::default() }).unwrap();
    assert!(plan.waves.is_empty() && plan.targets.is_empty());
}

fn known(target: &PlannedTarget) -> Known {
    let at = Timestamp::from_millis(1);
    let good = Good { run: run(), release: release("abc"), fingerprint: target.fingerprint(), at };
    Known { target: target.key.clone(), current: good, previous: None }
}

#[test]
fn values_are_set_within_what_the_file_allows() {
    let app = web("");
    let plan = |name: &str, value: &str| {
        let set = [(name.to_owned(), value.to_owned())];
        app.plan_for(&run(), &release("abc"), &Selection { set: &set, ..Selection::default() })
    };
    assert!(plan("MODE", "safe").unwrap().targets.iter().all(|target| target.variables["MODE"] == "safe"));
    for (name, value, why) in [
        ("MODE", "slow", "none of its choices: fast or safe"),
        ("PINNED", "other", "fixed in the fleet file"),
        ("OTHER", "x", "no such parameter; it has MODE, NOTE or PINNED"),
        ("NOTE", "", "empty"),
    ] {
        let error = plan(name, value).unwrap_err();
        assert!(matches!(error, PlanError::NotSettable { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(app.parameter_choices().collect::<Vec<_>>(), [("MODE", vec!["fast", "safe"])]);
}

#[test]
fn the_way_back_gives_each_target_its_own_release_without_approval_and_bake() {
    let app = web("\n    waves: [{ name: all, bake: 1h, approval: { by: alice }, max_per_account: 1 }]");
    let good = |commit: &str| Good {
        run: run(),
        release: release(commit),
        fingerprint: String::new(),
        at: Timestamp::from_millis(0),
    };
    let keys: Vec<TargetKey> = app.targets().iter().map(|target| target.key().clone()).take(6).collect();
    let mut goods: Vec<(TargetKey, Good)> =
        keys.iter().zip(["a", "b", "a", "a", "c", "b"]).map(|(key, commit)| (key.clone(), good(commit))).collect();
    let gone = TargetKey { account: "999999999999".parse().unwrap(), region: "us-east-1".parse().unwrap() };
    goods.push((gone.clone(), good("a")));
    let back = app.plan_back(&run(), &goods).unwrap();
    assert_eq!(back.gone, [gone]);
    assert_eq!(back.plan.targets.len(), 6);
    for target in &back.plan.targets {
        let good = &goods.iter().find(|(key, _)| *key == target.key).unwrap().1;
        let revision = good.release.revision.as_ref().unwrap();
        assert_eq!(target.source_revision.as_ref().map(|pinned| &pinned.value), Some(&revision.id));
        let kept = target.release.as_ref().unwrap();
        assert_eq!(kept.source, good.release.source);
        assert_eq!(kept.revision.as_ref().unwrap().message.as_ref().unwrap().len(), 500, "not the whole message");
    }
    assert!(back.plan.waves.iter().all(|wave| wave.approval.is_none() && wave.bake.is_none()));
    check_chains(&back.plan.targets, Some(1), None);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_its_remedy() {
    for (app, expected) in [
        ("\n    operators: [carol]", "there is no operator carol"),
        ("\n    operators: [alise]", "alice"),
        ("\n    newer_release: wait", "\"wait\" is not queue, supersede or refuse"),
        ("\n    on_failure: rollback", "halt, continue, roll_back_wave or roll_back_run"),
        ("\n    changed_only: 1", "expected true or false"),
        ("\n    canary: { targets: prod-3 }", "\"prod-3\" is no target of app web"),
        ("\n    canary: { targets: dev }\n    waves: [{ name: canary }]", "the app's canary is a wave of this name"),
        (
            "\n    waves: [{ name: a, max_concurrent: 0 }]",
            "a whole number from 1 to 10000, or a percentage such as \"25%\"",
        ),
        ("\n    waves: [{ name: a, failure_tolerance: \"101%\" }]", "or a percentage"),
        ("\n    waves: [{ name: a, bake: 30s }]", "between 1m and 7d"),
        ("\n    waves: [{ name: a, bake: { alarms: [x] } }]", "missing field \"time\""),
        ("\n    waves: [{ name: a, approval: { valid_for: 1h } }]", "missing field \"by\""),
        ("\n    waves: [{ name: a, approval: { by: alice, valid_for: 8d } }]", "between 1m and 7d"),
        ("\n    waves: [{ name: a, region_order: [us-west-2] }]", "Region us-west-2 is not among the file's regions"),
        ("\n    waves: [{ name: a, region_order: [us-east-1, us-east-1] }]", "given twice"),
        ("\n    waves: [{ name: a, ramp: [1, rest, 5] }]", "expected steps such as [1, 5, 25%, rest]"),
        ("\n    waves: [{ name: a, ramp: fast }]", "expected steps such as"),
    ] {
        let told = problems(app);
        assert!(told.contains(expected), "{app}: {told}");
        assert!(told.contains("fleet.yaml:"), "it names file and line: {told}");
    }
    let nobody = text("").replace("bob: { iam", "eve: {}\n  bob: { iam");
    let told = Fleet::parse("fleet.yaml", &nobody).unwrap_err().to_string();
    assert!(told.contains("operator eve can't be told from others"), "{told}");
    let bad = text("").replace("U0ALICE", "alice@example.com");
    assert!(Fleet::parse("fleet.yaml", &bad).unwrap_err().to_string().contains("a Slack user id such as U0123456789"));
}
