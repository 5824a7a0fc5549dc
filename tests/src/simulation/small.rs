//! Small worlds, whole: every order of messages, every place of a crash, every duplicate and every loss, as far as a
//! budget goes.
//!
//! The real handlers run over a world that moves only as it is told to. From every state that can be reached, each of
//! these is tried:
//!
//! - a message that is due is handed over, and its invocation runs to its end;
//! - the same, and the message arrives a second time (budget);
//! - an event is lost (budget);
//! - the invocation is killed at any of its points (budget);
//! - the invocation stops at any of its points, another one runs there from beginning to end, and the first goes on, or
//!   is killed at any later point (budget);
//! - nothing is due: time passes until something is, or the sweep ticks, which is killed at any of its points (budget).
//!
//! So at most two invocations overlap, with one turn each way. Time does not pass while anything is due: a lease does not
//! run out under a worker that lives, which is what leases are made for.

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use manifold_local::steps::{Moment, Steps};
use manifold_local::world::{Inbox, Letter};

use super::invariants::{Broken, Watch};
use super::scenario::{Scenario, Told};

/// How often things may go wrong on one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// Invocations that are killed.
    pub crashes: u8,
    /// Events that are lost.
    pub losses: u8,
    /// Invocations that are interrupted by another one.
    pub overlaps: u8,
}

/// All that can happen in a small world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Explored {
    /// How many different states there are.
    pub states: u64,
    /// How many steps lead from one to another.
    pub steps: u64,
    /// How many of the states are ends.
    pub ends: u64,
    /// The longest way that was gone.
    pub depth: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, ends, depth } = self;
        write!(f, "{states} states, {steps} steps, {ends} ends, the longest way {depth} steps")
    }
}

/// A way to a state that breaks a law.
#[derive(Debug)]
pub struct Way {
    /// What it breaks.
    pub broken: Broken,
    /// Step by step.
    pub steps: Vec<String>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {:>3}. {step}", number + 1)?;
        }
        writeln!(f, "\n  {}", self.broken)
    }
}

/// A state, and how it was reached.
struct Node {
    steps: Steps,
    watch: Watch,
    budget: Budget,
    way: Option<Rc<Link>>,
    depth: usize,
}

struct Link {
    step: String,
    before: Option<Rc<Link>>,
}

/// What an invocation is of.
#[derive(Clone)]
enum Call {
    Letter(Letter),
    Tick,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => {
                let body: String = letter.body.chars().take(160).collect();
                write!(f, "{} is handed {body}", letter.inbox.function())
            }
            Self::Tick => f.write_str("sweep ticks"),
        }
    }
}

/// Goes every way from a scenario's beginning.
///
/// # Errors
/// A way to a state that breaks a law.
pub fn explore(scenario: &Scenario, budget: Budget) -> Result<Explored, Box<Way>> {
    let simulation = scenario.begin();
    let steps = Steps::of(&simulation);
    let is_silent = scenario.told == Told::Nobody;
    let mut explored = Explored::default();
    let mut known = HashSet::new();
    let watch = Watch::with_patience(manifold_core::time::Span::from_minutes(30));
    let mut open = vec![Node { steps, watch, budget, way: None, depth: 0 }];
    while let Some(node) = open.pop() {
        for next in node.successors()? {
            explored.steps += 1;
            let next = next.checked(is_silent)?;
            if known.insert((next.steps.fingerprint(), next.budget)) {
                explored.states += 1;
                explored.depth = explored.depth.max(next.depth);
                if next.is_end() {
                    explored.ends += 1;
                    let at_end = next.watch.at_the_end(next.steps.world());
                    at_end.map_err(|broken| next.told(broken))?;
                } else {
                    open.push(next);
                }
            }
        }
    }
    Ok(explored)
}

impl Node {
    /// This state, to be changed.
    fn fork(&self) -> Self {
        Self {
            steps: self.steps.fork(),
            watch: self.watch.clone(),
            budget: self.budget,
            way: self.way.clone(),
            depth: self.depth,
        }
    }

    /// This state after one more step.
    fn after(mut self, step: impl FnOnce() -> String) -> Self {
        self.way = Some(Rc::new(Link { step: step(), before: self.way.take() }));
        self.depth += 1;
        self
    }

    fn is_end(&self) -> bool {
        self.steps.due().is_empty() && self.steps.fork().pass_time() == Moment::Nothing
    }

    fn checked(mut self, is_silent: bool) -> Result<Self, Box<Way>> {
        if is_silent {
            // Nobody is told, so that a message to `summarize` does nothing: all of them are taken at once.
            for letter in self.steps.due().into_iter().filter(|letter| letter.inbox == Inbox::Summarize) {
                while self.steps.due().contains(&letter) {
                    self.steps.take(&letter);
                }
            }
        }
        match self.watch.after_step(self.steps.world()) {
            Ok(()) => Ok(self),
            Err(broken) => Err(self.told(broken)),
        }
    }

    fn told(&self, broken: Broken) -> Box<Way> {
        let mut steps = Vec::new();
        let mut at = self.way.as_deref();
        while let Some(link) = at {
            steps.push(link.step.clone());
            at = link.before.as_deref();
        }
        steps.reverse();
        Box::new(Way { broken, steps })
    }

    /// Every state that one step leads to.
    fn successors(&self) -> Result<Vec<Self>, Box<Way>> {
        let due = self.steps.due();
        let mut next = Vec::new();
        if due.is_empty() {
            let passed = self.fork();
            match passed.steps.pass_time() {
                Moment::Nothing => {}
                Moment::Letters => next.push(passed.after(|| "time passes".to_owned())),
                Moment::Tick => passed.calls(&Call::Tick, &mut next),
            }
            return Ok(next);
        }
        for letter in &due {
            let call = Call::Letter(letter.clone());
            self.calls(&call, &mut next);
            if self.budget.duplicates > 0 {
                let mut twice = self.fork();
                twice.budget.duplicates -= 1;
                twice.steps.put(letter.clone());
                next.push(twice.after(|| format!("it arrives twice: {call}")));
            }
            if self.budget.losses > 0 && letter.inbox == Inbox::Collect && letter.body.contains("\"detail-type\"") {
                let mut lost = self.fork();
                lost.budget.losses -= 1;
                lost.steps.lose(letter);
                next.push(lost.after(|| format!("it is lost: {call}")));
            }
        }
        Ok(next)
    }

    /// An invocation, in every way that it can go.
    fn calls(&self, call: &Call, next: &mut Vec<Self>) {
        let mut whole = self.fork();
        let mut points = 0;
        let mut going = Some(whole.begin(call));
        while let Some(invocation) = going {
            going = whole.steps.resume(invocation);
            points += u32::from(going.is_some());
        }
        next.push(whole.after(|| call.to_string()));
        for point in 1..=points {
            if self.budget.crashes > 0 {
                let mut killed = self.fork();
                killed.budget.crashes -= 1;
                if let Some(invocation) = killed.go(call, point) {
                    killed.steps.kill(invocation);
                }
                next.push(killed.after(|| format!("{call}, and is killed at its point {point}")));
            }
            if self.budget.overlaps == 0 {
                continue;
            }
            // What is due there: it may have become so on the way.
            let mut stopped = self.fork();
            if let Some(_stopped) = stopped.go(call, point) {
                for other in stopped.steps.due() {
                    self.overlap(call, point, &other, next);
                }
            }
        }
    }

    /// An invocation that stops at a point while another one runs, and then goes on, or is killed later.
    fn overlap(&self, call: &Call, point: u32, other: &Letter, next: &mut Vec<Self>) {
        let with_other = |mut node: Self| {
            node.budget.overlaps -= 1;
            let invocation = node.go(call, point)?;
            let second = node.steps.begin(other.clone());
            node.steps.finish(second);
            Some((node, invocation))
        };
        let Some((node, invocation)) = with_other(self.fork()) else { return };
        let mut later = 0;
        let mut going = Some(invocation);
        while let Some(invocation) = going {
            going = node.steps.resume(invocation);
            later += u32::from(going.is_some());
        }
        let inner = || format!("{call}, stops at its point {point} while {}", Call::Letter(other.clone()));
        next.push(node.after(|| format!("{}, and goes on", inner())));
        if self.budget.crashes == 0 {
            return;
        }
        for more in 1..=later {
            let Some((mut node, invocation)) = with_other(self.fork()) else { return };
            node.budget.crashes -= 1;
            let mut going = Some(invocation);
            for _ in 0..more {
                going = going.and_then(|invocation| node.steps.resume(invocation));
            }
            if let Some(invocation) = going {
                node.steps.kill(invocation);
            }
            next.push(node.after(|| format!("{}, and is killed {more} points later", inner())));
        }
    }

    fn begin(&mut self, call: &Call) -> manifold_local::steps::Invocation {
        match call {
            Call::Letter(letter) => self.steps.begin(letter.clone()),
            Call::Tick => self.steps.begin_tick(),
        }
    }

    /// Begins an invocation and stops at its so-many-th point; nothing if it has fewer.
    fn go(&mut self, call: &Call, point: u32) -> Option<manifold_local::steps::Invocation> {
        let mut invocation = self.begin(call);
        for _ in 0..point {
            invocation = self.steps.resume(invocation)?;
        }
        Some(invocation)
    }
}
