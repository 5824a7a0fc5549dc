//! What versions of Manifold left behind in the middle of a run (law 9): recorded by the version that wrote it, read and
//! brought to its end by the current one.
//!
//! `tests/stored/<what it is>/<step>.json` holds one [`Left`] each, an item or a message a line. The steps are told by
//! what is stored, so that every version stops at the same ones:
//!
//! ```sh
//! cargo run -p manifold-tests --no-default-features --example record_stored -- tests/stored/schema-1-what-is-new
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use manifold_core::time::Span;
use manifold_local::faults::{At, Faults, Harm, Mishap};
use manifold_local::world::Left;
use serde_json::{Value, json};

use crate::{EVENT, Story};

/// The fleet of these stories: two accounts, two Regions, two waves.
pub const SMALL_FLEET: &str = include_str!("../stored/fleet.yaml");

/// What was left at one step of a story.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixture {
    /// Which version left it: the folder's name.
    pub version: String,
    /// The step: the file's name.
    pub step: String,
    /// The story, by its name in [`story`].
    pub story: String,
    /// What was left, as it is stored.
    pub left: Value,
}

/// A moment at which a version may be replaced.
struct Step {
    story: &'static str,
    name: &'static str,
    is_now: fn(&Value) -> bool,
}

const STEPS: &[Step] = &[
    Step { story: "troubled", name: "opened", is_now: |left| any(left, "head", |_| true) },
    Step {
        story: "troubled",
        name: "claimed",
        is_now: |left| any(left, "target", |target| !target["claim"].is_null()),
    },
    Step {
        story: "troubled",
        name: "put-back",
        is_now: |left| {
            any(left, "target", |target| {
                (target["put_back"] == 1 || !target["turn"].is_null()) && target["claim"].is_null()
            })
        },
    },
    Step { story: "troubled", name: "running", is_now: |left| seen(left, &["STARTED"]) == 2 },
    Step {
        story: "troubled",
        name: "half-done",
        is_now: |left| seen(left, &["SUCCEEDED", "FAILED"]) == 2 && items(left, "target").count() == 3,
    },
    Step {
        story: "troubled",
        name: "tried-again",
        is_now: |left| {
            let explained = |target: &Value| list(&target["past"]).iter().any(|past| !past["reason"].is_null());
            any(left, "target", |target| explained(target) && target["attempt"] == 2 && !target["execution"].is_null())
        },
    },
    Step {
        story: "troubled",
        name: "closed",
        is_now: |left| {
            any(left, "head", |head| head["phase"]["phase"] == "closed")
                && any(left, "summary", |summary| summary["lease"].is_null() && !summary["thread"].is_null())
        },
    },
    Step {
        story: "queue",
        name: "waiting",
        is_now: |left| any(left, "head", |head| head["phase"]["phase"] == "waiting"),
    },
    Step {
        story: "queue",
        name: "overtaken",
        is_now: |left| {
            any(left, "head", |head| head["phase"]["because"]["kind"] == "overtaken")
                && any(left, "head", |head| head["phase"]["phase"] == "waiting")
        },
    },
    Step { story: "queue", name: "handed-over", is_now: |left| any(left, "head", |head| !head["handed_to"].is_null()) },
    Step {
        story: "queue",
        name: "turn-came",
        is_now: |left| list(&left["letters"]).iter().any(|letter| is_of(letter, "activate")),
    },
    Step {
        story: "lost",
        name: "explaining",
        is_now: |left| list(&left["letters"]).iter().any(|letter| is_of(letter, "explain")),
    },
    Step {
        story: "disorder",
        name: "early-event",
        is_now: |left| any(left, "link", |link| link["owner"].is_null() && !list(&link["early"]).is_empty()),
    },
    Step { story: "retried", name: "reopened", is_now: |left| any(left, "head", |head| head["reopened"] == 1) },
    Step {
        story: "retried",
        name: "verdict-told",
        is_now: |left| {
            list(&left["letters"]).len() <= 3
                && any(left, "head", |head| head["phase"]["phase"] == "closed")
                && any(left, "summary", |summary| {
                    summary["lease"].is_null() && summary["message"]["digest"].is_string()
                })
        },
    },
    Step {
        story: "denied",
        name: "gave-up",
        is_now: |left| any(left, "target", |target| !target["gave_up"].is_null()),
    },
    Step {
        story: "lost",
        name: "asked",
        is_now: |left| list(&left["letters"]).iter().any(|letter| is_of(letter, "ask")),
    },
    Step {
        story: "engines",
        name: "preparing",
        is_now: |left| {
            let is_made = |cause: &str| cause.contains("is being made");
            any(left, "target", |target| target["reason"]["cause"].as_str().is_some_and(is_made))
        },
    },
    Step {
        story: "engines",
        name: "four-engines",
        is_now: |left| items(left, "target").count() == 4 && seen(left, &["SUCCEEDED", "FAILED"]) >= 2,
    },
    Step {
        story: "engines",
        name: "already-current",
        is_now: |left| any(left, "target", |target| target["already"] == true),
    },
];

/// Another engine in each target but the first.
const FOUR_ENGINES: &str = r#"    engines:
      - { select: { accounts: dev, regions: eu-west-1 }, engine: { codebuild: { project: web } } }
      - select: { accounts: prod, regions: us-east-1 }
        engine:
          cloudformation:
            stack: web
            template: "s3://artifacts/{{ release.revision }}/template.yaml"
            parameters_file: "s3://artifacts/{{ release.revision }}/parameters.json"
            capabilities: CAPABILITY_IAM
            role: web-stack
      - select: { accounts: prod, regions: eu-west-1 }
        engine:
          codedeploy:
            application: web
            group: blue-green
            appspec: "version: {{ parameters.COMMIT }}"
            config: CodeDeployDefault.ECSAllAtOnce
            auto_rollback: true
"#;

/// The stories by name. Every version can tell them but `lost`, which needs somebody who asks, and `engines`, which needs
/// more than one.
#[must_use]
pub fn story(name: &str) -> Story {
    let small = || Story::new().fleet(SMALL_FLEET);
    let newer = |execution: &str, at: &str| {
        EVENT.replace("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01", execution).replace("2026-10-26T13:58:01Z", at)
    };
    match name {
        "troubled" => Story::new()
            .fleet(SMALL_FLEET.replace("max_attempts: 1", "max_attempts: 2"))
            .fail("dev/eu-west-1=Throttled")
            .fail("prod/us-east-1=JobFailed"),
        "queue" => small()
            .and_event(newer("aaaaaaaa-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:01:00Z"))
            .and_event(newer("bbbbbbbb-0000-4d5e-9f0b-5a1f7c2b9e01", "2026-10-26T14:02:00Z")),
        "disorder" => small(),
        "retried" => small().fail("prod/eu-west-1=Retried"),
        "denied" => small().fail("prod/us-east-1=AccessDenied"),
        "lost" => small().fail("prod/us-east-1=JobFailed").faults(Faults { lost: 1.0, ..Faults::default() }),
        "engines" => Story::new()
            .fleet(SMALL_FLEET.replace("    parameters:\n", &format!("{FOUR_ENGINES}    parameters:\n")))
            .fail("prod/eu-west-1=JobFailed")
            .fail("prod/us-east-1=NoChanges"),
        unknown => panic!("there is no story {unknown}"),
    }
}

/// Tells every story with the code as it is, and gives what is left at each step, and everything that was left at any
/// time.
#[must_use]
pub fn record(version: &str) -> (Vec<Fixture>, Shape) {
    let mut shape = Shape::default();
    let mut fixtures: Vec<Fixture> = Vec::new();
    let names: BTreeSet<&str> = STEPS.iter().map(|step| step.story).collect();
    for story_name in names {
        // An event that comes before anybody knows whose it is needs a worker that dies, and luck.
        let seeds = if story_name == "disorder" { 0..60 } else { 1..2 };
        let disorder = || Faults {
            disorder: Span::from_seconds(300),
            mishaps: vec![Mishap { at: At::Named("engine.start/after", 0), harm: Harm::Killed }],
            ..Faults::default()
        };
        for seed in seeds {
            let mut told = story(story_name).seed(seed);
            if story_name == "disorder" {
                told = told.faults(disorder());
            }
            let mut simulation = told.begin();
            loop {
                let left = serde_json::to_value(simulation.left()).expect("what is left is JSON");
                shape.take(&left);
                for step in STEPS.iter().filter(|step| step.story == story_name && (step.is_now)(&left)) {
                    if fixtures.iter().all(|fixture| fixture.step != step.name) {
                        fixtures.push(Fixture {
                            version: version.to_owned(),
                            step: step.name.to_owned(),
                            story: story_name.to_owned(),
                            left: left.clone(),
                        });
                    }
                }
                if simulation.step().expect("the story goes on").is_none() {
                    break;
                }
            }
            let of_story = |step: &&Step| step.story == story_name;
            if STEPS.iter().filter(of_story).all(|step| fixtures.iter().any(|fixture| fixture.step == step.name)) {
                break;
            }
        }
    }
    for step in STEPS {
        assert!(fixtures.iter().any(|fixture| fixture.step == step.name), "no story came to step {}", step.name);
    }
    (fixtures, shape)
}

/// Where the fixtures are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stored")
}

/// Everything that was recorded, by version and step.
#[must_use]
pub fn recorded() -> Vec<Fixture> {
    let entries = |path: &Path| -> Vec<PathBuf> {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        entries
    };
    let name = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    let read = |version: &str, path: &Path| {
        let text = fs::read_to_string(path).expect("a fixture");
        let left: Value = serde_json::from_str(&text).expect("a fixture is JSON");
        let story = left["story"].as_str().expect("a fixture names its story").to_owned();
        Fixture { version: version.to_owned(), step: name(path), story, left }
    };
    let versions = entries(&folder()).into_iter().filter(|path| path.is_dir());
    versions
        .flat_map(|version| {
            let label = version.file_name().and_then(|label| label.to_str()).expect("a name").to_owned();
            entries(&version).iter().map(|path| read(&label, path)).collect::<Vec<_>>()
        })
        .collect()
}

impl Fixture {
    /// As the current version reads it.
    ///
    /// # Errors
    /// It does not.
    pub fn read(&self) -> Result<Left, serde_json::Error> {
        serde_json::from_value(self.left.clone())
    }

    /// As it is kept: an item or a message a line.
    #[must_use]
    pub fn text(&self) -> String {
        let lists: Vec<String> = ["records", "letters", "executions", "posted"]
            .into_iter()
            .map(|name| {
                let lines: Vec<String> = list(&self.left[name]).iter().map(Value::to_string).collect();
                let inside = if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join(",\n")) };
                format!("{name:?}: [{inside}]")
            })
            .collect();
        format!("{{\n\"story\": {:?},\n\"now\": {},\n{}\n}}\n", self.story, self.left["now"], lists.join(",\n"))
    }
}

/// What stored items and messages look like: the fields of each object in them, and the kinds of values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape(BTreeMap<String, BTreeSet<String>>);

impl Shape {
    /// The shape of some fixtures.
    #[must_use]
    pub fn of<'a>(fixtures: impl IntoIterator<Item = &'a Fixture>) -> Self {
        let mut shape = Self::default();
        for fixture in fixtures {
            shape.take(&fixture.left);
        }
        shape
    }

    fn take(&mut self, left: &Value) {
        for record in list(&left["records"]) {
            self.note("items", text(&record["item"]["type"]));
            self.look(text(&record["item"]["type"]), &record["item"]["data"]);
        }
        for letter in list(&left["letters"]) {
            let Some(payload) = payload(letter) else { continue };
            self.note("messages", text(&payload["type"]));
            self.look(&format!("message {}", text(&payload["type"])), &payload["data"]);
        }
    }

    fn note(&mut self, path: &str, what: &str) {
        self.0.entry(path.to_owned()).or_default().insert(what.to_owned());
    }

    fn look(&mut self, path: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.note(path, "a flag"),
            Value::Number(_) => self.note(path, "a number"),
            Value::String(_) => self.note(path, "a text"),
            Value::Array(values) => values.iter().for_each(|value| self.look(&format!("{path}[]"), value)),
            Value::Object(fields) => {
                // Variables are named by the fleet file; a tagged value has the fields of its tag.
                let kind = ["kind", "phase", "store"].into_iter().find_map(|tag| fields.get(tag)?.as_str());
                let path = kind.map_or_else(|| path.to_owned(), |kind| format!("{path}<{kind}>"));
                let is_named_by_user = path.ends_with(".variables");
                for (name, value) in fields {
                    let name = if is_named_by_user { "*" } else { name.as_str() };
                    self.note(&path, &format!(".{name}"));
                    self.look(&format!("{path}.{name}"), value);
                }
            }
        }
    }

    /// What differs of this shape from another one, wherever both have something: every field, item and message that is
    /// known to only one of them. What is absent in one because it never came to that is no difference.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, here) in &self.0 {
            let Some(there) = other.0.get(path) else { continue };
            found.extend(here.difference(there).map(|what| format!("+ {path} {what}")));
            if path != "items" && path != "messages" {
                found.extend(there.difference(here).map(|what| format!("- {path} {what}")));
            }
        }
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn items<'a>(left: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(&left["records"])
        .iter()
        .map(|record| &record["item"])
        .filter(move |item| item["type"] == kind)
        .map(|item| &item["data"])
}

fn any(left: &Value, kind: &str, test: impl Fn(&Value) -> bool) -> bool {
    items(left, kind).any(test)
}

fn seen(left: &Value, states: &[&str]) -> usize {
    items(left, "target").filter(|target| states.iter().any(|state| target["seen"]["state"] == *state)).count()
}

fn payload(letter: &Value) -> Option<Value> {
    let body: Value = serde_json::from_str(letter["letter"]["body"].as_str()?).ok()?;
    Some(body["payload"].clone()).filter(|payload| !payload.is_null())
}

fn is_of(letter: &Value, kind: &str) -> bool {
    payload(letter).is_some_and(|payload| payload["type"] == json!(kind))
}
