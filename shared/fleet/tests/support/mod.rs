//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "input that a test cannot make fails the test")]

use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::time::Timestamp;
use manifold_fleet::{App, Fleet};

/// A good file: two accounts, five Regions, one app.
pub(crate) const HOME: &str = include_str!("../fleets/home.yaml");

/// The home fleet with some of its text replaced.
pub(crate) fn home_with(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(HOME.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the file");
        text.replacen(from, to, 1)
    })
}

/// The problems of a text, one a line; empty when it is good.
pub(crate) fn problems(text: &str) -> String {
    Fleet::parse("fleet.yaml", text).err().map(|problems| problems.to_string()).unwrap_or_default()
}

/// A release of the web app with every part.
pub(crate) fn release() -> Release {
    Release {
        source: ExecutionRef {
            target: TargetKey { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() },
            id: "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01".parse().unwrap(),
        },
        pipeline: "web-release".parse().unwrap(),
        revision: Some(Revision {
            id: "1d4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5".to_owned(),
            action: "Source".to_owned(),
            message: Some("Sell more shoes\n\nAnd fewer hats.".to_owned()),
            url: Some("https://example.com/shop/web/commit/1d4f5a6b".to_owned()),
            author: Some("Jane Doe".to_owned()),
            repository: Some("shop/web".to_owned()),
            reference: Some("main".to_owned()),
            authored_at: None,
        }),
        trigger: Trigger::default(),
        released_at: Timestamp::from_millis(1_700_000_000_000),
        started_at: None,
        stages: Vec::new(),
    }
}

/// The run that the release opens.
pub(crate) fn run(app: &App, release: &Release) -> RunId {
    RunId::derive(app.name(), &release.source)
}

/// A fleet of `accounts` × `regions` targets (at most 20 Regions), with tags, values on every level and,
/// when asked for, a value for every single target.
pub(crate) fn large(accounts: usize, regions: usize, every_target: bool) -> String {
    use std::fmt::Write as _;
    let areas = [
        "us-east",
        "us-west",
        "eu-west",
        "eu-central",
        "ap-south",
        "ap-east",
        "sa-east",
        "ca-west",
        "af-south",
        "me-south",
    ];
    let code = |region: usize| format!("{}-{}", areas[region % areas.len()], region / areas.len() + 1);
    let mut text = String::from(
        "version: 1\nhub: { account: \"999999999999\", region: us-east-1 }\n\
         defaults:\n  role: ManifoldTarget\n  external_id: rollouts-7f3a\n  variables: { LOG_LEVEL: info }\nregions:\n",
    );
    for region in 0..regions {
        writeln!(
            text,
            "  {}: {{ name: Region {region}, variables: {{ BUCKET: \"b-{{{{ account.id }}}}-{{{{ region }}}}\" }} }}",
            code(region)
        )
        .unwrap();
    }
    text += "accounts:\n";
    for account in 0..accounts {
        let stage = if account % 10 == 0 { "canary" } else { "prod" };
        writeln!(
            text,
            "  account-{account}:\n    id: \"{account:012}\"\n    tags: {{ stage: {stage}, team: t{} }}",
            account % 7
        )
        .unwrap();
        writeln!(text, "    variables: {{ OWNER: team-{} }}", account % 7).unwrap();
        if every_target {
            text += "    per_region:\n";
            for region in 0..regions {
                writeln!(text, "      {}: {{ variables: {{ REPLICAS: \"{}\" }} }}", code(region), region + account)
                    .unwrap();
            }
        }
    }
    text += r#"
apps:
  web:
    release: { pipelines: web-release }
    engine: { codepipeline: { name: "{{ app }}-{{ account.tags.stage }}", source_action: Source } }
    parameters:
      LOG_LEVEL: { choices: [debug, info, warn] }
      BUCKET:
      OWNER:
      REPLICAS: { default: "1" }
      COMMIT: { value: "{{ release.revision }}" }
      NOTE: { value: "{{ release.short_revision }} to {{ account.name }}" }
    waves:
      - { name: canary, select: { tags: { stage: canary } }, max_concurrent: 10 }
      - { name: prod, max_concurrent: 200, failure_tolerance: 20 }
    deadline: 12h
"#;
    text
}
