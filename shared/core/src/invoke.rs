//! The release pipeline that waits: an action that invokes `dispatch`, starts the run, and holds its stage until the verdict.
//!
//! ```text
//!  job, without a token ─► open the run ─► goes on, token: which run and since when ─┐
//!  job, with a token ◄──────────── CodePipeline, a while later ──────────────────────┘
//!        └─► the verdict is given: succeeded, or failed with its causes
//! ```
//!
//! Each answer that a run goes on makes CodePipeline invoke the function again ("continuationToken", `PutJobSuccessResult`).
//! The job's event does not say which execution it belongs to, so that the action's user parameters have to.

use serde::{Deserialize, Serialize};

use crate::brief::brief;
use crate::event::Job;
use crate::ids::{AppName, ExecutionId, PipelineName, RunId};
use crate::run::Verdict;
use crate::summary::{Summary, text};
use crate::time::{Span, Timestamp};

/// An action that invokes a function may take so long with continuation tokens; what is given up half an hour before can
/// still say so ("Quotas in AWS CodePipeline": "Lambda: 24 hours").
pub const LONGEST_WAIT: Span = Span::from_minutes(24 * 60 - 30);
/// "summary: at most 2048 characters" (`ExecutionDetails`).
const MOST_SUMMARY: usize = 2048;
/// "message: at most 5000 characters" (`FailureDetails`).
const MOST_MESSAGE: usize = 5000;
/// How many causes a failure names.
const MOST_CAUSES: usize = 5;

/// What an action's user parameters ask for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The app to roll out.
    pub app: AppName,
    /// The release pipeline's execution, `#{codepipeline.PipelineExecutionId}`.
    pub execution: ExecutionId,
    /// The release pipeline, if the app has several.
    #[serde(default)]
    pub pipeline: Option<PipelineName>,
    /// If it is given, nothing is rolled out and nothing is waited for: one message tells this, with account, Region, date,
    /// pipeline, commit and links.
    #[serde(default)]
    pub notify: Option<String>,
}

/// What is handed over to the next invocation of the same action. At most 2048 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The run.
    pub run: RunId,
    /// Since when the action waits.
    pub since: Timestamp,
}

/// What a job is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Begin.
    Begin(Asked),
    /// See how it stands.
    Look(Token),
}

/// Why a job can't be taken up; shown in the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJob {
    /// No user parameters.
    #[error("the action has no user parameters; give it {EXAMPLE}")]
    Nothing,
    /// Not what is expected.
    #[error("the action's user parameters can't be read ({0}); give it {EXAMPLE}")]
    Parameters(String),
    /// A token that this function did not make.
    #[error("the continuation token can't be read: {0}")]
    Token(String),
}

const EXAMPLE: &str = r##"{"app": "web", "execution": "#{codepipeline.PipelineExecutionId}"}"##;

impl Purpose {
    /// Reads what a job is for.
    ///
    /// # Errors
    /// The action is not configured as it must be. Its parameters are not quoted: they may hold a secret.
    pub fn of(job: &Job) -> Result<Self, InvalidJob> {
        if let Some(token) = &job.continuation_token {
            let token = serde_json::from_str(token).map_err(|error| InvalidJob::Token(place(&error)))?;
            return Ok(Self::Look(token));
        }
        let parameters = job.user_parameters.as_deref().filter(|text| !text.trim().is_empty());
        let parameters = parameters.ok_or(InvalidJob::Nothing)?;
        let asked = serde_json::from_str(parameters).map_err(|error| InvalidJob::Parameters(place(&error)))?;
        Ok(Self::Begin(asked))
    }
}

/// Where and why, without the value.
fn place(error: &serde_json::Error) -> String {
    let why = match error.classify() {
        serde_json::error::Category::Data => "a field is missing, unknown, or not what it should be",
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            "it is not JSON"
        }
    };
    format!("{why}, line {} column {}", error.line(), error.column())
}

/// What CodePipeline is told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It goes on.
    GoesOn {
        /// For the next invocation.
        token: String,
        /// How it stands.
        progress: Progress,
    },
    /// The release is out everywhere.
    Succeeded {
        /// How it stands.
        progress: Progress,
    },
    /// It is not.
    Failed {
        /// Why, at most 5000 characters.
        message: String,
        /// The run, if there is any.
        run: Option<RunId>,
        /// Whether the action must be configured differently.
        is_misconfigured: bool,
    },
}

/// What is shown of a run in the release pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The run; none where only something was told.
    pub run: Option<RunId>,
    /// In words, at most 2048 characters.
    pub summary: String,
    /// How many targets of a hundred have ended.
    pub percent: u8,
}

impl Token {
    /// What to tell of a run, as it stands now.
    #[must_use]
    pub fn told(&self, summary: &Summary, now: Timestamp) -> Told {
        let headline = text::headline(summary);
        let waits = summary.waits_for.first().map(|first| format!("; waits for {first}")).unwrap_or_default();
        let percent = match (u64::from(summary.tally.ended()) * 100).checked_div(u64::from(summary.size)) {
            Some(percent) => u8::try_from(percent).unwrap_or(100),
            None => 100,
        };
        // All may have ended, and the verdict is still to be given.
        let percent = if summary.verdict.is_none() { percent.min(99) } else { percent };
        let progress = Progress {
            run: Some(self.run.clone()),
            summary: cut(&format!("{headline}{waits}"), MOST_SUMMARY),
            percent,
        };
        let failed = |message: String| Told::Failed {
            message: cut(&message, MOST_MESSAGE),
            run: Some(self.run.clone()),
            is_misconfigured: false,
        };
        match summary.verdict {
            Some(Verdict::Succeeded) => Told::Succeeded { progress },
            Some(
                Verdict::CompletedWithFailures
                | Verdict::Incomplete
                | Verdict::Failed
                | Verdict::TimedOut
                | Verdict::Overtaken
                | Verdict::Aborted
                | Verdict::NotApproved
                | Verdict::Refused,
            ) => {
                let causes = summary.causes.iter().take(MOST_CAUSES);
                let causes: Vec<String> =
                    causes.map(|group| format!("{} ({})", group.cause, group.targets.len())).collect();
                let why = if causes.is_empty() { String::new() } else { format!(": {}", causes.join("; ")) };
                failed(format!("{headline}{why}. Run {}", self.run))
            }
            None if now.since(self.since) >= LONGEST_WAIT => failed(format!(
                "an action may not wait any longer; the run goes on without it ({headline}). Run {}",
                self.run
            )),
            None => match serde_json::to_string(self) {
                Ok(token) => Told::GoesOn { token, progress },
                Err(error) => failed(brief(&error.to_string())),
            },
        }
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.len() > at + text[at..].chars().next().map_or(0, char::len_utf8) => {
            format!("{}…", &text[..at])
        }
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(parameters: Option<&str>, token: Option<&str>) -> Job {
        Job {
            id: "11111111-2222-3333-4444-555555555555".to_owned(),
            account: "111122223333".parse().unwrap(),
            user_parameters: parameters.map(str::to_owned),
            continuation_token: token.map(str::to_owned),
        }
    }

    #[test]
    fn a_job_says_what_to_begin_or_what_to_look_at() {
        let begun = Purpose::of(&job(Some(r#"{"app": "web", "execution": "3f8c"}"#), None)).unwrap();
        let Purpose::Begin(asked) = begun else { panic!("{begun:?}") };
        assert_eq!((asked.app.as_str(), asked.execution.as_str(), asked.notify), ("web", "3f8c", None));
        let token = Token { run: "web-0f3a5b7c9d1e2f40".parse().unwrap(), since: Timestamp::from_millis(5) };
        let text = serde_json::to_string(&token).unwrap();
        assert_eq!(Purpose::of(&job(Some("anything"), Some(&text))), Ok(Purpose::Look(token)), "the token goes first");
    }

    #[test]
    fn a_wrong_configuration_is_told_with_an_example_and_without_its_values() {
        for parameters in [
            None,
            Some("  "),
            Some("hunter2"),
            Some(r#"{"app": "web"}"#),
            Some(r#"{"app": "hunter2!", "execution": "x"}"#),
        ] {
            let error = Purpose::of(&job(parameters, None)).unwrap_err().to_string();
            assert!(error.contains("#{codepipeline.PipelineExecutionId}") && !error.contains("hunter2"), "{error}");
        }
        assert!(Purpose::of(&job(None, Some("hunter2"))).unwrap_err().to_string().contains("it is not JSON"));
    }

    #[test]
    fn texts_are_cut_to_what_codepipeline_takes() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("äöü", 2).chars().count(), 2);
    }
}
