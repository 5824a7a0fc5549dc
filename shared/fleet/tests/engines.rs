//! Four engines in one fleet file: what each target starts, and with what; and what is told when it can't be.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use manifold_core::engine::{DeploymentRevision, Service, Work};
use manifold_core::plan::PlannedTarget;
use manifold_fleet::Fleet;
use support::{problems, release, run};

/// One app in two accounts and two Regions, whose engine and parameters a test says.
fn fleet(app: &str) -> String {
    format!(
        r#"version: 1
hub: {{ account: "111122223333", region: us-east-1 }}
defaults: {{ role: ManifoldTarget, external_id: rollouts-7f3a }}
regions: {{ us-east-1: , eu-west-1: }}
accounts:
  dev: {{ id: "444455556666" }}
  prod: {{ id: "777788889999" }}
apps:
  web:
    release: {{ pipelines: web-release }}
{app}"#
    )
}

fn plan(app: &str) -> Vec<PlannedTarget> {
    let fleet = Fleet::parse("fleet.yaml", &fleet(app)).unwrap_or_else(|problems| panic!("{problems}"));
    let web = fleet.app("web").unwrap();
    web.plan(&run(web, &release()), &release()).unwrap().targets
}

fn told(app: &str) -> String {
    problems(&fleet(app))
}

const ALL_FOUR: &str = r#"    engine: { codepipeline: { name: svc-deploy, source_action: Source } }
    engines:
      - select: { accounts: dev, regions: eu-west-1 }
        engine: { codebuild: { project: "{{ app }}-build", source_version: "{{ release.revision }}" } }
      - select: { accounts: prod, regions: us-east-1 }
        engine:
          cloudformation:
            stack: "{{ app }}-{{ account.name }}"
            template: "s3://artifacts-{{ region }}/web/{{ release.revision }}/template.yaml"
            parameters_file: "s3://artifacts-{{ region }}/web/{{ release.revision }}/parameters.json"
            capabilities: [CAPABILITY_NAMED_IAM, CAPABILITY_AUTO_EXPAND]
            role: stacks/web
            replacements: allow
      # What an earlier exception selects is not selected again.
      - select: { accounts: prod }
        engine:
          codedeploy:
            application: web
            group: blue-green
            appspec: |
              version: 0.0
              image: {{ parameters.IMAGE }} in {{ region }}
            config: CodeDeployDefault.ECSCanary10Percent5Minutes
            auto_rollback: true
            on_stop: roll_back
    parameters:
      IMAGE: { value: "web:{{ release.revision }}" }
"#;

#[test]
fn each_target_has_the_engine_that_the_first_exception_or_the_app_names() {
    let plan = plan(ALL_FOUR);
    let started: Vec<String> =
        plan.iter().map(|t| format!("{}/{} {}", t.account_name, t.key.region, t.subject)).collect();
    assert_eq!(
        started,
        [
            "dev/us-east-1 svc-deploy",
            "prod/us-east-1 cloudformation:web-prod",
            "dev/eu-west-1 codebuild:web-build",
            "prod/eu-west-1 codedeploy:web/blue-green",
        ]
    );
    insta::assert_json_snapshot!("four_engines", plan);
}

#[test]
fn what_is_pinned_by_the_engine_is_told_as_such() {
    let plan = plan(ALL_FOUR);
    let revision = release().revision.unwrap().id;
    let pinned: Vec<_> = plan.iter().map(|target| (target.subject.service(), target.pinned())).collect();
    assert_eq!(
        pinned,
        [
            (Service::CodePipeline, Some(revision.as_str())),
            (Service::CloudFormation, None),
            (Service::CodeBuild, Some(revision.as_str())),
            (Service::CodeDeploy, None),
        ]
    );
}

#[test]
fn a_plan_differs_by_anything_that_its_engine_is_given() {
    let one = plan(ALL_FOUR);
    for (from, to) in [
        ("replacements: allow", "replacements: refuse"),
        ("template.yaml", "stack.yaml"),
        ("role: stacks/web", "role: stacks/shop"),
        ("on_stop: roll_back", "on_stop: leave"),
        ("in {{ region }}", "of {{ region }}"),
    ] {
        assert!(ALL_FOUR.contains(from));
        let other = plan(&ALL_FOUR.replace(from, to));
        let changed = one.iter().zip(&other).filter(|(one, other)| one.fingerprint() != other.fingerprint()).count();
        assert_eq!(changed, 1, "{to}");
    }
}

#[test]
fn a_commit_on_github_and_a_bundle_are_what_they_say() {
    let revision = |what: &str| {
        let engine = format!("    engine: {{ codedeploy: {{ application: web, group: g, {what} }} }}\n");
        match plan(&engine).remove(0).work {
            Some(Work::Deployment(work)) => work.revision,
            other => panic!("{other:?}"),
        }
    };
    let commit = release().revision.unwrap().id;
    assert_eq!(
        revision("github: shop/web"),
        DeploymentRevision::GitHub { repository: "shop/web".to_owned(), commit: commit.clone() }
    );
    let DeploymentRevision::S3(object) = revision("revision: \"s3://bundles/{{ release.revision }}.tar.gz\"") else {
        panic!("no bundle")
    };
    assert_eq!(object.key(), format!("{commit}.tar.gz"));
    assert_eq!(DeploymentRevision::bundle(&object), Some("tgz"));
}

#[test]
fn a_target_has_one_engine() {
    insta::assert_snapshot!(told("    engine: {}\n"), @r##"fleet.yaml:11:5: apps.web.engine: no engine is named; give one of codepipeline, codebuild, cloudformation and codedeploy"##);
    insta::assert_snapshot!(
        told("    engine: { codebuild: { project: web-build }, codepipeline: { name: svc, source_action: S } }\n"),
        @r##"fleet.yaml:11:5: apps.web.engine: a target has one engine; give one of codepipeline, codebuild, cloudformation and codedeploy"##
    );
    insta::assert_snapshot!(told("    engine: { codebiuld: { project: web-build } }\n"), @r##"fleet.yaml:11:15: unknown field "codebiuld" in apps.web.engine; expected codepipeline, codebuild, cloudformation or codedeploy; did you mean "codebuild"?"##);
}

#[test]
fn each_engine_says_what_would_pin_its_targets() {
    for engine in [
        "codebuild: { project: web-build }",
        "cloudformation: { stack: web, template: \"s3://artifacts/web/template.yaml\" }",
        "codedeploy: { application: web, group: g, revision: \"s3://bundles/web.zip\" }",
    ] {
        let told = told(&format!("    engine: {{ {engine} }}\n"));
        assert!(
            told.contains(
                "nothing pins dev/us-east-1, prod/us-east-1, dev/eu-west-1 and 1 more to the release's revision"
            ),
            "{told}"
        );
    }
    insta::assert_snapshot!(told("    engine: { codebuild: { project: web-build } }\n"), @r##"fleet.yaml:11:15: apps.web.engine.codebuild: nothing pins dev/us-east-1, prod/us-east-1, dev/eu-west-1 and 1 more to the release's revision; set source_version to "{{ release.revision }}", or give a parameter that value"##);
}

#[test]
fn a_name_that_aws_would_refuse_is_told_with_its_target() {
    insta::assert_snapshot!(
        told("    engine: { cloudformation: { stack: \"1-{{ account.name }}\", template: \"s3://artifacts/{{ release.revision }}\" } }\n"),
        @r##"fleet.yaml:11:40: apps.web.engine.cloudformation.stack: "1-dev" for dev/us-east-1 (and 1 more) is not a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter"##
    );
    insta::assert_snapshot!(
        told("    engine: { codedeploy: { application: web, group: \"g {{ region }}\", github: shop/web } }\n"),
        @r##"fleet.yaml:11:54: apps.web.engine.codedeploy.group: "web/g us-east-1" for dev/us-east-1 (and 1 more) is not an application and its deployment group such as shop/blue-green, each of 1-100 of A-Z, a-z, 0-9 and . _ + = , @ -"##
    );
    insta::assert_snapshot!(
        told("    engine: { codedeploy: { application: \"web-{{ release.revision }}\", group: g, github: shop/web } }\n"),
        @r##"fleet.yaml:11:42: apps.web.engine.codedeploy.application: an application's name cannot depend on the release; every run of a target starts the same application; use release and run in parameters"##
    );
}

#[test]
fn an_object_that_is_none_is_told_before_there_is_a_release() {
    insta::assert_snapshot!(
        told("    engine: { cloudformation: { stack: web, template: \"https://artifacts/{{ release.revision }}\" } }\n"),
        @r##"fleet.yaml:11:55: apps.web.engine.cloudformation.template: "https://artifacts/0f3a5b7c9d1e2f400f3a5b7c9d1e2f400f3a5b7c" is not an object in S3 such as s3://bucket/key: a bucket's name of 3-63 of a-z, 0-9, '.' and '-', and a key of at most 1024 bytes, for dev/us-east-1"##
    );
    insta::assert_snapshot!(
        told("    engine: { codedeploy: { application: web, group: g, revision: \"s3://bundles/{{ release.revision }}.rpm\" } }\n"),
        @r##"fleet.yaml:11:67: apps.web.engine.codedeploy.revision: "s3://bundles/0f3a5b7c9d1e2f400f3a5b7c9d1e2f400f3a5b7c.rpm" does not end in .zip, .tar, .tgz, .tar.gz, .yaml, .yml or .json, for dev/us-east-1"##
    );
}

#[test]
fn a_deployment_has_one_revision_and_knows_its_parameters() {
    insta::assert_snapshot!(told("    engine: { codedeploy: { application: web, group: g } }\n"), @r##"fleet.yaml:11:15: apps.web.engine.codedeploy: nothing is deployed; give one of revision, appspec and github"##);
    insta::assert_snapshot!(
        told("    engine: { codedeploy: { application: web, group: g, github: shop/web, appspec: x } }\n"),
        @r##"fleet.yaml:11:15: apps.web.engine.codedeploy: a deployment has one revision; give one of revision, appspec and github"##
    );
    insta::assert_snapshot!(
        told("    engine: { codedeploy: { application: web, group: g, appspec: \"{{ parameters.IMGAE }} {{ release.revision }}\" } }\n    parameters: { IMAGE: { default: x } }\n"),
        @r##"fleet.yaml:11:66: apps.web.engine.codedeploy.appspec: app web has no parameter "IMGAE"; it has IMAGE; did you mean "IMAGE"?"##
    );
    insta::assert_snapshot!(
        told("    engine: { codepipeline: { name: svc, source_action: \"{{ parameters.X }}\" } }\n"),
        @r##"fleet.yaml:11:57: apps.web.engine.codepipeline.source_action: "{{ parameters.X }}" is not an action name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'"##
    );
}

#[test]
fn a_parameter_that_its_engine_can_not_take_is_a_problem() {
    insta::assert_snapshot!(
        told("    engine: { cloudformation: { stack: web, template: \"s3://artifacts/{{ release.revision }}\" } }\n    parameters: { LOG_LEVEL: { default: info } }\n"),
        @r##"fleet.yaml:12:19: apps.web.parameters.LOG_LEVEL: "LOG_LEVEL" can't be the name of a parameter of a stack: letters and digits only; give it another name"##
    );
    insta::assert_snapshot!(
        told("    engine: { codebuild: { project: web-build, source_version: \"{{ release.revision }}\" } }\n    parameters: { LOG-LEVEL: { default: info } }\n"),
        @r##"fleet.yaml:12:19: apps.web.parameters.LOG-LEVEL: "LOG-LEVEL" can't be the name of an environment variable: letters, digits and '_', not beginning with a digit; give it another name"##
    );
}

#[test]
fn an_exception_that_selects_nothing_is_a_problem() {
    insta::assert_snapshot!(
        told("    engine: { codepipeline: { name: svc, source_action: Source } }\n    engines:\n      - select: { accounts: dev }\n        engine: { codepipeline: { name: svc-dev, source_action: Source } }\n      - select: { accounts: dev, regions: eu-west-1 }\n        engine: { codepipeline: { name: svc-eu, source_action: Source } }\n"),
        @r##"fleet.yaml:15:9: apps.web.engines[1]: this exception selects no target of the app that none before it selects; remove it, or select other targets"##
    );
}

#[test]
fn two_apps_do_not_start_the_same_thing() {
    let two = format!(
        "{}  api:\n    release: {{ pipelines: api-release }}\n    engine: {{ codebuild: {{ project: web-build, source_version: \"{{{{ release.revision }}}}\" }} }}\n",
        "    engine: { codebuild: { project: web-build, source_version: \"{{ release.revision }}\" } }\n"
    );
    insta::assert_snapshot!(told(&two), @r##"fleet.yaml:14:37: apps.api.engine.codebuild.project: app web uses the same project in dev/us-east-1, prod/us-east-1, dev/eu-west-1 and 1 more; a project in a target belongs to one app: name another one, or exclude the targets in one of the apps"##);
}
