//! Events that a real execution sent, for a simulated target to send again: its decoder, its order and its gaps are those
//! of the service, and only the names of the execution, of the run and the time are the simulation's.

use std::collections::BTreeMap;

use manifold_core::engine::Subject;
use manifold_core::event::{DecodeError, PipelineState, decode_event_value};
use manifold_core::ids::{ExecutionId, RunId, TargetKey};
use manifold_core::run::Observation;
use manifold_core::time::{Span, Timestamp};
use serde_json::Value;

/// Why a recording can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// It is not JSON.
    #[error("not json: {0}")]
    Json(#[from] serde_json::Error),
    /// One of its events can't be read.
    #[error("event {number}: {error}")]
    Event {
        /// Its position, from 1.
        number: usize,
        /// Why.
        error: DecodeError,
    },
    /// None of its events tells of an execution of an engine.
    #[error("none of its events tells that an execution began, ended or failed")]
    Nothing,
}

/// What one execution of one target told.
#[derive(Debug, Clone)]
pub struct Echo {
    /// Account and Region.
    pub target: TargetKey,
    /// What was started there.
    pub subject: Subject,
    /// Its own name for itself.
    execution: ExecutionId,
    /// The run that started it, if it tells.
    run: Option<RunId>,
    /// Each event, and how long after the first one it was sent. Also those of executions that followed it there, such as
    /// the deployment that takes it back.
    events: Vec<(Span, Value)>,
}

/// An event of a recording as a simulated execution sends it, and what it tells of that.
pub(crate) struct Played {
    pub(crate) after: Span,
    pub(crate) event: Value,
    /// The state of the execution, if it tells one.
    pub(crate) state: Option<PipelineState>,
}

impl Echo {
    /// Reads one event, or a list of them, as EventBridge delivers them. Events of one thing in one place make one
    /// recording; they are taken in the order of the list.
    ///
    /// # Errors
    /// It is not JSON, one of its events can't be read, or none tells of an execution.
    pub fn read(text: &str) -> Result<Vec<Self>, EchoError> {
        let events = match serde_json::from_str(text)? {
            Value::Array(events) => events,
            one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
        };
        let mut found: Vec<Self> = Vec::new();
        let mut began: BTreeMap<usize, Timestamp> = BTreeMap::new();
        for (number, event) in (1..).zip(events) {
            let envelope = decode_event_value(&event).map_err(|error| EchoError::Event { number, error })?;
            let Some(told) = Observation::of(&envelope) else { continue };
            let known = found.iter().position(|known| known.target == told.target && known.subject == told.subject);
            let at = known.unwrap_or(found.len());
            let first = *began.entry(at).or_insert(told.at);
            if known.is_none() {
                found.push(Self {
                    target: told.target.clone(),
                    subject: told.subject.clone(),
                    execution: told.execution.clone(),
                    run: None,
                    events: Vec::new(),
                });
            }
            if let Some(echo) = found.get_mut(at) {
                echo.run = echo.run.take().or_else(|| told.session_run());
                echo.events.push((told.at.since(first), event));
            }
        }
        match found.is_empty() {
            true => Err(EchoError::Nothing),
            false => Ok(found),
        }
    }

    /// The same events from an execution of the simulation that begins now.
    pub(crate) fn play(&self, execution: &ExecutionId, run: &RunId, now: Timestamp) -> Vec<Played> {
        let session = self.run.as_ref().map(RunId::session_name);
        let renamed = |text: &str| {
            let text = text.replace(self.execution.as_str(), execution.as_str());
            match &session {
                Some(session) => text.replace(session.as_str(), &run.session_name()),
                None => text,
            }
        };
        let played = |(after, event): &(Span, Value)| {
            let mut event = event.clone();
            rename(&mut event, &renamed);
            event["time"] = Value::String(now.plus(*after).to_string());
            let told = decode_event_value(&event).ok().and_then(|envelope| Observation::of(&envelope));
            let own = told.filter(|told| told.execution == *execution);
            Played { after: *after, event, state: own.and_then(|told| told.state().cloned()) }
        };
        self.events.iter().map(played).collect()
    }
}

/// Changes every text in a value.
fn rename(value: &mut Value, renamed: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = renamed(text),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, renamed)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(status: &str, time: &str) -> Value {
        json!({
            "id": "e", "source": "aws.codebuild", "detail-type": "CodeBuild Build State Change",
            "account": "444455556666", "region": "eu-west-1", "time": time,
            "detail": {
                "build-status": status, "project-name": "site",
                "build-id": "arn:aws:codebuild:eu-west-1:444455556666:build/site:1111",
                "additional-information": { "initiator": "ManifoldTarget/mf-old-0f3a5b7c9d1e2f40" },
            },
        })
    }

    #[test]
    fn events_are_sent_again_under_the_names_and_at_the_times_of_the_simulation() {
        let text = json!([build("IN_PROGRESS", "2026-10-26T14:00:00Z"), build("SUCCEEDED", "2026-10-26T14:03:20Z")]);
        let echoes = Echo::read(&text.to_string()).unwrap();
        assert_eq!(echoes.len(), 1);
        let run: RunId = "web-00112233445566aa".parse().unwrap();
        let now = Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
        let played = echoes[0].play(&"site:2222".parse().unwrap(), &run, now);
        let times: Vec<&str> = played.iter().filter_map(|played| played.event["time"].as_str()).collect();
        assert_eq!(times, ["2030-01-01T00:00:00Z", "2030-01-01T00:03:20Z"]);
        let told = Observation::of(&decode_event_value(&played[1].event).unwrap()).unwrap();
        assert_eq!((told.execution.as_str(), told.session_run()), ("site:2222", Some(run)));
        assert_eq!(played[1].state, Some(PipelineState::Succeeded));
    }

    #[test]
    fn what_is_no_recording_says_why() {
        let refused = |text: &str| Echo::read(text).unwrap_err().to_string();
        assert!(refused("{").starts_with("not json: "));
        assert!(refused("[{}]").starts_with("event 1: source is missing"), "{}", refused("[{}]"));
        assert_eq!(refused("[]"), "none of its events tells that an execution began, ended or failed");
    }
}
