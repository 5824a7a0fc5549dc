//! One mistake each in a good file, and what its author is told.

mod support;

use support::{home_with, problems};

/// What the home fleet with some of its text replaced is told.
fn told(edits: &[(&str, &str)]) -> String {
    problems(&home_with(edits))
}

#[test]
fn an_unknown_field_is_named_with_the_one_that_was_meant() {
    let told = told(&[("    waves:", "    wave:")]);
    insta::assert_snapshot!(told, @r#"fleet.yaml:57:5: unknown field "wave" in apps.web; expected release, engine, description, parameters, targets, canary, waves, max_attempts, deadline, changed_only, newer_release, on_failure, operators or slack; did you mean "waves"?"#);
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
