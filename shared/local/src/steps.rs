//! A world that moves only as it is told to, step by step: for exploring all that can happen in a small one.
//!
//! No time passes while anything is due. Whoever holds the world says which message is handed over next, how far an
//! invocation goes, where it is killed, and when time passes. Between invocations the world can be forked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use manifold_core::event::BatchResponse;
use manifold_core::time::Timestamp;

use crate::handlers::{Answer, Answered, Handlers, Handling, failed};
use crate::simulation::{Simulation, TIMEOUT};
use crate::tale;
use crate::world::{Letter, World};

/// A world under control.
pub struct Steps {
    world: World,
    handlers: Arc<Handlers>,
    next_task: u64,
}

/// An invocation that has not ended.
pub struct Invocation {
    task: u64,
    letters: Vec<Letter>,
    future: Handling<Answer>,
}

/// What the next moment brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Messages are due.
    Letters,
    /// The schedule of `sweep` ticks.
    Tick,
    /// Nothing is left to happen.
    Nothing,
}

impl Steps {
    /// Takes a simulation over before anything has happened in it.
    #[must_use]
    pub fn of(simulation: &Simulation) -> Self {
        let world = simulation.world().fork();
        world.be_stepped();
        Self::with(world, simulation.fleet().clone(), 0)
    }

    fn with(world: World, fleet: manifold_fleet::Fleet, next_task: u64) -> Self {
        let handlers = Arc::new(Handlers::new(fleet, &world));
        Self { world, handlers, next_task }
    }

    /// A copy that goes its own way. No invocation may be under way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::with(self.world.fork(), self.handlers.fleet().clone(), self.next_task)
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The messages that can be handed over now, each once.
    #[must_use]
    pub fn due(&self) -> Vec<Letter> {
        self.world.due()
    }

    /// A number for all that can make a difference to what happens from here on.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world.essence().hash(&mut hasher);
        hasher.finish()
    }

    /// Takes a message away.
    pub fn take(&self, letter: &Letter) {
        self.world.take(letter);
    }

    /// Loses an event on its way.
    pub fn lose(&self, letter: &Letter) {
        self.world.lose(letter);
    }

    /// Puts a message there, due at once.
    pub fn put(&self, letter: Letter) {
        self.world.put(letter);
    }

    /// Has time pass until something is due. `Nothing`: the story is over.
    #[must_use]
    pub fn pass_time(&self) -> Moment {
        self.world.pass_time()
    }

    /// Hands one message over. Nothing has been done yet.
    pub fn begin(&mut self, letter: Letter) -> Invocation {
        self.world.take(&letter);
        let (now, deadline) = self.times();
        let inbox = letter.inbox;
        let letters = vec![letter];
        let future = self.handlers.invoke(inbox, &letters, now, deadline);
        self.invocation(inbox.function(), letters, future)
    }

    /// Invokes `sweep`.
    pub fn begin_tick(&mut self) -> Invocation {
        let future = self.handlers.tick(self.times().1);
        self.invocation("sweep", Vec::new(), future)
    }

    fn times(&self) -> (Timestamp, Timestamp) {
        let now = self.world.time();
        (now, now.plus(TIMEOUT))
    }

    fn invocation(&mut self, function: &'static str, letters: Vec<Letter>, future: Handling<Answer>) -> Invocation {
        let task = self.next_task;
        self.next_task += 1;
        self.world.begin(task, function);
        for letter in &letters {
            self.world.note(task, || format!("is handed {}", tale::said(&letter.body)));
        }
        Invocation { task, letters, future }
    }

    /// Lets an invocation go on to its next point. Gives it back unless it has ended.
    #[must_use]
    pub fn resume(&self, mut invocation: Invocation) -> Option<Invocation> {
        self.world.enter(invocation.task);
        let polled = invocation.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.world.leave();
        match polled {
            Poll::Pending => Some(invocation),
            Poll::Ready(answer) => {
                self.end(invocation, &answer);
                None
            }
        }
    }

    /// Lets an invocation go on to its end.
    pub fn finish(&self, invocation: Invocation) {
        let mut next = Some(invocation);
        while let Some(invocation) = next {
            next = self.resume(invocation);
        }
    }

    /// Kills an invocation where it is: its message comes again when it is visible again.
    pub fn kill(&self, invocation: Invocation) {
        self.world.killed_here(invocation.task);
        let response = BatchResponse::failing(invocation.letters.iter().map(|letter| letter.id.clone()));
        self.end(invocation, &Ok(Answered { response, ..Answered::default() }));
    }

    fn end(&self, invocation: Invocation, answer: &Answer) {
        self.world.end(invocation.task);
        let failed = failed(answer, &invocation.letters);
        for letter in invocation.letters.into_iter().filter(|letter| failed.contains(&letter.id)) {
            self.world.give_back(letter);
        }
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("next_task", &self.next_task).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation").field("task", &self.task).finish_non_exhaustive()
    }
}
