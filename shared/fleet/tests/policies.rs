//! How a rollout goes, as the fleet file says: policies, waves and their order, and plans that are not for the whole app.

#![expect(clippy::unwrap_used, reason = "input that a test cannot make fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::control::Operator;
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::known::{Good, Known};
use manifold_core::plan::{Lapse, Newer, OnFailure, Plan, PlannedTarget, Policy};
use manifold_core::release::Release;
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Back, Fleet, PlanError, Selection};
use support::{home_with, large, problems, release, run};

/// Where the home fleet's waves can be given more to say.
const DEV: &str = "        max_concurrent: 5\n";
const PROD: &str = "        max_concurrent: 2\n        failure_tolerance: 1\n";
/// Where its app can.
const APP: &str = "    max_attempts: 2\n";

const OPERATORS: &str = "operators:
  alice: { slack: U0123456789, iam: arn:aws:iam::111122223333:user/alice }
  sre: { iam: [arn:aws:sts::111122223333:assumed-role/Admin/*, arn:aws:sts::*:assumed-role/Sre/*] }

apps:
";

fn fleet(edits: &[(&str, &str)]) -> Fleet {
    Fleet::parse("fleet.yaml", &home_with(edits)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn web(edits: &[(&str, &str)]) -> App {
    fleet(edits).app("web").unwrap().clone()
}

fn plan(app: &App) -> Plan {
    app.plan(&run(app, &release()), &release()).unwrap()
}

/// `account/region`, one for each target in order.
fn places(targets: &[PlannedTarget]) -> Vec<String> {
    targets.iter().map(|target| format!("{}/{}", target.account_name, target.key.region)).collect()
}

/// Each wave with its size, how many at once, and how many may fail.
fn waves(plan: &Plan) -> Vec<(&str, u32, u32, u32)> {
    let shown = |wave: &manifold_core::plan::PlannedWave| (wave.size, wave.max_concurrent, wave.failure_tolerance);
    plan.waves.iter().map(|wave| (wave.name.as_str(), shown(wave).0, shown(wave).1, shown(wave).2)).collect()
}

fn key(text: &str) -> TargetKey {
    let (account, region) = text.split_once('/').unwrap();
    TargetKey { account: account.parse().unwrap(), region: region.parse().unwrap() }
}

fn keys(texts: &[&str]) -> BTreeSet<TargetKey> {
    texts.iter().map(|text| key(text)).collect()
}

const PROD_EU: &str = "777788889999/eu-west-1";
const PROD_US: &str = "777788889999/us-east-1";
const DEV_US: &str = "444455556666/us-east-1";

#[test]
fn a_file_that_says_nothing_has_the_plain_policy() {
    let app = web(&[]);
    assert_eq!(plan(&app).policy, Policy::default());
    assert!(!app.changed_only());
    assert!(plan(&app).waves.iter().all(|wave| !wave.strict && wave.bake.is_none() && wave.approval.is_none()));
}

#[test]
fn a_policy_is_what_the_app_says() {
    let app = web(&[
        ("apps:\n", OPERATORS),
        (
            APP,
            "    max_attempts: 2\n    newer_release: supersede\n    on_failure: roll_back_wave\n    changed_only: true\n    operators: sre\n",
        ),
    ]);
    assert!(app.changed_only());
    let policy = plan(&app).policy;
    assert_eq!((policy.newer, policy.on_failure), (Newer::Supersede, OnFailure::RollBackWave));
    let sre = Operator {
        name: "sre".to_owned(),
        slack: Vec::new(),
        iam: vec![
            "arn:aws:sts::111122223333:assumed-role/Admin/*".to_owned(),
            "arn:aws:sts::*:assumed-role/Sre/*".to_owned(),
        ],
    };
    assert_eq!(policy.operators, [sre]);
    assert_eq!(&policy, app.policy());
}

#[test]
fn all_operators_of_the_file_may_decide_unless_the_app_names_some() {
    let app = web(&[("apps:\n", OPERATORS)]);
    let names: Vec<&str> = app.policy().operators.iter().map(|operator| operator.name.as_str()).collect();
    assert_eq!(names, ["alice", "sre"]);
    let named_twice = "    max_attempts: 2\n    operators: [sre, sre]\n";
    let app = web(&[("apps:\n", OPERATORS), (APP, named_twice)]);
    assert_eq!(app.policy().operators.len(), 1);
}

#[test]
fn every_word_of_a_policy_is_known() {
    for (word, newer) in [("queue", Newer::Queue), ("supersede", Newer::Supersede), ("refuse", Newer::Refuse)] {
        let app = web(&[(APP, &format!("    newer_release: {word}\n"))]);
        assert_eq!(app.policy().newer, newer);
    }
    for (word, on_failure) in [
        ("halt", OnFailure::Halt),
        ("continue", OnFailure::Continue),
        ("roll_back_wave", OnFailure::RollBackWave),
        ("roll_back_run", OnFailure::RollBackRun),
    ] {
        assert_eq!(web(&[(APP, &format!("    on_failure: {word}\n"))]).policy().on_failure, on_failure);
    }
    for (word, lapse) in [("repoint", Lapse::Repoint), ("expire", Lapse::Expire), ("keep", Lapse::Keep)] {
        let wave = format!("{PROD}        approval: {{ by: sre, newer_release: {word} }}\n");
        let app = web(&[("apps:\n", OPERATORS), (PROD, &wave)]);
        assert_eq!(app.waves()[1].approval.as_ref().unwrap().newer, lapse);
    }
}

#[test]
fn a_wave_has_a_bake_an_approval_and_a_strict_tolerance() {
    let app = web(&[
        ("apps:\n", OPERATORS),
        (DEV, "        max_concurrent: 5\n        bake: 30m\n"),
        (
            PROD,
            "        strict: true\n        bake: { time: 1d 12h, alarms: [p99, Too many errors] }\n        approval: { by: [alice, sre], valid_for: 36h, newer_release: expire }\n",
        ),
    ]);
    let plan = plan(&app);
    let [dev, prod] = plan.waves.as_slice() else { panic!("two waves") };
    let bake = dev.bake.as_ref().unwrap();
    assert_eq!((bake.time, bake.alarms.len(), dev.strict), (Span::from_minutes(30), 0, false));
    insta::assert_json_snapshot!(prod, @r#"
    {
      "name": "prod",
      "first": 5,
      "size": 5,
      "max_concurrent": 10,
      "failure_tolerance": 0,
      "strict": true,
      "bake": {
        "time": 129600000,
        "alarms": [
          "p99",
          "Too many errors"
        ]
      },
      "approval": {
        "approvers": [
          {
            "name": "alice",
            "slack": [
              "U0123456789"
            ],
            "iam": [
              "arn:aws:iam::111122223333:user/alice"
            ]
          },
          {
            "name": "sre",
            "iam": [
              "arn:aws:sts::111122223333:assumed-role/Admin/*",
              "arn:aws:sts::*:assumed-role/Sre/*"
            ]
          }
        ],
        "valid_for": 129600000,
        "newer": "expire"
      }
    }
    "#);
    let plain = format!("{PROD}        approval: {{ by: alice }}\n");
    let app = web(&[("apps:\n", OPERATORS), (PROD, &plain)]);
    let approval = app.waves()[1].approval.clone().unwrap();
    assert_eq!((approval.valid_for, approval.newer), (Span::from_minutes(24 * 60), Lapse::Repoint));
    let app = web(&[(DEV, "        bake: { time: 7d, alarms: p99 }\n")]);
    assert_eq!(app.waves()[0].bake.as_ref().unwrap().alarms, ["p99"]);
}

#[test]
fn per_cent_are_of_the_targets_that_are_left() {
    let app = web(&[(PROD, "        max_concurrent: 50%\n        failure_tolerance: \"30%\"\n")]);
    assert_eq!(waves(&plan(&app)), [("dev", 5, 5, 0), ("prod", 5, 2, 1)]);
    let few = keys(&[PROD_EU, PROD_US, "777788889999/eu-central-1"]);
    let selection = Selection { only: Some(&few), ..Selection::default() };
    let plan = app.plan_for(&run(&app, &release()), &release(), &selection).unwrap();
    assert_eq!(waves(&plan), [("prod", 3, 1, 0)]);
    let all = web(&[(PROD, "        failure_tolerance: 5\n")]);
    let plan = all.plan_for(&run(&all, &release()), &release(), &selection).unwrap();
    assert_eq!(waves(&plan), [("prod", 3, 10, 5)], "a number stays as it is");
    let app = web(&[(PROD, "        max_concurrent: 1%\n        failure_tolerance: 0%\n")]);
    assert_eq!(app.waves()[1].max_concurrent, 1, "at least one");
    let app = web(&[(PROD, "        max_concurrent: 100%\n        failure_tolerance: 100%\n")]);
    assert_eq!((app.waves()[1].max_concurrent, app.waves()[1].failure_tolerance), (5, 5));
}

#[test]
fn a_ramp_is_a_wave_for_each_of_its_steps() {
    let ramp = |ramp: &str| {
        let wave = format!(
            "        max_concurrent: 2\n        failure_tolerance: 50%\n        bake: 10m\n        approval: {{ by: sre }}\n        ramp: {ramp}\n"
        );
        plan(&web(&[("apps:\n", OPERATORS), (PROD, &wave)]))
    };
    let planned = ramp("[1, 40%, rest]");
    assert_eq!(
        waves(&planned),
        [("dev", 5, 5, 0), ("prod 1/3", 1, 2, 0), ("prod 2/3", 2, 2, 1), ("prod 3/3", 2, 2, 1)]
    );
    let firsts: Vec<u32> = planned.waves.iter().map(|wave| wave.first).collect();
    assert_eq!(firsts, [0, 5, 6, 8]);
    let of_targets: Vec<u32> = planned.targets.iter().map(|target| target.wave).collect();
    assert_eq!(of_targets, [0, 0, 0, 0, 0, 1, 2, 2, 3, 3]);
    let held: Vec<_> = planned.waves.iter().map(|wave| (wave.approval.is_some(), wave.bake.is_some())).collect();
    assert_eq!(held, [(false, false), (true, true), (false, true), (false, true)]);
    assert_eq!(places(&planned.targets), places(&ramp("[1]").targets), "the order stays");
    for same in ["1, 40%, rest", "\"1,40%\"", "[1, \"40%\"]", "[1, 40%, 100%]"] {
        assert_eq!(ramp(same), planned, "{same}");
    }
    assert_eq!(waves(&ramp("3"))[1..], [("prod 1/2", 3, 2, 1), ("prod 2/2", 2, 2, 1)]);
    assert_eq!(waves(&ramp("[5, 9, rest]"))[1..], [("prod", 5, 2, 2)], "one step is no ramp");
    assert_eq!(waves(&ramp("rest"))[1..], [("prod", 5, 2, 2)]);
}

#[test]
fn a_ramp_of_some_targets_has_the_steps_that_are_left() {
    let app = web(&[(PROD, "        ramp: [1, 40%, rest]\n")]);
    let few = keys(&[PROD_EU, PROD_US]);
    let selection = Selection { only: Some(&few), ..Selection::default() };
    let plan = app.plan_for(&run(&app, &release()), &release(), &selection).unwrap();
    assert_eq!(waves(&plan), [("prod 1/2", 1, 10, 0), ("prod 2/2", 1, 10, 0)]);
}

#[test]
fn canaries_go_first_and_belong_to_no_other_wave() {
    let app = web(&[(APP, "    max_attempts: 2\n    canary: [prod/eu-west-1, dev/us-east-1]\n")]);
    let planned = plan(&app);
    assert_eq!(waves(&planned), [("canary", 2, 1, 0), ("dev", 4, 5, 0), ("prod", 4, 2, 1)]);
    assert_eq!(places(&planned.targets)[..3], ["dev/us-east-1", "prod/eu-west-1", "dev/ca-central-1"]);
    assert!(planned.waves[0].bake.is_none());

    let nested = "    canary: { targets: prod/eu-west-1, bake: { time: 1h, alarms: p99 } }\n";
    let planned = plan(&web(&[(APP, nested)]));
    assert_eq!(waves(&planned), [("canary", 1, 1, 0), ("dev", 5, 5, 0), ("prod", 4, 2, 1)]);
    assert_eq!(planned.waves[0].bake.as_ref().unwrap().time, Span::from_minutes(60));

    // Without waves the rest is one, and a whole account may go first.
    let text = home_with(&[(APP, "    canary: dev\n")]);
    let (from, to) = (text.find("    waves:\n").unwrap(), text.find("    canary: dev\n").unwrap());
    let text = text.replacen(&text[from..to], "", 1);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(waves(&plan(fleet.app("web").unwrap())), [("canary", 5, 1, 0), ("all", 5, 10, 0)]);
    let fleet = Fleet::parse("fleet.yaml", &text.replace("canary: dev", "canary: [dev, prod]")).unwrap();
    assert_eq!(waves(&plan(fleet.app("web").unwrap())), [("canary", 10, 1, 0)]);
}

#[test]
fn a_wave_may_have_an_order_of_regions_of_its_own() {
    let app = web(&[(PROD, "        region_order: [eu-west-1, ca-central-1]\n")]);
    let expected = ["eu-west-1", "ca-central-1", "us-east-1", "ap-southeast-2", "eu-central-1"];
    let planned = plan(&app);
    let shown = places(&planned.targets);
    assert_eq!(shown[5..], expected.map(|region| format!("prod/{region}")));
    assert_eq!(shown[..2], ["dev/us-east-1", "dev/ca-central-1"], "the other wave keeps the file's");
    let listed: Vec<_> = app.targets().iter().map(|target| target.key().clone()).collect();
    let planned: Vec<_> = planned.targets.iter().map(|target| target.key.clone()).collect();
    assert_eq!(listed, planned, "the app's targets are in the order of its plan");
}

#[test]
fn a_limit_by_account_makes_chains_that_interleave() {
    let one_wave = "        max_concurrent: 4\n        max_per_account: 2\n";
    let app = web(&[
        ("        select: { accounts: dev }\n        max_concurrent: 5\n", one_wave),
        ("      - name: prod\n        select:\n          tags: { stage: prod }\n", ""),
        (PROD, ""),
    ]);
    let planned = plan(&app);
    let shown: Vec<String> = planned
        .targets
        .iter()
        .zip(places(&planned.targets))
        .map(|(target, place)| {
            let after: Vec<&str> = target.after.iter().map(|key| key.region.as_str()).collect();
            format!("{place} after [{}] before {:?}", after.join(" "), target.before)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    dev/us-east-1 after [] before [4]
    prod/us-east-1 after [] before [5]
    dev/ca-central-1 after [] before [6]
    prod/ca-central-1 after [] before [7]
    dev/ap-southeast-2 after [us-east-1] before [8]
    prod/ap-southeast-2 after [us-east-1] before [9]
    dev/eu-central-1 after [ca-central-1] before []
    prod/eu-central-1 after [ca-central-1] before []
    dev/eu-west-1 after [ap-southeast-2] before []
    prod/eu-west-1 after [ap-southeast-2] before []
    ");
}

#[test]
fn a_limit_by_region_puts_those_first_that_wait_for_no_other() {
    let app = web(&[
        ("        select: { accounts: dev }\n        max_concurrent: 5\n", "        max_per_region: 1\n"),
        ("      - name: prod\n        select:\n          tags: { stage: prod }\n", ""),
        (PROD, ""),
    ]);
    let planned = plan(&app);
    sound(&planned);
    let accounts: Vec<&str> = planned.targets.iter().map(|target| target.account_name.as_str()).collect();
    assert_eq!(accounts, ["dev", "dev", "dev", "dev", "dev", "prod", "prod", "prod", "prod", "prod"]);
    assert_eq!(planned.targets[7].after, [key("444455556666/ap-southeast-2")]);
}

/// Runs one wave with all the places it wants: whatever may run runs, and `choose` says which ends next. Gives the most that
/// ran at once in one account, and in one Region.
fn most_at_once(targets: &[&PlannedTarget], mut choose: impl FnMut(usize) -> usize) -> (usize, usize) {
    let (mut ended, mut most) = (BTreeSet::new(), (0, 0));
    while ended.len() < targets.len() {
        let running: Vec<&TargetKey> = targets
            .iter()
            .filter(|target| !ended.contains(&target.key) && target.after.iter().all(|key| ended.contains(key)))
            .map(|target| &target.key)
            .collect();
        let most_of = |same: &dyn Fn(&TargetKey, &TargetKey) -> bool| {
            running.iter().map(|one| running.iter().filter(|other| same(one, other)).count()).max().unwrap_or(0)
        };
        most.0 = most.0.max(most_of(&|one, other| one.account == other.account));
        most.1 = most.1.max(most_of(&|one, other| one.region == other.region));
        let next = running[choose(running.len())].clone();
        ended.insert(next);
    }
    most
}

/// Each target's wave, and how many must end one after the other before it may start.
fn depths(plan: &Plan) -> Vec<(u32, usize)> {
    let mut depths: BTreeMap<TargetKey, usize> = BTreeMap::new();
    let of = |target: &PlannedTarget| {
        let depth = target.after.iter().map(|key| depths[key] + 1).max().unwrap_or(0);
        depths.insert(target.key.clone(), depth);
        (target.wave, depth)
    };
    plan.targets.iter().map(of).collect()
}

/// What every plan promises whoever carries it out.
fn sound(plan: &Plan) {
    let mut first = 0;
    for wave in &plan.waves {
        assert!(wave.first == first && wave.size > 0 && wave.max_concurrent > 0, "{wave:?}");
        first += wave.size;
    }
    assert_eq!(usize::try_from(first).unwrap(), plan.targets.len(), "the waves cover the targets");
    let index: BTreeMap<&TargetKey, u32> = plan.targets.iter().map(|target| (&target.key, target.index)).collect();
    assert_eq!(index.len(), plan.targets.len(), "each target once");
    for (at, target) in (0_u32..).zip(&plan.targets) {
        let wave = &plan.waves[usize::try_from(target.wave).unwrap()];
        assert_eq!(target.index, at);
        assert!((wave.first..wave.first + wave.size).contains(&at), "in its wave");
        assert!(target.after.len() <= 2, "at most one for each limit");
        for key in &target.after {
            let other = &plan.targets[usize::try_from(index[key]).unwrap()];
            assert!(other.index < at && other.wave == target.wave, "what it waits for comes first");
            assert!(other.before.contains(&at), "and knows of it");
        }
        for other in &target.before {
            assert!(plan.targets[usize::try_from(*other).unwrap()].after.contains(&target.key));
        }
    }
    // What waits longer comes later, so that a place that is free is rarely held by what waits.
    let depths = depths(plan);
    assert!(depths.is_sorted(), "{depths:?}");
    let unchanged: Vec<u32> = plan.unchanged.iter().map(|target| target.index).collect();
    let follow: Vec<u32> = (first..).take(unchanged.len()).collect();
    assert_eq!(unchanged, follow, "the indexes of those that are left alone follow");
}

/// A fleet of one wave.
fn one_wave(accounts: usize, regions: usize, wave: &str) -> Fleet {
    let text = large(accounts, regions, false);
    let (waves, rest) = text.split_once("    waves:\n").unwrap();
    let deadline = &rest[rest.find("    deadline").unwrap()..];
    let text = format!("{waves}    waves:\n      - {{ name: all{wave} }}\n{deadline}");
    Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_more_run_at_once_than_an_account_and_a_region_may(
            (accounts, regions) in (1_usize..6, 1_usize..6),
            per_account in proptest::option::of(1_usize..5),
            per_region in proptest::option::of(1_usize..5),
            ramp in proptest::option::of(proptest::collection::vec(prop_oneof![(1_u32..9).prop_map(|count| count.to_string()), (1_u32..=100).prop_map(|part| format!("{part}%"))], 1..4)),
            chosen in proptest::collection::vec(any::<bool>(), 36),
            ends in proptest::collection::vec(any::<proptest::sample::Index>(), 36),
        ) {
            let limit = |name: &str, limit: Option<usize>| limit.map(|limit| format!(", {name}: {limit}")).unwrap_or_default();
            let ramp = ramp.map(|ramp| format!(", ramp: [{}]", ramp.join(", "))).unwrap_or_default();
            let wave = limit("max_per_account", per_account) + &limit("max_per_region", per_region) + &ramp;
            let fleet = one_wave(accounts, regions, &wave);
            let app = fleet.app("web").unwrap();
            let only: BTreeSet<TargetKey> =
                app.targets().iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(target, _)| target.key().clone()).collect();
            let selection = Selection { only: Some(&only), ..Selection::default() };
            let some = app.plan_for(&run(app, &release()), &release(), &selection).unwrap();
            prop_assert_eq!(some.targets.iter().map(|target| target.key.clone()).collect::<BTreeSet<_>>(), only);
            let whole = plan(app);
            prop_assert_eq!(app.waves(), whole.waves.as_slice());
            prop_assert!(app.targets().iter().map(|target| target.key()).eq(whole.targets.iter().map(|target| &target.key)));
            for plan in [whole, some] {
                sound(&plan);
                let of_file = plan.targets.iter().map(|target| {
                    let region = fleet.regions().iter().position(|region| *region == target.key.region);
                    (region, fleet.accounts().iter().position(|account| *account.id() == target.key.account))
                });
                prop_assert!(depths(&plan).into_iter().zip(of_file).is_sorted(), "what waits alike is in the file's order");
                for (at, wave) in (0_u32..).zip(&plan.waves) {
                    let targets: Vec<&PlannedTarget> = plan.targets.iter().filter(|target| target.wave == at).collect();
                    prop_assert_eq!(targets.len(), usize::try_from(wave.size).unwrap());
                    let mut ends = ends.iter().cycle();
                    let (of_account, of_region) = most_at_once(&targets, |running| ends.next().unwrap().index(running));
                    prop_assert!(per_account.is_none_or(|limit| of_account <= limit), "{of_account} in an account");
                    prop_assert!(per_region.is_none_or(|limit| of_region <= limit), "{of_region} in a Region");
                    // One limit alone holds back no more than it must.
                    let most = |of: &dyn Fn(&TargetKey) -> String| {
                        let mut counts = BTreeMap::<String, usize>::new();
                        targets.iter().for_each(|target| *counts.entry(of(&target.key)).or_default() += 1);
                        counts.into_values().max().unwrap_or(0)
                    };
                    match (per_account, per_region) {
                        (Some(limit), None) => prop_assert_eq!(of_account, limit.min(most(&|key| key.account.to_string()))),
                        (None, Some(limit)) => prop_assert_eq!(of_region, limit.min(most(&|key| key.region.to_string()))),
                        (None, None) => prop_assert!(targets.iter().all(|target| target.after.is_empty())),
                        (Some(_), Some(_)) => {}
                    }
                }
            }
        }
    }
}

#[test]
fn ten_thousand_targets_are_laid_out_with_both_limits() {
    let fleet = one_wave(500, 20, ", max_per_account: 1, max_per_region: 10, max_concurrent: 10%, ramp: [1%, 10%]");
    let planned = plan(fleet.app("web").unwrap());
    sound(&planned);
    assert_eq!(waves(&planned), [("all 1/3", 100, 10, 0), ("all 2/3", 1_000, 100, 0), ("all 3/3", 8_900, 890, 0)]);
}

fn pairs(set: &[(&str, &str)]) -> Vec<(String, String)> {
    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(app: &App, set: &[(&str, &str)]) -> Result<Plan, String> {
    let set = pairs(set);
    app.plan_for(&run(app, &release()), &release(), &Selection { set: &set, ..Selection::default() })
        .map_err(|error| error.to_string())
}

#[test]
fn a_value_that_is_set_goes_before_all_others_in_every_target() {
    let app = web(&[]);
    let planned = set(&app, &[("LOG_LEVEL", "debug"), ("ARTIFACTS", "{{ not }} a template")]).unwrap();
    for target in &planned.targets {
        assert_eq!(
            (&*target.variables["LOG_LEVEL"], &*target.variables["ARTIFACTS"]),
            ("debug", "{{ not }} a template")
        );
    }
    assert_eq!(planned.targets.len(), 10);
    let choices: Vec<_> = app.parameter_choices().iter().map(|p| (p.name(), p.choices().len(), p.is_fixed())).collect();
    assert_eq!(choices, [("LOG_LEVEL", 3, false), ("COMMIT", 0, true), ("STAGE", 0, true), ("ARTIFACTS", 0, false)]);
    assert_eq!(app.parameter_choices()[0].description(), Some("How much the service writes to its log."));
}

#[test]
fn what_cannot_be_set_is_told_with_what_can() {
    let app = web(&[]);
    let told = |values: &[(&str, &str)]| set(&app, values).unwrap_err();
    insta::assert_snapshot!(told(&[("LOGLEVEL", "debug")]), @r#"app web has no parameter "LOGLEVEL"; it has LOG_LEVEL or ARTIFACTS; did you mean "LOG_LEVEL"?"#);
    insta::assert_snapshot!(told(&[("LOG_LEVEL", "wran")]), @r#""wran" cannot be set for parameter LOG_LEVEL of app web: expected debug, info or warn; did you mean "warn"?"#);
    insta::assert_snapshot!(told(&[("COMMIT", "HEAD")]), @r#"parameter COMMIT of app web is fixed by the fleet file; set another one, or replace its "value" there by "default""#);
    insta::assert_snapshot!(told(&[("ARTIFACTS", "")]), @r#""" cannot be set for parameter ARTIFACTS of app web: a value must not be empty"#);
    insta::assert_snapshot!(told(&[("ARTIFACTS", "a"), ("ARTIFACTS", "b")]), @"parameter ARTIFACTS of app web is set twice; set it once");
}

#[test]
fn a_value_that_is_set_never_unpins_a_target() {
    let edits = [
        ("        source_action: Source\n", ""),
        ("        value: \"{{ release.revision }}\"", "        default: \"{{ release.revision }}\""),
    ];
    let app = web(&edits);
    let error = set(&app, &[("COMMIT", "1d4f5a6b")]).unwrap_err();
    insta::assert_snapshot!(error, @"with these values nothing pins dev (444455556666/us-east-1) to the release's revision: COMMIT used release.revision; leave it as it is, or set source_action in the fleet file");
    assert!(set(&app, &[("LOG_LEVEL", "info")]).is_ok());
    assert!(set(&web(&edits[1..]), &[("COMMIT", "1d4f5a6b")]).is_ok(), "the source action pins it all the same");
}

#[test]
fn some_targets_keep_their_order_and_their_limits() {
    let app = web(&[(PROD, "        max_per_account: 1\n")]);
    let few = keys(&[PROD_EU, DEV_US, PROD_US]);
    let selection = Selection { only: Some(&few), ..Selection::default() };
    let planned = app.plan_for(&run(&app, &release()), &release(), &selection).unwrap();
    sound(&planned);
    assert_eq!(places(&planned.targets), ["dev/us-east-1", "prod/us-east-1", "prod/eu-west-1"]);
    assert_eq!(planned.targets[2].after, [key(PROD_US)]);
    assert_eq!(planned.targets[1].before, [2]);

    let nowhere = keys(&["999999999999/us-east-1", PROD_EU]);
    let selection = Selection { only: Some(&nowhere), ..Selection::default() };
    let error = app.plan_for(&run(&app, &release()), &release(), &selection).unwrap_err();
    insta::assert_snapshot!(error, @"app web is not deployed to 999999999999/us-east-1; leave them out, or give them back to the app in the fleet file");

    let none = BTreeSet::new();
    let selection = Selection { only: Some(&none), ..Selection::default() };
    let planned = app.plan_for(&run(&app, &release()), &release(), &selection).unwrap();
    assert!(planned.targets.is_empty() && planned.waves.is_empty());
}

fn good(run: &RunId, release: &Release, fingerprint: String) -> Good {
    let at = Timestamp::from_millis(1_700_000_000_000);
    Good { run: run.clone(), release: release.clone(), fingerprint, execution: None, pinned: None, at }
}

fn selection(known: &BTreeMap<TargetKey, Known>) -> Selection<'_> {
    Selection { known: Some(known), ..Selection::default() }
}

#[test]
fn what_is_there_already_is_left_alone_if_the_app_says_so() {
    let changed_only = [(APP, "    changed_only: true\n")];
    let app = web(&changed_only);
    let (release, run) = (release(), run(&app, &release()));
    let known = |target: &PlannedTarget| {
        let current = good(&run, &release, target.fingerprint());
        (target.key.clone(), Known { target: target.key.clone(), current, previous: None })
    };
    let whole = plan(&app);
    let mut all: BTreeMap<TargetKey, Known> = whole.targets.iter().map(known).collect();

    let nothing = app.plan_for(&run, &release, &selection(&all)).unwrap();
    sound(&nothing);
    assert!(nothing.waves.is_empty() && nothing.targets.is_empty());
    assert_eq!(places(&nothing.unchanged), places(&whole.targets));

    all.remove(&key(PROD_EU));
    all.get_mut(&key(PROD_US)).unwrap().current.fingerprint = "another".to_owned();
    let two = app.plan_for(&run, &release, &selection(&all)).unwrap();
    sound(&two);
    assert_eq!(places(&two.targets), ["prod/us-east-1", "prod/eu-west-1"]);
    assert_eq!(waves(&two), [("prod", 2, 2, 1)]);
    assert_eq!((two.unchanged.len(), two.unchanged[0].index), (8, 2));

    // A value that is set is a change.
    let values = pairs(&[("LOG_LEVEL", "debug")]);
    let set = Selection { set: &values, ..selection(&all) };
    let changed = places(&app.plan_for(&run, &release, &set).unwrap().targets);
    assert_eq!(changed.len(), 5, "dev has it already: {changed:?}");

    assert_eq!(app.plan_for(&run, &release, &Selection::default()).unwrap().targets.len(), 10, "nothing is known");
    let app = web(&[]);
    assert_eq!(app.plan_for(&run, &release, &selection(&all)).unwrap().targets.len(), 10, "the app wants all of it");
}

#[test]
fn the_way_back_gives_each_target_its_own_release() {
    let app = web(&[
        ("apps:\n", OPERATORS),
        (PROD, &format!("{PROD}        bake: 1h\n        approval: {{ by: sre }}\n        max_per_account: 1\n")),
    ]);
    let of = run(&app, &release());
    let (mut older, mut oldest) = (release(), release());
    older.source.id = "11111111-7d52-4d5e-9f0b-5a1f7c2b9e01".parse().unwrap();
    older.revision.as_mut().unwrap().id = "aaaa".repeat(10);
    older.revision.as_mut().unwrap().message = Some("ü".repeat(600));
    oldest.source.id = "22222222-7d52-4d5e-9f0b-5a1f7c2b9e01".parse().unwrap();
    oldest.revision.as_mut().unwrap().id = "bbbb".repeat(10);
    let back: RunId = "web-0f3a5b7c9d1e2f40".parse().unwrap();
    let wanted = [
        (key(PROD_EU), good(&of, &older, String::new())),
        (key("999999999999/us-east-1"), good(&of, &older, String::new())),
        (key(PROD_US), good(&of, &oldest, String::new())),
        (key(DEV_US), good(&of, &older, String::new())),
        (key(DEV_US), good(&of, &oldest, String::new())),
    ];
    let Back { plan, gone } = app.plan_back(&back, &of, &wanted).unwrap();
    sound(&plan);
    assert_eq!(gone, [key("999999999999/us-east-1")]);
    assert_eq!(waves(&plan), [("dev", 1, 5, 0), ("prod", 2, 2, 1)]);
    assert!(plan.waves.iter().all(|wave| wave.bake.is_none() && wave.approval.is_none()));
    assert_eq!(places(&plan.targets), ["dev/us-east-1", "prod/us-east-1", "prod/eu-west-1"]);
    assert_eq!(plan.targets[2].after, [key(PROD_US)], "limits hold on the way back too");
    for (target, release) in plan.targets.iter().zip([&older, &oldest, &older]) {
        let revision = &release.revision.as_ref().unwrap().id;
        assert_eq!(
            (&target.variables["COMMIT"], &target.source_revision.as_ref().unwrap().value),
            (revision, revision)
        );
        let own = target.release.as_ref().unwrap();
        assert_eq!(own.source, release.source);
        let (own, whole) = (own.revision.as_ref().unwrap(), release.revision.as_ref().unwrap());
        let cut: String = whole.message.as_ref().unwrap().chars().take(500).collect();
        assert_eq!(own.message.as_ref(), Some(&cut));
    }

    let error = app.plan_back(&back, &of, &wanted[1..2]).unwrap_err();
    assert!(matches!(error, PlanError::NothingToGoBack { .. }), "{error}");
    let other: RunId = "api-0f3a5b7c9d1e2f40".parse().unwrap();
    assert!(matches!(app.plan_back(&other, &of, &wanted), Err(PlanError::OtherApp { .. })));
    let mut without = wanted.clone();
    without[0].1.release.revision = None;
    without[3].1.release.revision = None;
    assert!(matches!(app.plan_back(&back, &of, &without), Err(PlanError::NoRevision { .. })));
}

#[test]
fn a_run_that_could_not_be_stored_is_refused() {
    let people: String = (0..600).map(|at| format!("  operator-{at}: {{ iam: arn:{} }}\n", "x".repeat(300))).collect();
    let told = problems(&home_with(&[("apps:\n", &format!("operators:\n{people}apps:\n"))]));
    assert!(
        told.contains("apps.web.waves: the waves of app web, with their approvers, alarms and operators, have"),
        "{told}"
    );
    assert!(told.ends_with("at most 131072 are stored; use fewer waves, steps, alarms or operators"), "{told}");
}
