//! The commands of a scenario, carried out in an embedded world.

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use manifold_core::control::{Operator, Via, Who};
use manifold_core::ids::{AppName, RunId, TargetKey};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::{App, Fleet};
use manifold_local::behaviour::Chosen;
use manifold_local::simulation::Simulation;
use manifold_local::world::{Inbox, SlackCall, Tampering};
use serde_json::{Value, json};

use crate::args::{Args, Command};
use crate::control::embedded::{Embedded, at_once};
use crate::control::{self, Desk};
use crate::input::advise;

/// When every scenario begins: 2026-10-26T09:00:00Z.
const BEGINS: Timestamp = Timestamp::from_millis(1_793_005_200_000);
/// Everything random comes from it.
const SEED: u64 = 1;

/// So many minutes before its release pipeline succeeds a commit was authored.
const WRITTEN: i64 = 30;
/// So many minutes a release pipeline takes.
const BUILT: i64 = 5;

/// A world, and what has happened in it.
pub(super) struct Stage {
    site: Embedded,
    fleet: Fleet,
    releases: u32,
}

impl Stage {
    pub(super) fn new(fleet: Fleet) -> Self {
        let who = who(&fleet, "operator");
        let site = Embedded::new(Simulation::idle(fleet.clone(), BEGINS, SEED), who);
        Self { site, fleet, releases: 0 }
    }

    /// Carries a command out. Returns what it told.
    ///
    /// # Errors
    /// It is no command of a scenario. What a command of `manifold` refuses is no error, but what it told.
    pub(super) fn play(&mut self, line: &str) -> Result<String> {
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["release", app, revision] => self.release(app, revision, None),
            ["release", app, revision, message] => self.release(app, revision, Some(message)),
            ["wait"] => self.site.settle().map(|()| self.clock()),
            ["wait", time] => self.site.wait(span(time)?).map(|()| self.clock()),
            ["fail", choice] => self.fail(choice),
            ["alarm", target, name] | ["alarm", target, name, "on"] => self.alarm(target, name, true),
            ["alarm", target, name, "off"] => self.alarm(target, name, false),
            ["tamper", target, "start", revision] => {
                self.tamper(target, &Tampering::Start { revision: (*revision).to_owned() })
            }
            ["tamper", target, "edit", project] => {
                self.tamper(target, &Tampering::Edit { project: (*project).to_owned() })
            }
            ["tamper", target, "disable", stage] => {
                self.tamper(target, &Tampering::Disable { stage: (*stage).to_owned() })
            }
            ["tamper", target, "change", stack] => {
                self.tamper(target, &Tampering::Change { stack: (*stack).to_owned() })
            }
            ["tamper", target, "remove-role"] => self.tamper(target, &Tampering::RemoveRole),
            ["tamper", target, "repair"] => self.tamper(target, &Tampering::Repair),
            ["tick", "drift"] => self.tick(),
            ["as", name] => {
                self.site.act_as(who(&self.fleet, name));
                Ok(String::new())
            }
            ["slack"] => self.slack(None),
            ["slack", app] => self.slack(Some(app)),
            ["manifold", ..] => self.manifold(&words),
            _ => bail!("\"{line}\" is no command of a scenario"),
        }
    }

    fn clock(&self) -> String {
        format!("{}\n", self.site.look(|simulation| simulation.world().time()))
    }

    fn release(&mut self, app: &str, revision: &str, message: Option<&str>) -> Result<String> {
        let app = self.app(app)?.clone();
        let pipeline = app.releases().first().ok_or_else(|| anyhow!("{} has no release pipeline", app.name()))?;
        self.releases += 1;
        let now = self.site.look(|simulation| simulation.world().time());
        let before = |minutes: i64| Timestamp::from_millis(now.as_millis() - Span::from_minutes(minutes).as_millis());
        let (authored, began) = (before(WRITTEN), before(BUILT));
        let event = json!({
            "version": "0",
            "id": format!("00000000-0000-4000-9000-{:012}", self.releases),
            "detail-type": "CodePipeline Pipeline Execution State Change",
            "source": "aws.codepipeline",
            "account": self.fleet.hub().account(),
            "time": now.to_string(),
            "region": pipeline.region(),
            "resources": [],
            "detail": {
                "pipeline": pipeline.name(),
                "execution-id": format!("00000000-0000-4000-8000-{:012}", self.releases),
                "start-time": began.to_string(),
                "execution-trigger": {
                    "author-display-name": "Mary Major",
                    "commit-message": message.unwrap_or("A change"),
                    "author-date": authored.to_string(),
                    "branch-name": "main",
                    "commit-id": revision,
                },
                "state": "SUCCEEDED",
                "version": 1.0,
                "pipeline-execution-attempt": 1.0,
            },
        });
        let before = self.runs();
        self.site.look(|simulation| simulation.release(event.to_string(), Span::from_millis(0)))?;
        // A moment, and its runs are open.
        self.site.wait(Span::from_seconds(2))?;
        let opened: Vec<String> =
            self.runs().into_iter().filter(|run| !before.contains(run)).map(|run| format!("opened {run}\n")).collect();
        Ok(opened.concat())
    }

    fn fail(&self, choice: &str) -> Result<String> {
        let chosen: Chosen = choice.parse()?;
        let targets = self.targets(&chosen)?;
        self.site.look(|simulation| {
            for target in targets {
                simulation.world().set_behaviour(target, chosen.behaviour.clone());
            }
        });
        Ok(String::new())
    }

    fn alarm(&self, target: &str, name: &str, is_firing: bool) -> Result<String> {
        let chosen: Chosen = format!("{target}=Succeeded").parse()?;
        let targets = self.targets(&chosen)?;
        self.site.look(|simulation| {
            for target in targets {
                simulation.world().set_alarm(&target, name, is_firing);
            }
        });
        Ok(String::new())
    }

    fn tamper(&self, target: &str, what: &Tampering) -> Result<String> {
        let chosen: Chosen = format!("{target}=Succeeded").parse()?;
        let targets = self.targets(&chosen)?;
        self.site.look(|simulation| {
            for target in targets {
                simulation.world().tamper(&target, what);
            }
        });
        Ok(String::new())
    }

    /// The schedule of drift checks ticks.
    fn tick(&self) -> Result<String> {
        let checks = || self.site.checks().into_iter().map(|check| check.run).collect::<Vec<RunId>>();
        let before = checks();
        self.site.look(|simulation| {
            let world = simulation.world();
            let tick = json!({ "kind": "drift-check", "scheduledTime": world.time().to_string() });
            world.deliver(Inbox::Dispatch, tick.to_string(), Span::from_millis(0));
        });
        // A moment, and its checks are open.
        self.site.wait(Span::from_seconds(2))?;
        let opened = checks().into_iter().filter(|check| !before.contains(check));
        Ok(opened.map(|check| format!("opened {check}\n")).collect())
    }

    /// The targets that are meant.
    fn targets(&self, chosen: &Chosen) -> Result<Vec<TargetKey>> {
        let all = self.fleet.apps().flat_map(|app| app.targets());
        let meant =
            all.filter(|target| chosen.means(&target.key().account, target.account_name(), &target.key().region));
        let mut meant: Vec<TargetKey> = meant.map(|target| target.key().clone()).collect();
        meant.sort();
        meant.dedup();
        match meant.is_empty() {
            false => Ok(meant),
            true => Err(anyhow!("{chosen} is no target of the fleet")),
        }
    }

    fn app(&self, name: &str) -> Result<&App> {
        self.fleet.app(name).ok_or_else(|| {
            let known: Vec<&str> = self.fleet.apps().map(|app| app.name().as_str()).collect();
            advise(format!("the fleet has no app {name}"), format!("it has {}", known.join(", ")))
        })
    }

    fn runs(&self) -> Vec<RunId> {
        self.site.look(|simulation| simulation.world().runs())
    }

    fn manifold(&self, words: &[&str]) -> Result<String> {
        let mut told = String::new();
        let verb = match Args::try_parse_from(words) {
            Ok(Args { command: Command::Control(verb) }) => verb,
            Ok(_) => bail!("\"{}\" is no command of a scenario", words.join(" ")),
            Err(error) => bail!("{}", error.to_string().trim_end()),
        };
        let mut tell = |text: &str| {
            told.push_str(text);
            Ok(())
        };
        let mut desk = Desk { site: &self.site, fleet: Some(&self.fleet), tell: &mut tell, live: false };
        let status = at_once(control::run(&verb, &mut desk)).unwrap_or_else(|error| {
            told.push_str(&format!("error: {error:#}\n"));
            crate::args::EXIT_USAGE
        });
        if status != 0 {
            told.push_str(&format!("(exit status {status})\n"));
        }
        Ok(told)
    }

    fn slack(&self, app: Option<&str>) -> Result<String> {
        let app: Option<AppName> = app.map(str::parse).transpose()?;
        self.site.look(|simulation| {
            let world = simulation.world();
            let calls = world.slack_calls();
            let is_message = |call: &&SlackCall| call.body.get("thread_ts").is_none();
            let mut posts = calls.iter().filter(is_message).filter(|call| {
                let run = call.ts.as_deref().and_then(|ts| world.run_of_message(ts));
                app.as_ref().is_none_or(|app| run.is_some_and(|run| run.app() == *app))
            });
            let newest = posts.rfind(|call| call.method == "chat.postMessage");
            let Some(newest) = newest else { return Ok("nothing is posted\n".to_owned()) };
            let shown = calls.iter().rfind(|call| call.ts == newest.ts).unwrap_or(newest);
            Ok(message(&shown.body))
        })
    }
}

/// A message of Slack as text, its buttons in brackets.
fn message(body: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    let text = |value: &Value| readable(value["text"].as_str().unwrap_or_default());
    let button = |button: &Value| format!("[{}]", text(&button["text"]));
    for block in body["blocks"].as_array().into_iter().flatten() {
        let elements = || block["elements"].as_array().into_iter().flatten();
        match block["type"].as_str().unwrap_or_default() {
            "context" => lines.extend(elements().map(text)),
            "actions" => lines.push(elements().map(button).collect::<Vec<_>>().join(" ")),
            _ => lines.extend(text(&block["text"]).lines().map(str::to_owned)),
        }
    }
    lines.iter().map(|line| format!("| {line}").trim_end().to_owned() + "\n").collect()
}

/// Slack's markup as a reader sees it: a link by its words, a date by its fallback.
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('<') {
        out.push_str(before);
        let Some((inner, after)) = tail.split_once('>') else {
            rest = tail;
            continue;
        };
        out.push_str(inner.rsplit_once('|').map_or(inner, |(_, words)| words));
        rest = after;
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Somebody by name: an operator of the fleet, as the command line would know them, or Slack if it alone does; anybody else
/// is a user of the hub.
fn who(fleet: &Fleet, name: &str) -> Who {
    let approvers = |app: &App| -> Vec<Operator> {
        let approvals = app.waves().iter().filter_map(|wave| wave.approval.as_ref());
        approvals.flat_map(|approval| approval.approvers.clone()).collect()
    };
    let mut operators = fleet.apps().flat_map(|app| [app.policy().operators.clone(), approvers(app)].concat());
    let operator = operators.find(|operator| operator.name == name);
    if let Some(id) = operator.as_ref().filter(|operator| operator.iam.is_empty()).and_then(|it| it.slack.first()) {
        return Who { via: Via::Slack, id: id.clone(), name: Some(name.to_owned()) };
    }
    let known = operator.as_ref().and_then(|operator| operator.iam.first()).map(|pattern| pattern.replace('*', name));
    let id = known.unwrap_or_else(|| format!("arn:aws:iam::{}:user/{name}", fleet.hub().account()));
    Who { via: Via::Cli, id, name: None }
}

/// A span of time: `90s`, `10m`, `2h`, `7d`.
fn span(text: &str) -> Result<Span> {
    let wrong = || advise(format!("\"{text}\" is no time"), "write it as 90s, 10m, 2h or 7d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let count: u16 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let count = i64::from(count);
    match unit {
        's' => Ok(Span::from_seconds(count)),
        'm' => Ok(Span::from_minutes(count)),
        'h' => Ok(Span::from_minutes(count * 60)),
        'd' => Ok(Span::from_minutes(count * 60 * 24)),
        _ => Err(wrong()),
    }
}

/// A line's words; quotes keep some together.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => bail!("{open} is not closed"),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words("release web 1f3c2a \"Fix the 'basket'\" ''").unwrap(),
            ["release", "web", "1f3c2a", "Fix the 'basket'", ""]
        );
        assert!(words("release \"web").is_err());
    }

    #[test]
    fn slack_markup_reads_as_its_words() {
        let text =
            "*Fix &lt;b&gt;* <!date^1793005200^{time}|2026-10-26T09:00:00Z> with <https://example.com/|web-release>";
        assert_eq!(readable(text), "*Fix <b>* 2026-10-26T09:00:00Z with web-release");
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(span("90s").unwrap(), Span::from_seconds(90));
        assert_eq!(span("2h").unwrap(), Span::from_minutes(120));
        for wrong in ["", "10", "m", "-1m", "1w"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_scenario_begins_on_a_monday_morning() {
        assert_eq!(BEGINS.to_string(), "2026-10-26T09:00:00Z");
    }
}
