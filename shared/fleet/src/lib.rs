//! The fleet file: read, checked as a whole, and turned into values that cannot be wrong.
//!
//! [`Fleet::parse`] either gives a [`Fleet`], in which nothing is left to check, or every [`Problem`] of the
//! file at once, each with its place, its remedy and the name that was probably meant. [`App::plan`] then
//! decides everything about one run, [`App::plan_for`] about one for some of the targets, [`App::plan_back`] about the way
//! back, and [`App::plan_check`] about a drift check.
//!
//! Nothing here touches a file system, a network, a clock or an environment: text in, values out.
//!
//! # Where a parameter's value comes from
//!
//! The first one found of:
//!
//! 1. the app's own fixed `value` (giving such a parameter a value elsewhere is a problem when no app takes it),
//! 2. what is set for one run: [`Selection::set`],
//! 3. the single target: `accounts.<name>.per_region.<region>.variables`,
//! 4. the Region: `regions.<region>.variables`,
//! 5. the account: `accounts.<name>.variables`,
//! 6. everything: `defaults.variables`,
//! 7. the app's own `default`.
//!
//! # How reading is layered
//!
//! `yaml` makes a tree with positions; `decode` turns it into the types of `file` and gathers problems;
//! `check` looks at what spans more than one place and builds the `model`; `layout` orders targets and waves. A part that was refused once is
//! left alone by everything after it.

mod check;
mod decode;
mod file;
mod layout;
mod leaf;
mod model;
mod path;
mod plan;
mod problem;
mod schema;
mod select;
mod template;
mod values;
mod yaml;

pub use model::{Account, App, Drift, Fleet, Hub, Parameter, ReleasePipeline, Target};
pub use plan::{Back, PlanError, Selection, StackNeeds};
pub use problem::{Problem, Problems};
pub use schema::json_schema;

use decode::Decode as _;
use path::Path;
use problem::{Draft, Sink, Span};

/// The largest fleet file that is read, in bytes.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

impl Fleet {
    /// Reads and checks a whole fleet file. `name` is used in messages only.
    ///
    /// # Errors
    /// Every problem of the file, in the order of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let mut out = Sink::default();
        let fleet = read(text.strip_prefix('\u{feff}').unwrap_or(text), &mut out);
        match (out.finish(name, text), fleet) {
            (None, Some(fleet)) => Ok(Fleet { digest: manifold_core::checkup::digest(text), ..fleet }),
            (Some(problems), Some(_) | None) => Err(problems),
            // Unreachable by construction; a file that is refused must say so all the same.
            (None, None) => Err(Problems::unreadable(name)),
        }
    }
}

fn read(text: &str, out: &mut Sink) -> Option<Fleet> {
    if text.len() > MAX_BYTES {
        let draft = Draft::new(format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()));
        out.report(Span::START, &Path::Root, draft);
        return None;
    }
    let node = yaml::read(text, out)?;
    let file = file::File::decode(&node, Span::START, &Path::Root, out)?;
    check::check(&file, out)
}
