//! The site on AWS: the hub's ledger and queues, by its stack's outputs.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, stream};
use manifold_aws::clients::Clients;
use manifold_aws::clock::SystemClock;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::open_runs::DynamoOpenRuns;
use manifold_aws::queues::SqsQueues;
use manifold_aws::releases::CodePipelineReleases;
use manifold_core::changes::{Previewed, ToPreview};
use manifold_core::checkup::{Answer, Finding, HubTrouble, Question, Tried, judge_function};
use manifold_core::control::{Via, Who};
use manifold_core::ids::{ExecutionRef, Nonce, PipelineName, Region, RunId};
use manifold_core::ledger::{Key, Listing, Record};
use manifold_core::message::{Outgoing, Queue};
use manifold_core::release::Release;
use manifold_core::run::Target;
use manifold_core::run::sweep::OpenRun;
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::Fleet;
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{Ledger, Listings, OpenRuns};
use manifold_ports::queues::Queues;
use manifold_ports::releases::Releases;

use super::Desk;
use super::options::{Place, Verb};
use super::site::{Ahead, Site};
use crate::aws::{self, Session};
use crate::input::advise;
use crate::install::stack;
use crate::interrupt::Interrupt;
use crate::{confirm, hub, print, validate};

/// How often the ledger is read while something is waited for.
const EVERY: Duration = Duration::from_secs(2);
/// Queues, a cold start, and an event that comes first: usually it takes seconds.
const PATIENCE: Span = Span::from_seconds(60);

/// How many targets one invocation is asked for: a few seconds' work, and an answer that fits when stacks are large.
const CHUNK: usize = 24;
/// How many invocations are under way at once.
const AT_ONCE: usize = 8;

/// A hub.
struct Hub {
    ledger: DynamoLedger,
    open: DynamoOpenRuns,
    queues: SqsQueues,
    releases: CodePipelineReleases,
    functions: hub::Hub,
    /// Listens once there is something to take back.
    interrupt: OnceCell<Interrupt>,
    who: Who,
}

/// Does what is asked for on AWS.
///
/// # Errors
/// There are no credentials, there is no hub, or what is named is not there.
pub(crate) fn control(verb: &Verb) -> Result<ExitCode> {
    let place = verb.place();
    let fleet = place.fleet.as_deref().map(|path| validate::read(path, "nothing was done")).transpose()?;
    let fleet = fleet.as_ref().map(|(_, fleet)| fleet);
    aws::runtime()?.block_on(async {
        let hub = Box::pin(Hub::open(&place, fleet)).await?;
        let live = std::io::stderr().is_terminal() && std::io::stdout().is_terminal() && !console::is_dumb();
        let mut tell = |text: &str| print(|out| out.write_all(text.as_bytes()));
        let mut desk = Desk { site: &hub, fleet, tell: &mut tell, live };
        Box::pin(super::run(verb, &mut desk)).await.map(ExitCode::from)
    })
}

impl Hub {
    async fn open(place: &Place, fleet: Option<&Fleet>) -> Result<Self> {
        let profile = place.profile.as_deref();
        let region = match (&place.region, fleet) {
            (Some(region), _) => region.parse::<Region>()?,
            (None, Some(fleet)) => fleet.hub().region().clone(),
            (None, None) => aws::usual_region(profile).await?,
        };
        let session = Session::load(profile, &region).await?;
        if let Some(fleet) = fleet {
            session.expect_account(fleet.hub().account(), "the hub")?;
        }
        let name = format!("{}-hub", place.prefix);
        let stacks = aws_sdk_cloudformation::Client::new(&session.config);
        let found = Box::pin(stack::describe(&stacks, &name)).await;
        let found = found.map_err(|refusal| anyhow!("failed to look at the stack {name}: {refusal}"))?;
        let found = found.ok_or_else(|| {
            advise(
                format!("there is no stack {name} in account {}, {region}", session.account),
                "name the hub's Region with --region or --fleet, its account with --profile, and its Prefix with --prefix",
            )
        })?;
        let mut outputs = stack::outputs(&found);
        let mut output = |output: &str| {
            let missing =
                || advise(format!("the stack {name} has no output {output}"), "update the hub: manifold install");
            outputs.remove(output).ok_or_else(missing)
        };
        let functions = hub::Hub::new(&session, &place.prefix);
        let clients = Clients::new(session.config.clone());
        let table = output("LedgerName")?;
        let urls = BTreeMap::from([
            (Queue::Collect, output("CollectQueueUrl")?),
            (Queue::Dispatch, output("DispatchQueueUrl")?),
        ]);
        Ok(Self {
            ledger: DynamoLedger::new(clients.dynamodb(), table.clone()),
            open: DynamoOpenRuns::new(clients.dynamodb(), table),
            queues: SqsQueues::new(clients.sqs(), urls),
            releases: CodePipelineReleases::new(clients),
            functions,
            interrupt: OnceCell::new(),
            who: Who { via: Via::Cli, id: session.arn, name: None },
        })
    }
}

impl Hub {
    /// Asks `deploy` about targets, some of them at a time. What it leaves behind is taken away also at Ctrl-C.
    async fn ask_deploy<T>(
        &self,
        asked: ToPreview,
        question: impl Fn(Box<ToPreview>) -> Question,
        read: impl Fn(Answer) -> Option<Vec<T>>,
    ) -> Result<Vec<T>> {
        const FUNCTION: &str = "deploy";
        if self.interrupt.get().is_none() {
            // Another one was first: then it listens.
            let _ = self.interrupt.set(Interrupt::listen()?);
        }
        let ToPreview { run, targets } = asked;
        let (question, read) = (&question, &read);
        let asks = targets.chunks(CHUNK).map(|targets| {
            let part = ToPreview { run: run.clone(), targets: targets.to_vec() };
            async move {
                let answer = self.functions.ask(FUNCTION, &question(Box::new(part))).await;
                answer.map(|answer| read(answer).filter(|told| told.len() == targets.len()))
            }
        });
        let done: Vec<_> = stream::iter(asks).buffered(AT_ONCE).collect().await;
        let mut all = Vec::with_capacity(targets.len());
        for told in done {
            let trouble = match told {
                Ok(Some(told)) => {
                    all.extend(told);
                    continue;
                }
                Ok(None) => HubTrouble::Failed { message: "it answered another question".to_owned() },
                Err(trouble) => trouble,
            };
            return Err(refused(&self.functions.name(FUNCTION), &trouble));
        }
        Ok(all)
    }
}

/// Why a function could not be asked, and what mends that.
fn refused(function: &str, trouble: &HubTrouble) -> anyhow::Error {
    let Finding { cause, detail, remedy, .. } = judge_function(function, Some(trouble));
    let cause = cause.unwrap_or_else(|| format!("{function} could not be asked"));
    let problem = detail.map_or_else(|| cause.clone(), |detail| format!("{cause}: {detail}"));
    match remedy {
        Some(remedy) => advise(problem, remedy),
        None => anyhow!(problem),
    }
}

impl Ahead for Hub {
    async fn preview(&self, asked: ToPreview) -> Result<Vec<Previewed>> {
        self.ask_deploy(asked, Question::Preview, |answer| match answer {
            Answer::Preview(told) => Some(told),
            Answer::Fleet { .. } | Answer::Access(_) | Answer::Discarded(_) | Answer::Inspect(_) | Answer::Slack(_) => {
                None
            }
        })
        .await
    }

    async fn discard(&self, asked: ToPreview) -> Result<Vec<Tried<()>>> {
        self.ask_deploy(asked, Question::Discard, |answer| match answer {
            Answer::Discarded(told) => Some(told),
            Answer::Fleet { .. } | Answer::Access(_) | Answer::Preview(_) | Answer::Inspect(_) | Answer::Slack(_) => {
                None
            }
        })
        .await
    }

    fn is_to_stop(&self) -> bool {
        self.interrupt.get().is_some_and(Interrupt::is_asked)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nobody tells: the ledger is read, or a function asked, again after a while"
    )]
    async fn pass(&self) -> Result<()> {
        tokio::time::sleep(EVERY).await;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

impl Site for Hub {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        Ok(Box::pin(self.ledger.get(keys)).await?)
    }

    async fn targets(&self, run: &RunId) -> Result<Vec<Target>> {
        Ok(Box::pin(self.ledger.targets(run)).await?)
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Record>> {
        Ok(Box::pin(self.ledger.list(listing)).await?)
    }

    async fn open_runs(&self) -> Result<Vec<RunId>> {
        let open = Box::pin(self.open.open_runs()).await?;
        // One that can't be read keeps none of the others from being shown.
        Ok(open.into_iter().flatten().filter_map(|record| record.item.take::<OpenRun>()).map(|open| open.run).collect())
    }

    async fn send(&self, message: Outgoing) -> Result<()> {
        Ok(Box::pin(self.queues.send(vec![message])).await?)
    }

    async fn who(&self) -> Result<Who> {
        Ok(self.who.clone())
    }

    async fn release(&self, pipeline: &PipelineName, source: &ExecutionRef) -> Result<Release> {
        let details = Box::pin(self.releases.describe(pipeline, source)).await?;
        Ok(Release {
            source: source.clone(),
            pipeline: pipeline.clone(),
            revision: details.revisions.into_iter().next(),
            trigger: details.trigger,
            released_at: self.now(),
            started_at: None,
            stages: details.stages,
        })
    }

    fn patience(&self) -> Span {
        PATIENCE
    }

    fn nonce(&self) -> Nonce {
        SystemClock.nonce()
    }

    async fn agree(&self, question: &str) -> Result<Option<bool>> {
        if !is_asked() {
            return Ok(None);
        }
        // Ctrl-C ends the command by itself: nothing was done yet.
        Ok(Some(confirm::ask(question, std::future::pending()).await))
    }

    async fn choose(&self, question: &str, choices: &[String]) -> Result<Option<String>> {
        if !is_asked() {
            return Ok(None);
        }
        let chosen = dialoguer::Select::new().with_prompt(question).items(choices).default(0).interact();
        let chosen = chosen.context("nothing was chosen")?;
        Ok(choices.get(chosen).cloned())
    }
}

/// Whether a person is there who can be asked.
fn is_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
