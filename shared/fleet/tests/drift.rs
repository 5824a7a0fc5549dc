//! How an app is checked for drift, as the fleet file says: every field, every mistake, and the plan of a check.

#![expect(clippy::unwrap_used, reason = "input that a test cannot make fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::drift::{Aspect, Ignore, LONGEST_CONFIRM, Quiet, Response};
use manifold_core::ids::TargetKey;
use manifold_core::plan::{Channel, SecretRef};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Fleet};
use support::{home_with, large, problems, release, run};

/// Where the home fleet's app can be given more to say.
const APP: &str = "    max_attempts: 2\n";
/// Where its defaults can.
const DEFAULTS: &str = "    LOG_LEVEL: info\n";

const EVERYTHING: &str = r#"    max_attempts: 2
    drift:
      every: 1h
      checks: [stack, revision, health]
      stacks: ["{{ app }}-{{ account.tags.stage }}", "queues-{{ region }}"]
      deploy_stage: Deploy.prod
      confirm: 90s
      stuck_after: 2d
      deadline: 45m
      quiet: edit
      digest: 1d
      on_drift: redeploy
      who: true
      slack: { webhook: { ssm: /manifold/drift } }
      ignore:
        - { target: prod/*, owner: alice, reason: Moved by hand until the audit, until: 2026-12-31 }
        - target: "444455556666/eu-*"
          check: health
          path: /transitions/*
          owner: the web team
          reason: Frozen
          until: 2026-12-31T18:00:00+02:00
"#;

fn app(edits: &[(&str, &str)]) -> App {
    let fleet = Fleet::parse("fleet.yaml", &home_with(edits)).unwrap_or_else(|problems| panic!("{problems}"));
    fleet.app("web").unwrap().clone()
}

/// The app with a block of its own.
fn block(fields: &str) -> String {
    let lines: String = fields.lines().map(|line| format!("      {line}\n")).collect();
    format!("{APP}    drift:\n{lines}")
}

/// What the home fleet whose app has this block is told.
fn told(fields: &str) -> String {
    problems(&home_with(&[(APP, &block(fields))]))
}

fn rule(target: &str) -> String {
    format!("{{ target: {target}, owner: alice, reason: Known, until: 2026-12-31 }}")
}

#[test]
fn a_file_that_says_nothing_has_checks_that_somebody_asks_for() {
    let app = app(&[]);
    let drift = app.drift();
    assert_eq!((drift.every, drift.deadline), (None, Span::from_minutes(30)));
    assert_eq!(&drift.channel, app.channel());
    let policy = &drift.policy;
    assert_eq!((policy.confirm, policy.digest), (Some(Span::from_minutes(5)), None));
    assert_eq!((policy.quiet, policy.response), (Quiet::Silent, Response::Report));
    assert!(policy.ignore.is_empty() && policy.operators.is_empty());
    let looks = app.plan_check(None)[0].looks.clone().unwrap();
    assert_eq!(&looks.aspects, app.aspects());
    assert_eq!(looks.aspects, BTreeSet::from([Aspect::Revision, Aspect::Definition, Aspect::Health]));
    assert_eq!((looks.deploy_stage, looks.stacks, looks.stuck_after), (None, vec![], Span::from_minutes(24 * 60)));
    assert_eq!((looks.variables, looks.who), (false, false));
}

#[test]
fn every_field_of_a_block_is_taken() {
    let operators = "operators:\n  alice: { slack: U0123456789 }\n  bob: { slack: U9876543210 }\napps:\n";
    let named = EVERYTHING.replacen("    drift:\n", "    operators: alice\n    drift:\n", 1);
    let app = app(&[("apps:\n", operators), (APP, &named)]);
    let drift = app.drift();
    assert_eq!((drift.every, drift.deadline), (Some(Span::from_minutes(60)), Span::from_minutes(45)));
    assert_eq!(drift.channel, Channel::Webhook { url: SecretRef::Ssm("/manifold/drift".to_owned()) });
    assert!(matches!(app.channel(), Channel::Bot { .. }), "the rollouts' summaries go where they went");
    let policy = &drift.policy;
    assert_eq!((policy.confirm, policy.digest), (Some(Span::from_seconds(90)), Some(Span::from_minutes(24 * 60))));
    assert_eq!((policy.quiet, policy.response), (Quiet::Edit, Response::Redeploy));
    assert_eq!(policy.operators, app.policy().operators);
    assert_eq!(policy.operators.len(), 1);
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let ignore = [
        Ignore {
            target: "prod/*".to_owned(),
            aspect: None,
            path: None,
            owner: "alice".to_owned(),
            reason: "Moved by hand until the audit".to_owned(),
            until: at("2027-01-01T00:00:00Z"),
        },
        Ignore {
            target: "444455556666/eu-*".to_owned(),
            aspect: Some(Aspect::Health),
            path: Some("/transitions/*".to_owned()),
            owner: "the web team".to_owned(),
            reason: "Frozen".to_owned(),
            until: at("2026-12-31T16:00:00Z"),
        },
    ];
    assert_eq!(policy.ignore, ignore);
}

#[test]
fn a_check_looks_at_every_target_in_the_order_of_the_app() {
    let app = app(&[(APP, EVERYTHING)]);
    let planned = app.plan_check(None);
    insta::assert_json_snapshot!("check_first_target", planned[0]);
    let of_a_rollout = app.plan(&run(&app, &release()), &release()).unwrap().targets;
    assert_eq!(planned.len(), of_a_rollout.len());
    for (at, (planned, rollout)) in planned.iter().zip(&of_a_rollout).enumerate() {
        assert_eq!((usize::try_from(planned.index).unwrap(), planned.wave), (at, 0));
        assert_eq!((&planned.key, &planned.account_name), (&rollout.key, &rollout.account_name));
        assert_eq!((&planned.role, &planned.external_id), (&rollout.role, &rollout.external_id));
        assert_eq!(planned.subject, rollout.subject);
        assert_eq!((planned.variables.len(), &planned.source_revision, &planned.release), (0, &None, &None));
        assert!(planned.after.is_empty() && planned.before.is_empty());
        let stacks = &planned.looks.as_ref().unwrap().stacks;
        assert_eq!(*stacks, [format!("web-{}", planned.account_name), format!("queues-{}", planned.key.region)]);
        assert!(rollout.looks.is_none());
    }
}

#[test]
fn a_check_of_some_targets_leaves_out_what_the_app_does_not_have() {
    let app = app(&[(APP, EVERYTHING)]);
    let key = |text: &str| {
        let (account, region) = text.split_once('/').unwrap();
        TargetKey { account: account.parse().unwrap(), region: region.parse().unwrap() }
    };
    let only: BTreeSet<TargetKey> =
        ["777788889999/eu-west-1", "444455556666/ca-central-1", "999999999999/eu-west-1"].map(key).into();
    let planned = app.plan_check(Some(&only));
    let shown: Vec<_> = planned.iter().map(|target| (target.index, target.key.to_string())).collect();
    assert_eq!(shown, [(0, "444455556666/ca-central-1".to_owned()), (1, "777788889999/eu-west-1".to_owned())]);
    assert!(app.plan_check(Some(&BTreeSet::new())).is_empty());
}

#[test]
fn variables_are_read_where_no_source_action_is_pinned() {
    let app = app(&[("        source_action: Source\n", "")]);
    assert!(app.plan_check(None).iter().all(|target| target.looks.as_ref().unwrap().variables));
}

#[test]
fn the_defaults_hold_for_apps_that_have_no_block_of_their_own() {
    let defaults = format!(
        "{DEFAULTS}  drift:\n    every: 6h\n    stacks: \"{{{{ app }}}}-{{{{ account.name }}}}\"\n    ignore: [{}, {}]\n",
        rule("prod/*"),
        rule("dev/*")
    );
    let other = r#"apps:
  api:
    release: { pipelines: api-release }
    engine: { codepipeline: { name: api-deploy, source_action: Source } }
    targets: { accounts: prod }
    drift: { checks: health, confirm: never, slack: silent }
  jobs:
    release: { pipelines: jobs-release }
    engine: { codepipeline: { name: jobs-deploy, source_action: Source } }
    targets: { accounts: prod }
"#;
    let text = home_with(&[(DEFAULTS, &defaults), ("apps:\n", other)]);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let shown: BTreeMap<String, String> = fleet
        .apps()
        .map(|app| {
            let (drift, looks) = (app.drift(), app.plan_check(None)[0].looks.clone().unwrap());
            let targets: Vec<&str> = drift.policy.ignore.iter().map(|rule| rule.target.as_str()).collect();
            let checks: Vec<&str> = app.aspects().iter().map(|aspect| aspect.name()).collect();
            let every = drift.every.map_or_else(|| "when asked".to_owned(), |every| every.to_string());
            (app.name().to_string(), format!("{every}: {checks:?} of {:?} but {targets:?}", looks.stacks))
        })
        .collect();
    insta::assert_json_snapshot!(shown, @r#"
    {
      "api": "when asked: [\"health\"] of [] but []",
      "jobs": "6 h: [\"revision\", \"definition\", \"health\", \"stack\"] of [\"jobs-prod\"] but [\"prod/*\"]",
      "web": "6 h: [\"revision\", \"definition\", \"health\", \"stack\"] of [\"web-dev\"] but [\"prod/*\", \"dev/*\"]"
    }
    "#);
    let api = fleet.app("api").unwrap().drift();
    assert_eq!((api.policy.confirm, &api.channel), (None, &Channel::Silent));
}

#[test]
fn times_reach_their_limits() {
    let longest = app(&[(APP, &block("every: 7d\nconfirm: 15m\ndeadline: 6h\ndigest: 31d\nstuck_after: 60d"))]);
    let drift = longest.drift();
    assert_eq!((drift.every, drift.deadline), (Some(Span::from_minutes(7 * 1440)), Span::from_minutes(360)));
    assert_eq!(drift.policy.confirm, Some(LONGEST_CONFIRM));
    assert_eq!(drift.policy.digest, Some(Span::from_minutes(31 * 1440)));
    let shortest = app(&[(APP, &block("every: 5m\nconfirm: 59s\ndeadline: 1m\ndigest: 5m\nstuck_after: 1m"))]);
    assert_eq!(shortest.drift().every, shortest.drift().policy.digest);
    assert_eq!(app(&[(APP, &block("confirm: never\ndeadline: 1m"))]).drift().policy.confirm, None);
    insta::assert_snapshot!(
        told("every: 4m\nconfirm: 16m\ndeadline: 7h\ndigest: 32d\nstuck_after: 61d"), @r#"
    fleet.yaml:68:14: apps.web.drift.every: "4m" is not between 5m and 7d
    fleet.yaml:69:16: apps.web.drift.confirm: "16m" is not between 1s and 15m, or never
    fleet.yaml:70:17: apps.web.drift.deadline: "7h" is not between 1m and 6h
    fleet.yaml:71:15: apps.web.drift.digest: "32d" is not between 5m and 31d
    fleet.yaml:72:20: apps.web.drift.stuck_after: "61d" is not between 1m and 60d
    "#);
}

#[test]
fn words_are_told_with_the_one_that_was_meant() {
    insta::assert_snapshot!(
        told("every: hourly\nchecks: [revison, stacks]\nconfirm: nevr\nquiet: silence\non_drift: redeployed\nwho: yes\ndeploy_stage: The last\nslack: silnt"), @r#"
    fleet.yaml:68:14: apps.web.drift.every: "hourly" is not a duration such as 90m, 2h or 1d 12h
    fleet.yaml:69:16: apps.web.drift.checks[0]: "revison" is not revision, definition, health or stack; did you mean "revision"?
    fleet.yaml:69:25: apps.web.drift.checks[1]: "stacks" is not revision, definition, health or stack; did you mean "stack"?
    fleet.yaml:70:16: apps.web.drift.confirm: "nevr" is not a duration such as 90s or 5m, or never; did you mean "never"?
    fleet.yaml:71:14: apps.web.drift.quiet: "silence" is not silent or edit; did you mean "silent"?
    fleet.yaml:72:17: apps.web.drift.on_drift: "redeployed" is not report or redeploy; did you mean "redeploy"?
    fleet.yaml:73:12: apps.web.drift.who: expected true or false, found the text "yes"
    fleet.yaml:74:21: apps.web.drift.deploy_stage: "The last" is not a stage's name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'
    fleet.yaml:75:14: apps.web.drift.slack: expected a mapping with channel and token, or with webhook, or the word "silent", found the text "silnt"; did you mean "silent"?
    "#);
}

#[test]
fn an_unknown_field_is_a_problem() {
    insta::assert_snapshot!(told("evry: 1h\nignore: [{ targets: prod/* }]"), @r#"
    fleet.yaml:68:7: unknown field "evry" in apps.web.drift; expected every, checks, stacks, deploy_stage, confirm, stuck_after, deadline, quiet, digest, on_drift, who, slack or ignore; did you mean "every"?
    fleet.yaml:69:16: missing field "target" in apps.web.drift.ignore[0]
    fleet.yaml:69:16: missing field "owner" in apps.web.drift.ignore[0]
    fleet.yaml:69:16: missing field "reason" in apps.web.drift.ignore[0]
    fleet.yaml:69:16: missing field "until" in apps.web.drift.ignore[0]
    fleet.yaml:69:18: unknown field "targets" in apps.web.drift.ignore[0]; expected target, owner, reason, until, check or path; did you mean "target"?
    "#);
}

#[test]
fn a_block_is_a_mapping() {
    insta::assert_snapshot!(problems(&home_with(&[(APP, "    max_attempts: 2\n    drift: 1h\n")])), @r#"fleet.yaml:67:12: apps.web.drift: expected a mapping with every, checks, stacks, deploy_stage, confirm, stuck_after, deadline, quiet, digest, on_drift, who, slack or ignore, found the text "1h""#);
}

#[test]
fn checks_and_stacks_belong_together() {
    insta::assert_snapshot!(told("checks: [revision, stack]"), @r#"fleet.yaml:68:26: apps.web.drift.checks[1]: no stacks are named to be checked; name them in "stacks", or leave stack out"#);
    insta::assert_snapshot!(told("checks: health\nstacks: web"), @r#"fleet.yaml:69:7: apps.web.drift.stacks: these stacks are not checked: "checks" leaves stack out; add stack to "checks", or remove them"#);
    insta::assert_snapshot!(told("checks: [health, health]"), @"fleet.yaml:68:24: apps.web.drift.checks[1]: health is given twice; remove one");
}

#[test]
fn only_a_revision_is_deployed_again() {
    insta::assert_snapshot!(told("checks: health\non_drift: redeploy"), @r#"fleet.yaml:69:17: apps.web.drift.on_drift: redeploy is for revisions that drifted: "checks" leaves revision out; add revision to "checks", or say report"#);
}

#[test]
fn a_second_look_comes_before_the_deadline() {
    insta::assert_snapshot!(told("deadline: 5m"), @"fleet.yaml:68:17: apps.web.drift.deadline: a check that ends after 5 min has no time for the second look, 5 min after the first; use more than 5 min, or say confirm: never");
    insta::assert_snapshot!(told("deadline: 10m\nconfirm: 15m"), @"fleet.yaml:68:17: apps.web.drift.deadline: a check that ends after 10 min has no time for the second look, 15 min after the first; use more than 15 min, or say confirm: never");
}

#[test]
fn a_digest_is_part_of_a_check() {
    insta::assert_snapshot!(told("every: 2h\ndigest: 1h"), @"fleet.yaml:69:15: apps.web.drift.digest: a digest every 1 h needs a check as often; checks come every 2 h: use at least that, or check more often");
}

#[test]
fn a_stack_has_a_name_in_every_target() {
    insta::assert_snapshot!(told("stacks: [web_stack, \"{{ region }}-web\", \"1{{ app }}\"]"), @r#"
    fleet.yaml:68:16: apps.web.drift.stacks[0]: "web_stack" is not a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter
    fleet.yaml:68:47: apps.web.drift.stacks[2]: "1web" for dev/us-east-1 is not a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter
    "#);
    insta::assert_snapshot!(told(&format!("stacks: {}", "s".repeat(129))), @r#"fleet.yaml:68:15: apps.web.drift.stacks[0]: "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss…" is not a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter"#);
    insta::assert_snapshot!(told("stacks: [\"web-{{ release.branch }}\", \"web-{{ run }}\"]"), @r#"
    fleet.yaml:68:16: apps.web.drift.stacks[0]: a stack's name cannot depend on the release; whatever was released, the same stacks are checked; use account, region and app
    fleet.yaml:68:44: apps.web.drift.stacks[1]: a stack's name cannot depend on the run; whatever was released, the same stacks are checked; use account, region and app
    "#);
    insta::assert_snapshot!(told("stacks: \"web-{{ account.tags.stge }}\""), @r#"fleet.yaml:68:15: apps.web.drift.stacks[0]: account dev has no tag "stge", which this template uses; add the tag to the account; did you mean "stage"?"#);
    insta::assert_snapshot!(told("stacks: \"web-{{ acount.name }}\""), @r#"fleet.yaml:68:23: apps.web.drift.stacks: unknown name "acount.name"; expected account.name, account.id, account.tags.*, region, partition, app, hub.account, hub.region, run, release.revision, release.short_revision, release.message, release.author, release.branch, release.repository, release.url, release.pipeline, release.execution; did you mean "account.name"?"#);
    insta::assert_snapshot!(told("stacks: [web, web, web-dev, \"{{ app }}-{{ account.name }}\"]"), @r#"
    fleet.yaml:68:21: apps.web.drift.stacks[1]: stack web is given twice; remove one
    fleet.yaml:68:35: apps.web.drift.stacks[3]: stack web-dev is given twice for dev/us-east-1; remove one
    "#);
    let many: Vec<String> = (0..11).map(|at| format!("web-{at}")).collect();
    insta::assert_snapshot!(told(&format!("stacks: [{}]", many.join(", "))), @"fleet.yaml:68:7: apps.web.drift.stacks: 11 stacks; at most 10 are looked at in one target; name those that matter most");
}

#[test]
fn a_stack_of_the_defaults_is_told_of_there() {
    let defaults =
        format!("{DEFAULTS}  drift:\n    stacks: [web, \"{{{{ account.tags.tier }}}}\"]\n    deadline: 4m\n");
    insta::assert_snapshot!(problems(&home_with(&[(DEFAULTS, &defaults)])), @r#"
    fleet.yaml:14:19: defaults.drift.stacks[1]: account dev has no tag "tier", which this template uses; add the tag to the account
    fleet.yaml:15:15: defaults.drift.deadline: a check that ends after 4 min has no time for the second look, 5 min after the first; use more than 5 min, or say confirm: never
    "#);
}

#[test]
fn a_rule_says_who_why_and_until_when() {
    insta::assert_snapshot!(told("ignore: [{ target: prod/* }]"), @r#"
    fleet.yaml:68:16: missing field "owner" in apps.web.drift.ignore[0]
    fleet.yaml:68:16: missing field "reason" in apps.web.drift.ignore[0]
    fleet.yaml:68:16: missing field "until" in apps.web.drift.ignore[0]
    "#);
    insta::assert_snapshot!(
        told("ignore:\n  - { target: \"prod/* \", check: pipeline, path: \"\", owner: \"\", reason: \" \", until: 2026-02-30 }"), @r#"
    fleet.yaml:69:21: apps.web.drift.ignore[0].target: "prod/* " is not a pattern of targets as account/region, such as prod/* or */eu-west-1
    fleet.yaml:69:39: apps.web.drift.ignore[0].check: "pipeline" is not revision, definition, health or stack
    fleet.yaml:69:55: apps.web.drift.ignore[0].path: "" is not a pattern of paths in what is compared, such as /transitions/*
    fleet.yaml:69:66: apps.web.drift.ignore[0].owner: "" is not an owner: a text of 1-64 characters
    fleet.yaml:69:78: apps.web.drift.ignore[0].reason: " " is not a reason: a text of 1-500 characters
    fleet.yaml:69:90: apps.web.drift.ignore[0].until: "2026-02-30" is not a date such as 2026-12-31 (until its end, in UTC), or a time such as 2026-12-31T18:00:00Z
    "#);
    insta::assert_snapshot!(told("ignore: []"), @"fleet.yaml:68:7: apps.web.drift.ignore: the list is empty; add an entry, or leave the field out");
}

#[test]
fn a_rule_fits_a_target() {
    let rules: Vec<String> =
        ["prod", "prod/eu-west-2", "prd/*", "777788889999/*", "\"*/eu-*\""].map(rule).into_iter().collect();
    insta::assert_snapshot!(told(&format!("ignore:\n  - {}", rules.join("\n  - "))), @r#"
    fleet.yaml:69:21: apps.web.drift.ignore[0].target: "prod" fits no target of app web; the app's targets are dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 7 more; did you mean "prod/*"?
    fleet.yaml:70:21: apps.web.drift.ignore[1].target: "prod/eu-west-2" fits no target of app web; the app's targets are dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 7 more; did you mean "prod/eu-west-1"?
    fleet.yaml:71:21: apps.web.drift.ignore[2].target: "prd/*" fits no target of app web; the app's targets are dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 7 more; did you mean "prod/*"?
    "#);
}

#[test]
fn a_rule_of_the_defaults_fits_a_target_of_some_app() {
    let ignored = |targets: &[&str]| {
        let rules: Vec<String> = targets.iter().map(|target| rule(target)).collect();
        format!("{DEFAULTS}  drift: {{ ignore: [{}] }}\n", rules.join(", "))
    };
    insta::assert_snapshot!(problems(&home_with(&[(DEFAULTS, &ignored(&["prod/*", "qa/*"]))])), @r#"fleet.yaml:13:99: defaults.drift.ignore[1].target: "qa/*" fits no target of an app that takes these defaults; a target is account/region, by the account's name or id"#);
    // Nobody takes the block, or it is not known who is there: there is nothing to say.
    let own = home_with(&[(DEFAULTS, &ignored(&["qa/*"])), (APP, &block("every: 1h"))]);
    assert_eq!(problems(&own), "");
    let broken = problems(&home_with(&[(DEFAULTS, &ignored(&["777788889999/*"])), ("\"777788889999\"", "\"7\"")]));
    insta::assert_snapshot!(broken, @r#"fleet.yaml:32:9: accounts.prod.id: "7" is not a 12-digit AWS account id"#);
}

#[test]
fn rules_have_their_limits() {
    let rules: Vec<String> = (0..101).map(|_| rule("\"*\"")).collect();
    insta::assert_snapshot!(told(&format!("ignore: [{}]", rules.join(", "))), @"fleet.yaml:68:7: apps.web.drift.ignore: 101 rules; at most 100 are read; put some together: * stands for any text");
    let long = rule("\"*\"").replace("Known", &"ü".repeat(500));
    let rules: Vec<&str> = (0..100).map(|_| long.as_str()).collect();
    assert_eq!(told(&format!("ignore: [{}]", rules.join(", "))), "", "100 of the longest fit");
    let people: String = (0..150).map(|at| format!("  operator-{at}: {{ iam: arn:{} }}\n", "x".repeat(300))).collect();
    let text = home_with(&[
        ("apps:\n", &format!("operators:\n{people}apps:\n")),
        (APP, &block(&format!("ignore: [{}]", rules.join(", ")))),
    ]);
    insta::assert_snapshot!(problems(&text), @"fleet.yaml:219:7: apps.web.drift.ignore: the rules of app web, with its operators, have 157242 bytes; at most 131072 are stored; use fewer rules, or shorter reasons");
}

#[test]
fn ten_thousand_targets_are_planned_with_their_stacks() {
    let drift = "    deadline: 12h\n    drift: { stacks: [\"web-{{ account.name }}-{{ region }}\", \"{{ app }}\"] }\n";
    let text = large(500, 20, false).replacen("    deadline: 12h\n", drift, 1);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let planned = fleet.app("web").unwrap().plan_check(None);
    assert_eq!((planned.len(), planned[9_999].index), (10_000, 9_999));
    assert_eq!(planned[9_999].looks.as_ref().unwrap().stacks, ["web-account-499-me-south-2", "web"]);
}
