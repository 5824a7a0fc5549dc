//! One mistake each in a good file, and what its author is told.

mod support;

use support::{home_with, problems};

/// One operator.
const OPERATORS: &str = "operators:\n  alice: { slack: U0123456789 }\napps:\n";

/// What the home fleet with some of its text replaced is told.
fn told(edits: &[(&str, &str)]) -> String {
    problems(&home_with(edits))
}

#[test]
fn an_unknown_field_is_named_with_the_one_that_was_meant() {
    let told = told(&[("    waves:", "    wave:")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:57:5: unknown field "wave" in apps.web; expected release, engine, description, engines, parameters, targets, canary, waves, max_attempts, deadline, changed_only, newer_release, on_failure, operators, slack or drift; did you mean "waves"?"#);
}

#[test]
fn a_missing_field_is_reported_where_it_belongs() {
    let told = told(&[("    id: \"444455556666\"\n", ""), ("    release:\n      pipelines: web-release\n", "")]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:25:3: missing field "id" in accounts.dev
    fleet.yaml:38:3: missing field "release" in apps.web
    "#);
}

#[test]
fn a_bare_account_number_is_told_to_be_quoted() {
    let told = told(&[("id: \"444455556666\"", "id: 044455556666")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:26:9: accounts.dev.id: expected a 12-digit AWS account id, found the number 044455556666; put it in quotes: "044455556666" (a number loses its leading zeros)"#);
}

#[test]
fn a_boolean_or_a_number_for_a_parameter_is_told_to_be_quoted() {
    let told = told(&[("LOG_LEVEL: debug", "LOG_LEVEL: true")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:29:18: accounts.dev.variables.LOG_LEVEL: expected a text, found the boolean true; put it in quotes: "true""#);
}

#[test]
fn a_value_outside_of_the_choices_is_a_problem_where_it_was_written() {
    let told = told(&[("          LOG_LEVEL: warn", "          LOG_LEVEL: wran")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:36:22: accounts.prod.per_region.ap-southeast-2.variables.LOG_LEVEL: "wran" is not one of the choices of parameter LOG_LEVEL of app web; expected debug, info or warn; did you mean "warn"?"#);
}

#[test]
fn a_default_outside_of_the_choices_is_a_problem_once_a_target_gets_it() {
    let told = told(&[
        ("    LOG_LEVEL: info\n  slack", "    {}\n  slack"),
        ("        choices: [debug", "        default: trace\n        choices: [debug"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:50:18: apps.web.parameters.LOG_LEVEL.default: "trace" is not one of the choices of parameter LOG_LEVEL of app web; expected debug, info or warn"#);
}

#[test]
fn a_value_for_a_parameter_that_no_app_has_is_a_problem() {
    let told = told(&[("          LOG_LEVEL: warn", "          LOGLEVEL: warn")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:36:11: accounts.prod.per_region.ap-southeast-2.variables.LOGLEVEL: no app has a parameter "LOGLEVEL"; declare it in an app's parameters; there are ARTIFACTS or LOG_LEVEL; did you mean "LOG_LEVEL"?"#);
}

#[test]
fn a_value_for_a_parameter_that_its_app_fixes_is_a_problem() {
    let told = told(&[("    LOG_LEVEL: info", "    LOG_LEVEL: info\n    STAGE: qa")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:13:5: defaults.variables.STAGE: parameter "STAGE" is fixed by app web, so this value is never used; remove it, or replace the parameter's "value" in app web by "default""#);
}

#[test]
fn a_parameter_without_a_value_names_the_targets() {
    let told = told(&[("    LOG_LEVEL: info", "    ARTIFACTS: x")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:48:7: apps.web.parameters.LOG_LEVEL: parameter "LOG_LEVEL" has no value for prod/us-east-1, prod/ca-central-1, prod/eu-central-1 and 1 more; give it a default here, or a value in defaults, in the account, in the Region or for the target"#);
}

#[test]
fn a_fixed_value_excludes_default_and_choices() {
    let told = told(&[("        value: \"{{ account.tags.stage }}\"", "        value: dev\n        default: prod")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:54:16: apps.web.parameters.STAGE: a fixed "value" and "default" exclude each other; remove one of them"#);
}

#[test]
fn a_template_with_an_unknown_name_is_pointed_at() {
    let told = told(&[("web-artifacts-{{ account.id }}", "web-artifacts-{{ account.nane }}")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:56:36: apps.web.parameters.ARTIFACTS.default: unknown name "account.nane"; expected account.name, account.id, account.tags.*, region, partition, app, hub.account, hub.region, run, release.revision, release.short_revision, release.message, release.author, release.branch, release.repository, release.url, release.pipeline, release.execution; did you mean "account.name"?"#);
}

#[test]
fn a_template_with_bad_syntax_is_a_problem() {
    let told = told(&[("{{ account.id }}-", "{{ account.id }-")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:56:47: apps.web.parameters.ARTIFACTS.default: invalid template: unexpected `}`, expected end of variable block; expected names with filters, each in {{ and }}, as in {{ release.branch | default("main") }}"#);
}

#[test]
fn a_template_that_uses_a_tag_which_an_account_lacks_is_a_problem() {
    let told = told(&[
        ("tags: { stage: dev }", "tags: { stag: dev }"),
        ("select: { accounts: dev }", "select: { tags: { stag: dev } }"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:54:16: apps.web.parameters.STAGE.value: account dev has no tag "stage", which this template uses; add the tag to the account; did you mean "stag"?"#);
}

#[test]
fn a_pipeline_name_cannot_depend_on_the_release() {
    let told = told(&[("name: svc-deploy", "name: \"svc-{{ release.revision }}\"")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:45:15: apps.web.engine.codepipeline.name: a pipeline's name cannot depend on the release; every run of a target starts the same pipeline; use release and run in parameters"#);
}

#[test]
fn a_rendered_pipeline_name_must_be_valid() {
    let told = told(&[("name: svc-deploy", "name: \"svc {{ account.name }}\"")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:45:15: apps.web.engine.codepipeline.name: "svc dev" for dev/us-east-1 (and 1 more) is not a pipeline name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'"#);
}

#[test]
fn a_value_with_choices_cannot_depend_on_the_release() {
    let told = told(&[("    LOG_LEVEL: info", "    LOG_LEVEL: \"{{ release.branch }}\"")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:12:16: defaults.variables.LOG_LEVEL: parameter LOG_LEVEL of app web has choices, so its value cannot depend on the run or the release; give a fixed value, or remove the choices"#);
}

#[test]
fn an_app_that_pins_nothing_is_a_problem() {
    let told = told(&[
        ("        source_action: Source\n", ""),
        ("value: \"{{ release.revision }}\"", "value: \"{{ release.short_revision }}\""),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:44:7: apps.web.engine.codepipeline: nothing pins dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 7 more to the release's revision; set source_action, or give a parameter the value "{{ release.revision }}""#);
}

#[test]
fn a_misspelt_revision_type_is_told_what_was_meant() {
    let told = told(&[("source_action: Source", "revision_type: COMIT_ID")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:46:24: apps.web.engine.codepipeline.revision_type: "COMIT_ID" is not COMMIT_ID, IMAGE_DIGEST, S3_OBJECT_VERSION_ID or S3_OBJECT_KEY; did you mean "COMMIT_ID"?"#);
}

#[test]
fn a_revision_type_without_a_source_action_is_a_problem() {
    let told = told(&[("source_action: Source", "revision_type: IMAGE_DIGEST")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:46:24: apps.web.engine.codepipeline.revision_type: a revision_type without a source_action has no effect; name the source action that it is for, or remove it"#);
}

#[test]
fn unknown_accounts_tags_and_regions_are_named_with_what_was_meant() {
    let told = told(&[
        ("select: { accounts: dev }", "select: { accounts: dve, regions: [us-east1-1, eu-west-2] }"),
        ("tags: { stage: prod }\n        max", "tags: { stage: prd, tier: gold }\n        max"),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:59:29: apps.web.waves[0].select.accounts[0]: unknown account "dve"; expected one of this file's accounts by name: dev or prod; did you mean "dev"?
    fleet.yaml:59:44: apps.web.waves[0].select.regions[0]: "us-east1-1" is not an AWS Region code such as eu-west-1
    fleet.yaml:59:56: apps.web.waves[0].select.regions[1]: unknown Region "eu-west-2"; expected one of this file's regions: us-east-1, ca-central-1, ap-southeast-2, eu-central-1 or eu-west-1; did you mean "eu-west-1"?
    fleet.yaml:63:26: apps.web.waves[1].select.tags.stage: no account has the tag stage with the value "prd"; its values are dev or prod; did you mean "prod"?
    fleet.yaml:63:31: apps.web.waves[1].select.tags: no account has the tag "tier"; the accounts' tags are stage
    "#);
}

#[test]
fn an_account_given_by_its_id_is_told_its_name() {
    let told = told(&[("select: { accounts: dev }", "select: { accounts: \"444455556666\" }")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:59:29: apps.web.waves[0].select.accounts[0]: unknown account "444455556666"; expected one of this file's accounts by name: dev or prod; did you mean "dev"?"#);
}

#[test]
fn a_target_that_no_wave_selects_is_named() {
    let told = told(&[("select: { accounts: dev }", "select: { accounts: dev, exclude: [{ regions: eu-west-1 }] }")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:57:5: apps.web.waves: no wave selects dev/eu-west-1; select them in a wave, exclude them from the app's targets, or add a last wave without "select""#);
}

#[test]
fn a_target_in_two_waves_is_named() {
    let told = told(&[
        (
            "          tags: { stage: prod }\n",
            "          regions: [us-east-1, eu-west-1]\n          exclude: [{ accounts: dev, regions: eu-west-1 }]\n",
        ),
        ("select: { accounts: dev }", "select: {}"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:62:9: apps.web.waves[1].select: wave prod selects dev/us-east-1, prod/us-east-1 and prod/eu-west-1, which wave dev selects too; a target belongs to one wave: narrow one of them"#);
}

#[test]
fn a_wave_without_targets_is_a_problem() {
    let told = told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n      - name: rest\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:9: apps.web.waves[2]: this wave has no targets; every wave needs at least one of the app's targets"#);
}

#[test]
fn at_most_one_wave_takes_the_rest() {
    let told = told(&[
        ("        select: { accounts: dev }\n", ""),
        ("        select:\n          tags: { stage: prod }\n", ""),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:60:9: apps.web.waves[1]: waves[0] already takes the targets that no other wave selects; give this wave a "select""#);
}

#[test]
fn two_waves_cannot_share_a_name() {
    let told = told(&[("- name: prod", "- name: dev")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:61:15: apps.web.waves[1].name: two waves have the name "dev"; rename one"#);
}

#[test]
fn a_tolerance_beyond_the_wave_is_a_problem() {
    let told = told(&[("failure_tolerance: 1", "failure_tolerance: 6")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:65:28: apps.web.waves[1].failure_tolerance: failure_tolerance 6 is more than the wave's 5 targets; use at most 5, which tolerates everything"#);
}

#[test]
fn an_app_that_selects_nothing_is_a_problem() {
    let told = told(&[(
        "    max_attempts: 2",
        "    targets: { accounts: dev, exclude: [{ tags: { stage: dev } }] }\n    max_attempts: 2",
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:5: apps.web.targets: no target is selected; a target must match all of accounts, tags and regions, and no exclusion"#);
}

#[test]
fn an_exclusion_that_names_nothing_is_a_problem() {
    let told = told(&[("    max_attempts: 2", "    targets: { exclude: [{}] }\n    max_attempts: 2")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:26: apps.web.targets.exclude[0]: this exclusion names nothing, and so would leave out everything; give it accounts, tags or regions"#);
}

#[test]
fn numbers_and_durations_have_bounds() {
    let told = told(&[
        ("max_attempts: 2", "max_attempts: 11"),
        ("deadline: 2h", "deadline: 30s"),
        ("max_concurrent: 5", "max_concurrent: five"),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:60:25: apps.web.waves[0].max_concurrent: expected a whole number from 1 to 10000, or 1% to 100% of the wave, found the text "five"
    fleet.yaml:66:19: apps.web.max_attempts: expected a whole number from 1 to 10, found the number 11
    fleet.yaml:67:15: apps.web.deadline: "30s" is not between 1m and 14d
    "#);
}

#[test]
fn two_accounts_cannot_share_an_id() {
    let told = told(&[("777788889999", "444455556666")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:31:9: accounts.prod.id: account prod has the id 444455556666 of account dev; give each account once"#);
}

#[test]
fn an_account_without_a_role_is_a_problem() {
    let told = told(&[("  role: ManifoldTarget\n", "")]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:24:3: accounts.dev: account dev has no role; set defaults.role, or a role for this account
    fleet.yaml:29:3: accounts.prod: account prod has no role; set defaults.role, or a role for this account
    "#);
}

#[test]
fn a_role_is_a_name_and_not_an_arn() {
    let told = told(&[("role: ManifoldTarget", "role: arn:aws:iam::444455556666:role/ManifoldTarget")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:9:9: defaults.role: "arn:aws:iam::444455556666:role/ManifoldTarget" is not a role's name or path/name, such as ManifoldTarget or deploy/ManifoldTarget"#);
}

#[test]
fn a_region_of_another_partition_is_a_problem() {
    let told = told(&[("  eu-west-1: { name: Ireland }", "  us-gov-west-1: { name: Oregon }")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:22:3: regions: Region us-gov-west-1 is in partition aws-us-gov, the hub is in aws; a fleet stays within one partition: use a hub of its own"#);
}

#[test]
fn a_value_for_an_unknown_target_is_a_problem() {
    let told = told(&[("      ap-southeast-2:\n        variables", "      ap-southeast-1:\n        variables")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:34:7: accounts.prod.per_region: unknown Region "ap-southeast-1"; expected one of this file's regions: us-east-1, ca-central-1, ap-southeast-2, eu-central-1 or eu-west-1; did you mean "ap-southeast-2"?"#);
}

#[test]
fn two_apps_cannot_use_the_same_pipeline_in_a_target() {
    let told = told(&[(
        "    deadline: 2h\n",
        "    deadline: 2h\n  api:\n    release: { pipelines: api-release }\n    engine: { codepipeline: { name: svc-deploy, source_action: Source } }\n    targets: { accounts: prod }\n",
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:70:37: apps.api.engine.codepipeline.name: app web uses the same pipeline in prod/us-east-1, prod/ca-central-1, prod/ap-southeast-2 and 2 more; a pipeline in a target belongs to one app: name another one, or exclude the targets in one of the apps"#);
}

#[test]
fn a_release_pipeline_that_is_its_own_target_is_a_loop() {
    let told =
        told(&[("777788889999", "111122223333"), ("pipelines: web-release", "pipelines: [web-release, svc-deploy]")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:42:32: apps.web.release.pipelines[1]: release pipeline svc-deploy is also the target of app web in prod/us-east-1; it would release itself again and again: exclude that target, or name another pipeline"#);
}

#[test]
fn a_release_pipeline_given_twice_is_a_problem() {
    let told = told(&[("pipelines: web-release", "pipelines: [web-release, web-release]")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:42:32: apps.web.release.pipelines[1]: pipeline web-release is given twice; remove one"#);
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let told = told(&[("token: { secrets_manager: manifold/slack }", "token: { ssm: xoxb-123-456 }")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:15:19: defaults.slack.token.ssm: this is a secret, not the name of one; revoke it, store its successor in Secrets Manager or Parameter Store, and name that here"#);
}

#[test]
fn a_webhook_url_in_the_file_is_refused_and_not_repeated() {
    let told = told(&[(
        "    channel: C0123456789\n    token: { secrets_manager: manifold/slack }",
        "    webhook: https://hooks.slack.com/services/T0/B0/XX",
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:14:14: defaults.slack.webhook: expected a reference to a secret, found a plain value; name where it is kept: { secrets_manager: name } or { ssm: name }"#);
}

#[test]
fn a_channel_needs_a_token() {
    let told = told(&[("    token: { secrets_manager: manifold/slack }\n", "")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:13:3: defaults.slack: a channel needs a token; give either channel and token, or webhook"#);
}

#[test]
fn a_bot_and_a_webhook_exclude_each_other() {
    let told = told(&[(
        "    token: { secrets_manager: manifold/slack }\n",
        "    token: { secrets_manager: manifold/slack }\n    webhook: { ssm: /manifold/webhook }\n",
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:13:3: defaults.slack: a bot and a webhook are two ways to post; give either channel and token, or webhook"#);
}

#[test]
fn silence_is_spelled_out() {
    let told = told(&[("    max_attempts: 2", "    slack: silnt\n    max_attempts: 2")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:12: apps.web.slack: expected a mapping with channel and token, or with webhook, or the word "silent", found the text "silnt"; did you mean "silent"?"#);
}

#[test]
fn a_duplicate_key_is_a_problem_and_the_first_one_counts() {
    let told = told(&[("  prod:\n", "  dev:\n    id: nonsense\n  prod:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:30:3: duplicate key "dev"; each key may be given once; remove or rename one of them"#);
}

#[test]
fn invalid_yaml_is_placed() {
    let told = told(&[("  account: \"111122223333\"", "  account: \"111122223333")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:5:12: invalid YAML: invalid indentation in quoted scalar"#);
}

#[test]
fn a_tab_as_indentation_is_placed() {
    let told = told(&[("  region: us-east-1", "\tregion: us-east-1")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:6:2: invalid YAML: tabs disallowed within this context (block indentation)"#);
}

#[test]
fn a_second_document_is_refused() {
    let told = told(&[("apps:\n", "---\napps:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:38:1: a second document begins here; a fleet file is one document; remove the `---`"#);
}

#[test]
fn a_tag_of_another_language_is_refused() {
    let told = told(&[("role: ManifoldTarget", "role: !Ref ManifoldTarget")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:9:9: unknown YAML tag "!Ref"; remove it"#);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let told = told(&[("version: 1", "version: 2")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:2:10: version: expected 1, found the number 2"#);
}

#[test]
fn empty_sections_are_problems() {
    let told = told(&[
        ("choices: [debug, info, warn]", "choices: []"),
        ("select: { accounts: dev }", "select: { accounts: [] }"),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:50:9: apps.web.parameters.LOG_LEVEL.choices: the list is empty; add an entry, or leave the field out
    fleet.yaml:59:19: apps.web.waves[0].select.accounts: the list is empty; add an entry, or leave the field out
    "#);
}

#[test]
fn a_broken_part_causes_no_follow_ups() {
    let told = told(&[
        ("accounts:\n  dev:", "accounts:\n  de v:"),
        ("  eu-west-1: { name: Ireland }", "  eu_west_1: { name: Ireland }"),
        ("    LOG_LEVEL: info", "    LOG_LEVEL: [info]"),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:12:16: defaults.variables.LOG_LEVEL: expected a text, found a list
    fleet.yaml:22:3: regions: "eu_west_1" is not an AWS Region code such as eu-west-1
    fleet.yaml:25:3: accounts: "de v" is not an account name: 1-64 characters of A-Z, a-z, 0-9, '.', '-' and '_', beginning with a letter or digit
    "#);
}

#[test]
fn more_parameters_than_a_pipeline_takes_are_a_problem() {
    let told = told(&[(
        "      STAGE:\n",
        &format!("{}      STAGE:\n", (0..47).map(|at| format!("      P{at}: {{ value: x }}\n")).collect::<String>()),
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:47:5: apps.web.parameters: 51 parameters; a pipeline takes at most 50 variables"#);
}

#[test]
fn variables_beyond_the_size_limit_are_a_problem() {
    let told = told(&[(
        "      STAGE:\n",
        &format!(
            "{}      STAGE:\n",
            (0..9).map(|at| format!("      P{at}: {{ value: {} }}\n", "x".repeat(1000))).collect::<String>()
        ),
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:47:5: apps.web.parameters: the variables for dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 7 more have more than 8192 bytes; names and values of all parameters count together: shorten them"#);
}

#[test]
fn an_empty_or_overlong_value_is_a_problem() {
    let told = told(&[
        ("LOG_LEVEL: debug", "ARTIFACTS: ''"),
        ("          LOG_LEVEL: warn", "          ARTIFACTS: \"{{ account.tags.stage | replace('prod', '') }}\""),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:29:18: accounts.dev.variables.ARTIFACTS: a value must not be empty
    fleet.yaml:36:22: accounts.prod.per_region.ap-southeast-2.variables.ARTIFACTS: a value must not be empty for prod/ap-southeast-2
    "#);
}

#[test]
fn a_token_in_the_place_of_a_channel_is_not_repeated() {
    let told = told(&[("channel: C0123456789", "channel: xoxb-123-456")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:14:14: defaults.slack.channel: this secret is not a Slack channel: an id such as C0123456789, or a name, without blanks"#);
}

#[test]
fn a_pattern_for_a_release_pipeline_is_told_to_be_written_out() {
    let told = told(&[("pipelines: web-release", "pipelines: web-*")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:42:18: apps.web.release.pipelines: "web-*" is not a pipeline name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'; write each name out: patterns are not taken here"#);
}

#[test]
fn what_is_to_be_included_is_not_told_to_be_excluded() {
    let told = told(&[("    waves:", "    targets: { include: [ { accounts: dev } ] }\n    waves:")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:57:16: unknown field "include" in apps.web.targets; expected accounts, tags, regions or exclude"#);
}

#[test]
fn a_tag_in_a_template_with_a_slip_before_it_is_suggested() {
    let told = told(&[("{{ account.tags.stage }}", "{{ account.tag.stage }}")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:54:20: apps.web.parameters.STAGE.value: unknown name "account.tag.stage"; expected account.name, account.id, account.tags.*, region, partition, app, hub.account, hub.region, run, release.revision, release.short_revision, release.message, release.author, release.branch, release.repository, release.url, release.pipeline, release.execution; did you mean "account.tags.stage"?"#);
}

#[test]
fn a_template_that_is_not_closed_is_told_what_one_looks_like() {
    let told = told(&[("{{ account.tags.stage }}", "{{ account.tags.stage")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:54:33: apps.web.parameters.STAGE.value: invalid template: unexpected end of input, expected end of variable block; expected names with filters, each in {{ and }}, as in {{ release.branch | default("main") }}"#);
}

#[test]
fn an_operator_is_told_by_something() {
    let told = told(&[("apps:\n", "operators:\n  alice: {}\napps:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:39:3: operators.alice: nothing tells this operator from others; give slack, a Slack user id, or iam, a pattern of identities' ARNs"#);
}

#[test]
fn a_slack_user_is_an_id_and_not_a_name() {
    let told = told(&[("apps:\n", "operators:\n  alice: { slack: [alice, U0123456789] }\napps:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:39:20: operators.alice.slack[0]: "alice" is not a Slack user id such as U0123456789: the member's profile shows it"#);
}

#[test]
fn a_role_is_nobodys_identity() {
    let told =
        told(&[("apps:\n", "operators:\n  alice: { iam: arn:aws:iam::111122223333:role/deploy/Admin }\napps:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:39:17: operators.alice.iam: "arn:aws:iam::111122223333:role/deploy/Admin" is a role, and nobody is a role: they assume it; write its sessions, as GetCallerIdentity tells them; did you mean "arn:aws:sts::111122223333:assumed-role/Admin/*"?"#);
}

#[test]
fn an_identity_is_an_arn() {
    let told = told(&[("apps:\n", "operators:\n  alice: { iam: alice }\napps:\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:39:17: operators.alice.iam: "alice" is not a pattern of identities' ARNs, such as arn:aws:sts::111122223333:assumed-role/Admin/*"#);
}

#[test]
fn an_unknown_operator_is_named_with_the_one_that_was_meant() {
    let told = told(&[
        ("apps:\n", OPERATORS),
        ("    max_attempts: 2\n", "    max_attempts: 2\n    operators: [alcie]\n"),
        ("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        approval: { by: bob }\n"),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:68:25: apps.web.waves[1].approval.by[0]: unknown operator "bob"; expected one of this file's operators: alice
    fleet.yaml:70:17: apps.web.operators[0]: unknown operator "alcie"; expected one of this file's operators: alice; did you mean "alice"?
    "#);
}

#[test]
fn an_operator_that_no_file_declares_is_a_problem() {
    let told =
        told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        approval: { by: bob }\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:25: apps.web.waves[1].approval.by[0]: unknown operator "bob"; declare it in this file's operators, by slack or iam"#);
}

#[test]
fn a_broken_operator_causes_no_follow_ups() {
    let told = told(&[
        ("apps:\n", "operators:\n  alice: { slack: alice }\napps:\n"),
        ("    max_attempts: 2\n", "    max_attempts: 2\n    operators: alice\n"),
        ("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        approval: { by: alice }\n"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:39:19: operators.alice.slack: "alice" is not a Slack user id such as U0123456789: the member's profile shows it"#);
}

#[test]
fn an_approval_needs_an_approver() {
    let told = told(&[
        ("apps:\n", OPERATORS),
        (
            "        failure_tolerance: 1\n",
            "        failure_tolerance: 1\n        approval: { valid_for: 8d, newer_release: repont }\n",
        ),
    ]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:68:9: missing field "by" in apps.web.waves[1].approval
    fleet.yaml:68:32: apps.web.waves[1].approval.valid_for: "8d" is not between 1m and 7d
    fleet.yaml:68:51: apps.web.waves[1].approval.newer_release: "repont" is not repoint, expire or keep; did you mean "repoint"?
    "#);
}

#[test]
fn a_policy_is_one_of_a_few_words() {
    let told = told(&[(
        "    max_attempts: 2\n",
        "    max_attempts: 2\n    newer_release: supercede\n    on_failure: rollback_wave\n    changed_only: \"yes\"\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:67:20: apps.web.newer_release: "supercede" is not queue, supersede or refuse; did you mean "supersede"?
    fleet.yaml:68:17: apps.web.on_failure: "rollback_wave" is not halt, continue, roll_back_wave or roll_back_run; did you mean "roll_back_wave"?
    fleet.yaml:69:19: apps.web.changed_only: expected true or false, found the text "yes"
    "#);
}

#[test]
fn a_bake_has_limits() {
    let told = told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        bake: 8d\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:15: apps.web.waves[1].bake: "8d" is not between 1m and 7d"#);
}

#[test]
fn a_bake_with_alarms_needs_a_time() {
    let told =
        told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        bake: { alarms: [\"\"] }\n")]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:66:9: missing field "time" in apps.web.waves[1].bake
    fleet.yaml:66:26: apps.web.waves[1].bake.alarms[0]: "" is not an alarm's name: a text of 1-255 characters
    "#);
}

#[test]
fn a_bake_is_no_list() {
    let told = told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        bake: [30m]\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:15: apps.web.waves[1].bake: expected a duration such as 30m, or a mapping with time and alarms, found a list"#);
}

#[test]
fn alarms_have_a_limit() {
    let alarms: Vec<String> = (0..101).map(|at| format!("a{at}")).collect();
    let wave = format!("        failure_tolerance: 1\n        bake: {{ time: 1h, alarms: [{}] }}\n", alarms.join(", "));
    let told = told(&[("        failure_tolerance: 1\n", &wave)]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:27: apps.web.waves[1].bake.alarms: 101 alarms; at most 100 are looked at; put them together in a composite alarm"#);
}

#[test]
fn a_share_is_between_1_and_100_per_cent() {
    let told =
        told(&[("max_concurrent: 5", "max_concurrent: 0%"), ("failure_tolerance: 1", "failure_tolerance: 101%")]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:60:25: apps.web.waves[0].max_concurrent: expected a whole number from 1 to 10000, or 1% to 100% of the wave, found the text "0%"
    fleet.yaml:65:28: apps.web.waves[1].failure_tolerance: expected a whole number from 0 to 1000000, or 0% to 100% of the wave, found the text "101%"
    "#);
}

#[test]
fn a_strict_tolerance_is_a_boolean() {
    let told = told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        strict: yes\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:17: apps.web.waves[1].strict: expected true or false, found the text "yes""#);
}

#[test]
fn limits_are_at_least_one() {
    let told = told(&[(
        "        failure_tolerance: 1\n",
        "        failure_tolerance: 1\n        max_per_account: 0\n        max_per_region: 50%\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:66:26: apps.web.waves[1].max_per_account: expected a whole number from 1 to 10000, found the number 0
    fleet.yaml:67:25: apps.web.waves[1].max_per_region: expected a whole number from 1 to 10000, found the text "50%"
    "#);
}

#[test]
fn a_region_order_names_regions_once() {
    let told = told(&[(
        "        failure_tolerance: 1\n",
        "        failure_tolerance: 1\n        region_order: [eu-west-1, eu-west-2, eu-west-1]\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:66:35: apps.web.waves[1].region_order[1]: unknown Region "eu-west-2"; expected one of this file's regions: us-east-1, ca-central-1, ap-southeast-2, eu-central-1 or eu-west-1; did you mean "eu-west-1"?
    fleet.yaml:66:46: apps.web.waves[1].region_order[2]: Region eu-west-1 is given twice; remove one
    "#);
}

#[test]
fn a_step_of_a_ramp_is_a_number_or_a_share() {
    let told = told(&[(
        "        failure_tolerance: 1\n",
        "        failure_tolerance: 1\n        ramp: [0, 101%, rset, { a: b }, 1.5]\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:66:16: apps.web.waves[1].ramp[0]: expected a number of targets, 1% to 100% of the wave, or rest, found the number 0
    fleet.yaml:66:19: apps.web.waves[1].ramp[1]: expected a number of targets, 1% to 100% of the wave, or rest, found the text "101%"
    fleet.yaml:66:25: apps.web.waves[1].ramp[2]: expected a number of targets, 1% to 100% of the wave, or rest, found the text "rset"; did you mean "rest"?
    fleet.yaml:66:31: apps.web.waves[1].ramp[3]: expected a number of targets, 1% to 100% of the wave, or rest, found a mapping
    fleet.yaml:66:41: apps.web.waves[1].ramp[4]: expected a number of targets, 1% to 100% of the wave, or rest, found the number 1.5
    "#);
}

#[test]
fn rest_is_the_last_step() {
    let told =
        told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        ramp: \"1, rest, 5\"\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:15: apps.web.waves[1].ramp[1]: "rest" leaves nothing for the steps after it; put it last, or leave it out"#);
}

#[test]
fn a_ramp_is_a_list() {
    let told =
        told(&[("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        ramp: { steps: 5 }\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:15: apps.web.waves[1].ramp: expected a list of numbers of targets, such as [1, 5, 25%, rest], or the same as one text, found a mapping"#);
}

#[test]
fn a_ramp_has_a_limit() {
    let told = told(&[(
        "        failure_tolerance: 1\n",
        "        failure_tolerance: 1\n        ramp: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n",
    )]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:66:9: apps.web.waves[1].ramp: a ramp has 1 to 20 steps, this one has 21; name fewer, or leave the field out"#);
}

#[test]
fn a_step_of_a_ramp_has_a_name_of_its_own() {
    let told = told(&[
        ("- name: dev", "- name: prod 1/2"),
        ("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        ramp: [1, rest]\n"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:58:15: apps.web.waves[0].name: a step of the ramp of wave prod may have the name "prod 1/2"; rename one"#);
}

#[test]
fn a_ramp_has_a_name_that_its_steps_can_have() {
    let told = told(&[
        ("- name: prod", "- name: ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"),
        ("        failure_tolerance: 1\n", "        failure_tolerance: 1\n        ramp: [1, rest]\n"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:61:15: apps.web.waves[1].name: the last step of this ramp would be "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp 2/2"; a wave's name has at most 64 characters: shorten this one"#);
}

#[test]
fn an_unknown_canary_is_named_with_what_was_meant() {
    let told = told(&[(
        "    max_attempts: 2\n",
        "    max_attempts: 2\n    canary: [prd/eu-west-1, prod/eu-west-2, prod/, dev]\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:67:14: apps.web.canary[0]: unknown account "prd"; expected one of this file's accounts by name: dev or prod; did you mean "prod"?
    fleet.yaml:67:29: apps.web.canary[1]: unknown Region "eu-west-2"; expected one of this file's regions: us-east-1, ca-central-1, ap-southeast-2, eu-central-1 or eu-west-1; did you mean "eu-west-1"?
    fleet.yaml:67:45: apps.web.canary[2]: "prod/" is not an account's name, or account/region such as prod/eu-west-1
    "#);
}

#[test]
fn a_canary_is_a_target_of_its_app() {
    let told = told(&[(
        "    max_attempts: 2\n",
        "    max_attempts: 2\n    targets: { exclude: [{ accounts: prod, regions: eu-west-1 }] }\n    canary: { targets: [prod/eu-west-1], bake: 1s }\n",
    )]);
    insta::assert_snapshot!(told, @r#"
    fleet.yaml:68:25: apps.web.canary.targets[0]: prod/eu-west-1 is no target of app web; the app's targets are dev/us-east-1, prod/us-east-1, dev/ca-central-1 and 6 more
    fleet.yaml:68:48: apps.web.canary.bake: "1s" is not between 1m and 7d
    "#);
}

#[test]
fn a_canary_account_has_targets_of_its_app() {
    let told = told(&[
        ("    max_attempts: 2\n", "    max_attempts: 2\n    targets: { accounts: prod }\n    canary: dev\n"),
        ("      - name: dev\n        select: { accounts: dev }\n        max_concurrent: 5\n", ""),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:65:13: apps.web.canary[0]: account dev has no target of app web; the app's targets are prod/us-east-1, prod/ca-central-1, prod/ap-southeast-2 and 2 more"#);
}

#[test]
fn a_wave_of_canaries_alone_is_a_problem() {
    let told = told(&[("    max_attempts: 2\n", "    max_attempts: 2\n    canary: dev\n")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:59:9: apps.web.waves[0]: this wave has no targets: those that it selects are the app's canaries; remove the wave, or name fewer canaries"#);
}

#[test]
fn the_canaries_are_a_wave_of_that_name() {
    let told = told(&[
        ("    max_attempts: 2\n", "    max_attempts: 2\n    canary: dev/eu-west-1\n"),
        ("- name: dev", "- name: canary"),
    ]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:58:15: apps.web.waves[0].name: the app's canaries are a wave "canary"; rename this one"#);
}
