//! A stage of the release pipeline that starts the run and waits for its verdict.

use manifold_core::control::{Command, Request, Via, Who};
use manifold_core::event::Job;
use manifold_core::ids::{ExecutionRef, PipelineName, RunId, TargetKey};
use manifold_core::invoke::{Asked, Progress, Purpose, Token, Told};
use manifold_core::ledger::Key;
use manifold_core::message::{Outgoing, Payload};
use manifold_core::summary::Summary;
use manifold_core::summary::notice::Notice;
use manifold_ports::clock::Clock;
use manifold_ports::jobs::Jobs;
use manifold_ports::ledger::{Ledger, Listings};
use manifold_ports::queues::Queues;
use manifold_ports::releases::{ReleaseError, Releases};
use manifold_ports::runs::{self, RunError};
use tracing::Instrument;

use crate::request::Source;
use crate::{Dispatch, Failure};

impl<L: Ledger + Listings, Q: Queues, R: Releases + Jobs, C: Clock> Dispatch<L, Q, R, C> {
    /// Takes a job up: opens its run, or looks how that stands, and tells CodePipeline. Invoked twice, it does the same
    /// twice: the run is there, and a job that was told of already stays as it is.
    ///
    /// An error is for what may pass: Lambda invokes the function again. What can't be mended that way fails the action, with
    /// the reason.
    pub(crate) async fn job(&self, job: &Job) -> Result<&'static str, Failure> {
        let (told, what) = match self.take_up(job).await {
            Ok(told) => (told, "told"),
            Err(Failure::Refused(message)) => (misconfigured(message), "refused"),
            Err(Failure::Plan(error)) => (misconfigured(error.to_string()), "refused"),
            Err(Failure::Release(ReleaseError::Refused(message))) => (misconfigured(message), "refused"),
            Err(failure) => return Err(failure),
        };
        tracing::info!(job = job.id, ?told, "job");
        self.releases.tell(&job.id, &told).await?;
        Ok(what)
    }

    async fn take_up(&self, job: &Job) -> Result<Told, Failure> {
        let now = self.clock.now();
        let token = match Purpose::of(job).map_err(|error| Failure::Refused(error.to_string()))? {
            Purpose::Look(token) => token,
            Purpose::Begin(asked) if asked.notify.is_some() => return self.notify(job, asked).await,
            Purpose::Begin(asked) => Token { run: self.begin(job, &asked).await?, since: now },
        };
        let key = Key::Head(token.run.clone());
        let Some(record) = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten() else {
            return Err(Failure::Refused(format!("there is no run {}", token.run)));
        };
        let head = runs::head_of(&key, record)?;
        let plan = runs::plan(&self.ledger, &head.run, head.size()).await?;
        let targets = self.ledger.targets(&head.run).await.map_err(RunError::from)?;
        Ok(token.told(&Summary::of(&head, &plan, &targets), now))
    }

    async fn begin(&self, job: &Job, asked: &Asked) -> Result<RunId, Failure> {
        let (pipeline, source) = self.released(asked)?;
        let who = Who { via: Via::Pipeline, id: pipeline.to_string(), name: None };
        let what = Request::Start { app: asked.app.clone(), pipeline, source, set: Vec::new(), force: false };
        let id = job.id.parse().map_err(|_| Failure::Refused("the job's id is none".to_owned()))?;
        let request = Command { id, at: self.clock.now(), who, why: None, what };
        let run = request.run();
        let span = tracing::info_span!("job", %run);
        Box::pin(self.open(&run, &Source::Wanted(&request))).instrument(span).await?;
        Ok(run)
    }

    /// Has one message told, and lets the stage go on. Whether Slack takes it is no matter of the release.
    async fn notify(&self, job: &Job, asked: Asked) -> Result<Told, Failure> {
        let (pipeline, source) = self.released(&asked)?;
        let details = self.releases.describe(&pipeline, &source).await?;
        let notice = Notice {
            id: job.id.clone(),
            app: asked.app.clone(),
            channel: self.app(&asked.app)?.channel().clone(),
            at: self.clock.now(),
            source,
            pipeline,
            revision: details.revisions.into_iter().next(),
            words: asked.notify.unwrap_or_default(),
        };
        self.queues.send(vec![Outgoing::from(Payload::Notify { notice: Box::new(notice) })]).await?;
        let summary = format!("{}: told", asked.app);
        Ok(Told::Succeeded { progress: Progress { run: None, summary, percent: 100 } })
    }

    /// The release pipeline that an action is part of, and its execution.
    fn released(&self, asked: &Asked) -> Result<(PipelineName, ExecutionRef), Failure> {
        let app = self.app(&asked.app)?;
        let mut releases = app.releases().iter();
        let release = match (&asked.pipeline, releases.next(), releases.next()) {
            (Some(pipeline), ..) => app.releases().iter().find(|release| release.name() == pipeline),
            (None, Some(only), None) => Some(only),
            (None, ..) => {
                let because = format!("app {} has several release pipelines: name one as \"pipeline\"", asked.app);
                return Err(Failure::Refused(because));
            }
        };
        let Some(release) = release else {
            return Err(Failure::Refused(format!("app {} has no such release pipeline", asked.app)));
        };
        let target = TargetKey { account: self.fleet.hub().account().clone(), region: release.region().clone() };
        Ok((release.name().clone(), ExecutionRef { target, id: asked.execution.clone() }))
    }
}

fn misconfigured(message: String) -> Told {
    Told::Failed { message, run: None, is_misconfigured: true }
}
