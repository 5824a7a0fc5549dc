//! A whole fleet file: what a good one becomes, what a bad one is told, and the schema beside it.

mod support;

use manifold_core::ids::{AccountId, PipelineName, Region};
use manifold_core::plan::Channel;
use manifold_fleet::{Fleet, PlanError};
use support::{HOME, home_with, problems, release, run};

fn home() -> Fleet {
    Fleet::parse("home.yaml", HOME).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_good_file_becomes_a_fleet() {
    let fleet = home();
    assert_eq!(fleet.hub().account().as_str(), "111122223333");
    let names: Vec<&str> = fleet.regions().iter().filter_map(|region| fleet.region_name(region)).collect();
    assert_eq!(names, ["N. Virginia", "Canada", "Sydney", "Frankfurt", "Ireland"]);
    let accounts: Vec<&str> = fleet.accounts().iter().map(|account| account.name()).collect();
    assert_eq!(accounts, ["dev", "prod"]);
    let web = fleet.app("web").unwrap();
    assert_eq!(fleet.apps().count(), 1);
    assert_eq!(web.targets().len(), 10);
    assert!(matches!(web.channel(), Channel::Bot { channel, .. } if channel == "C0123456789"));
}

#[test]
fn a_plan_carries_every_choice() {
    let fleet = home();
    let web = fleet.app("web").unwrap();
    let release = release();
    let plan = web.plan(&run(web, &release), &release).unwrap();
    insta::assert_json_snapshot!("home_waves", plan.waves);
    insta::assert_json_snapshot!("home_targets", plan.targets);
    assert_eq!((plan.max_attempts, plan.deadline.to_string()), (2, "2 h".to_owned()));
}

#[test]
fn only_the_hub_account_releases() {
    let fleet = home();
    let pipeline: PipelineName = "web-release".parse().unwrap();
    let released = |account: &str, region: &str, pipeline: &PipelineName| {
        let (account, region): (AccountId, Region) = (account.parse().unwrap(), region.parse().unwrap());
        fleet.released_by(&account, &region, pipeline).iter().map(|app| app.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(released("111122223333", "us-east-1", &pipeline), ["web"]);
    assert!(released("444455556666", "us-east-1", &pipeline).is_empty());
    assert!(released("111122223333", "eu-west-1", &pipeline).is_empty());
    assert!(released("111122223333", "us-east-1", &"svc-deploy".parse().unwrap()).is_empty());
}

#[test]
fn the_most_specific_value_wins() {
    let text = home_with(&[
        ("    variables:\n      LOG_LEVEL: debug", "    variables: { LOG_LEVEL: debug, ARTIFACTS: account }"),
        ("  eu-west-1: { name: Ireland }", "  eu-west-1: { name: Ireland, variables: { ARTIFACTS: region } }"),
        ("    LOG_LEVEL: info", "    LOG_LEVEL: info\n    ARTIFACTS: defaults"),
        ("          LOG_LEVEL: warn", "          LOG_LEVEL: warn\n          ARTIFACTS: target"),
    ]);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap();
    let web = fleet.app("web").unwrap();
    let plan = web.plan(&run(web, &release()), &release()).unwrap();
    let shown = plan.targets.iter().map(|target| {
        let variable = |name: &str| &target.variables[name];
        format!("{}/{} {} {}", target.account_name, target.key.region, variable("ARTIFACTS"), variable("LOG_LEVEL"))
    });
    let expected = [
        "dev/us-east-1 account debug",
        "dev/ca-central-1 account debug",
        "dev/ap-southeast-2 account debug",
        "dev/eu-central-1 account debug",
        "dev/eu-west-1 region debug",
        "prod/us-east-1 defaults info",
        "prod/ca-central-1 defaults info",
        "prod/ap-southeast-2 target warn",
        "prod/eu-central-1 defaults info",
        "prod/eu-west-1 region info",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn a_release_without_a_revision_is_not_planned() {
    let fleet = home();
    let web = fleet.app("web").unwrap();
    let mut release = release();
    release.revision = None;
    let error = web.plan(&run(web, &release), &release).unwrap_err();
    assert!(matches!(error, PlanError::NoRevision { .. }));
    assert!(error.to_string().starts_with("cannot pin the targets of app web"), "{error}");
}

#[test]
fn a_plan_that_aws_would_refuse_names_target_and_parameter() {
    let planned = |value: &str| {
        let text =
            home_with(&[("default: \"web-artifacts-{{ account.id }}-{{ region }}\"", &format!("value: {value:?}"))]);
        let fleet = Fleet::parse("fleet.yaml", &text).unwrap();
        let web = fleet.app("web").unwrap();
        let mut release = release();
        let revision = release.revision.as_mut().unwrap();
        revision.author = None;
        revision.url = Some("u".repeat(1001));
        revision.message = Some(" ".repeat(3));
        web.plan(&run(web, &release), &release)
            .map(|plan| plan.targets[0].variables["ARTIFACTS"].clone())
            .map_err(|error| error.to_string())
    };
    assert_eq!(planned("by {{ release.author | default('nobody') }}").as_deref(), Ok("by nobody"));
    assert_eq!(
        planned("by {{ release.author }}").unwrap_err(),
        "parameter ARTIFACTS for dev (444455556666/us-east-1) uses release.author, which this release does not report; \
         add a default to the template, as in {{ release.author | default(\"unknown\") }}"
    );
    assert_eq!(
        planned("{{ release.url }}").unwrap_err(),
        "parameter ARTIFACTS for dev (444455556666/us-east-1) cannot be used: a value has at most 1000 characters, this one has 1001"
    );
    assert!(planned("{{ release.message }}").unwrap_err().contains("uses release.message"));
    assert!(planned("{{ release.branch[:0] }}").unwrap_err().ends_with("a value must not be empty"));
}

#[test]
fn a_long_commit_message_cannot_break_a_deployment() {
    let text =
        home_with(&[("default: \"web-artifacts-{{ account.id }}-{{ region }}\"", "value: \"{{ release.message }}\"")]);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap();
    let web = fleet.app("web").unwrap();
    let mut release = release();
    release.revision.as_mut().unwrap().message = Some(format!("{}\nmore", "ü".repeat(5000)));
    let plan = web.plan(&run(web, &release), &release).unwrap();
    assert_eq!(plan.targets[0].variables["ARTIFACTS"], "ü".repeat(200));
}

#[test]
fn a_run_of_another_app_is_not_planned() {
    let fleet = home();
    let web = fleet.app("web").unwrap();
    let error = web.plan(&"api-0f3a5b7c9d1e2f40".parse().unwrap(), &release()).unwrap_err();
    assert_eq!(error.to_string(), "run api-0f3a5b7c9d1e2f40 is not a run of app web");
}

#[test]
fn a_bad_file_is_told_every_problem_at_once() {
    insta::assert_snapshot!("bad", problems(include_str!("fleets/bad.yaml")));
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = home_with(&[
        (
            "accounts:\n",
            "x-common: &common\n  tags: { stage: prod, tier: gold }\n  external_id: other-1\n\naccounts:\n",
        ),
        ("    tags: { stage: prod }\n", "    <<: *common\n    tags: { stage: prod, tier: silver }\n"),
    ]);
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let prod = &fleet.accounts()[1];
    assert_eq!(prod.external_id(), Some("other-1"));
    assert_eq!(prod.tags()["tier"], "silver", "what is written out wins over what is merged");
}

#[test]
fn columns_count_characters_and_ranges_count_bytes() {
    let text = "\u{feff}version: 1\r\nhub: { näme: é, région: x }\r\n";
    let problems = Fleet::parse("fleet.yaml", text).unwrap_err();
    let shown = problems.iter().filter(|problem| problem.message().starts_with("unknown field"));
    let shown: Vec<_> = shown.map(|problem| (problem.line(), problem.column(), &text[problem.range()])).collect();
    assert_eq!(shown, [(2, 8, "näme"), (2, 17, "région")]);
}

#[test]
fn a_great_many_mistakes_are_told_in_reasonable_time() {
    let names: String = (0..20_000).map(|at| format!("  account-{at}: {{ id: \"{at:012}\" }}\n")).collect();
    let unknown: String = (0..20_000).map(|at| format!("          - acount-{at}\n")).collect();
    let text = home_with(&[
        ("accounts:\n", &format!("accounts:\n{names}")),
        ("        select: { accounts: dev }\n", &format!("        select:\n          accounts:\n{unknown}")),
    ]);
    // One more: the new accounts lack the tag that a parameter uses.
    assert_eq!(Fleet::parse("fleet.yaml", &text).unwrap_err().len(), 20_001);
}

#[test]
fn a_great_many_people_canaries_and_waves_are_told_in_reasonable_time() {
    let people: String = (0..20_000).map(|at| format!("  operator-{at}: {{ slack: U{at:08} }}\n")).collect();
    let unknown: String = (0..20_000).map(|at| format!(", oprator-{at}")).collect();
    let canaries: String = (0..20_000).map(|at| format!(", prd-{at}/eu-west-1")).collect();
    let waves: String =
        (0..20_000).map(|at| format!("      - {{ name: p 1/{at}, ramp: [1], select: {{}} }}\n")).collect();
    let text = home_with(&[
        ("apps:\n", &format!("operators:\n{people}apps:\n")),
        ("      - name: dev\n", &format!("{waves}      - name: dev\n")),
        ("    max_attempts: 2\n", &format!("    operators: [operator-1{unknown}]\n    canary: [dev{canaries}]\n")),
    ]);
    // Beyond 25,000 they are counted.
    assert_eq!(Fleet::parse("fleet.yaml", &text).unwrap_err().len(), 25_001);
}

#[test]
fn a_fleet_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Fleet>();
}

#[test]
fn a_file_beyond_the_size_limit_is_refused_unread() {
    let text = "#".repeat(manifold_fleet::MAX_BYTES + 1);
    assert_eq!(problems(&text), "fleet.yaml:1:1: the file has 8388609 bytes; at most 8388608 are read");
}

/// `MANIFOLD_BLESS=1 cargo test -p manifold-fleet` rewrites the schema.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn the_schema_that_is_checked_in_is_the_one_that_the_types_give() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fleet.schema.json");
    let schema = serde_json::to_string_pretty(&manifold_fleet::json_schema()).unwrap() + "\n";
    if std::env::var_os("MANIFOLD_BLESS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == schema, "fleet.schema.json is stale; MANIFOLD_BLESS=1 rewrites it");
}
