//! The functions of a world, and one invocation of any of them, as Lambda would make it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use manifold_collect::Collect;
use manifold_core::event::BatchResponse;
use manifold_core::time::Timestamp;
use manifold_deploy::Deploy;
use manifold_dispatch::{Dispatch, HandleError};
use manifold_fleet::Fleet;
use manifold_inspect::Drift;
use manifold_summarize::Summarize;
use manifold_sweep::Sweep;
use serde_json::json;

use crate::world::{Inbox, Letter, World};

/// A future of a handler.
pub(crate) type Handling<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Every function, on the ports of one world.
pub(crate) struct Handlers {
    dispatch: Dispatch<World, World, World, World>,
    deploy: Deploy<World, World, World, World, World>,
    collect: Collect<World, World, World>,
    summarize: Summarize<World, World, World, World>,
    inspect: Drift<World, World, World, World>,
    sweep: Sweep<World, World, World, World>,
}

/// What a handler answered.
#[derive(Default)]
pub(crate) struct Answered {
    /// Which messages failed.
    pub(crate) response: BatchResponse,
    /// How many events were stray.
    pub(crate) stray: u32,
    /// How many messages were sent because something was overdue.
    pub(crate) overdue: usize,
}

impl From<BatchResponse> for Answered {
    fn from(response: BatchResponse) -> Self {
        Self { response, ..Self::default() }
    }
}

/// What an invocation yields.
pub(crate) type Answer = Result<Answered, HandleError>;

impl Handlers {
    pub(crate) fn new(fleet: Fleet, world: &World) -> Self {
        let world = || world.clone();
        Self {
            dispatch: Dispatch { fleet, ledger: world(), queues: world(), releases: world(), clock: world() },
            deploy: Deploy { ledger: world(), paces: world(), queues: world(), engine: world(), clock: world() },
            collect: Collect { ledger: world(), queues: world(), clock: world() },
            summarize: Summarize { ledger: world(), queues: world(), slack: world(), clock: world() },
            inspect: Drift { ledger: world(), queues: world(), watch: world(), clock: world() },
            sweep: Sweep { ledger: world(), open_runs: world(), queues: world(), clock: world() },
        }
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.dispatch.fleet
    }

    /// Hands a batch of one inbox to the function that reads it.
    pub(crate) fn invoke(
        self: &Arc<Self>,
        inbox: Inbox,
        letters: &[Letter],
        now: Timestamp,
        deadline: Timestamp,
    ) -> Handling<Answer> {
        let sent = now.as_millis().to_string();
        let record = |letter: &Letter| {
            json!({
                "messageId": letter.id,
                "body": letter.body,
                "attributes": {
                    "ApproximateReceiveCount": (letter.receives + 1).to_string(),
                    "SentTimestamp": sent,
                },
            })
        };
        let records: Vec<serde_json::Value> = letters.iter().map(record).collect();
        let input = json!({ "Records": records });
        let handlers = Arc::clone(self);
        match inbox {
            Inbox::Dispatch => {
                Box::pin(async move { handlers.dispatch.handle(&input, deadline).await.map(Answered::from) })
            }
            Inbox::Job => {
                // Each by itself, and not from a queue: a failed one is invoked again, as Lambda does.
                let jobs = letters.iter().map(|letter| (letter.id.clone(), serde_json::from_str(&letter.body)));
                let jobs: Vec<(String, Result<serde_json::Value, _>)> = jobs.collect();
                Box::pin(async move {
                    let mut failed = Vec::new();
                    for (id, job) in jobs {
                        let done = match &job {
                            Ok(job) => handlers.dispatch.handle(job, deadline).await.is_ok(),
                            Err(_) => false,
                        };
                        failed.extend((!done).then_some(id));
                    }
                    Ok(BatchResponse::failing(failed).into())
                })
            }
            Inbox::Deploy => {
                Box::pin(async move { Ok(handlers.deploy.handle(&input, deadline).await.map(Answered::from)?) })
            }
            Inbox::Collect => Box::pin(async move {
                let (done, report) = handlers.collect.handle(&input, deadline).await?;
                Ok(Answered { stray: report.counted("stray"), ..done.into() })
            }),
            Inbox::Inspect => {
                Box::pin(async move { Ok(handlers.inspect.handle(&input, deadline).await.map(Answered::from)?) })
            }
            Inbox::Summarize => {
                Box::pin(async move { Ok(handlers.summarize.handle(&input, deadline).await.map(Answered::from)?) })
            }
        }
    }

    /// A tick of the schedule. A sweep that fails is one that comes again in a minute.
    pub(crate) fn tick(self: &Arc<Self>, deadline: Timestamp) -> Handling<Answer> {
        let handlers = Arc::clone(self);
        Box::pin(async move {
            let overdue = handlers.sweep.tick(deadline).await.map_or(0, |tick| tick.sent);
            Ok(Answered { overdue, ..Answered::default() })
        })
    }
}

/// The messages of an invocation that are to come again.
pub(crate) fn failed(answer: &Answer, letters: &[Letter]) -> BTreeSet<String> {
    match answer {
        Ok(Answered { response, .. }) => response.failed().map(str::to_owned).collect(),
        Err(_) => letters.iter().map(|letter| letter.id.clone()).collect(),
    }
}
