//! The values that are written for parameters, and which of them a target gets.

use std::collections::HashMap;

use crate::decode::{Slot, Spanned};
use crate::file::{File, Variables};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span};
use crate::select::Grid;
use crate::template::Template;

/// Where a value is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'f> {
    Defaults,
    Region(&'f str),
    Account(&'f str),
    Target(&'f str, &'f str),
    /// `apps.<app>.parameters.<name>.default`
    Default(&'f str),
    /// `apps.<app>.parameters.<name>.value`
    Fixed(&'f str),
}

/// A value as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'f> {
    pub(crate) name: &'f str,
    /// The place of the name.
    pub(crate) name_span: Span,
    /// `None` when the value is broken.
    pub(crate) value: Option<&'f Spanned<Template>>,
    pub(crate) origin: Origin<'f>,
}

impl Written<'_> {
    /// Reports a problem with the value, or with its name.
    pub(crate) fn report(&self, span: Span, draft: Draft, out: &mut Sink) {
        let name = self.name;
        match self.origin {
            Origin::Defaults => out.report(span, &Path::Root.field("defaults").field("variables").field(name), draft),
            Origin::Region(region) => {
                out.report(span, &Path::Root.field("regions").field(region).field("variables").field(name), draft);
            }
            Origin::Account(account) => {
                out.report(span, &Path::Root.field("accounts").field(account).field("variables").field(name), draft);
            }
            Origin::Target(account, region) => {
                let account = Path::Root.field("accounts").field(account).to_string();
                let path = format!("{account}.per_region.{region}.variables.{name}");
                out.report(span, &Path::Whole(&path), draft);
            }
            Origin::Default(app) => {
                out.report(
                    span,
                    &Path::Root.field("apps").field(app).field("parameters").field(name).field("default"),
                    draft,
                );
            }
            Origin::Fixed(app) => {
                out.report(
                    span,
                    &Path::Root.field("apps").field(app).field("parameters").field(name).field("value"),
                    draft,
                );
            }
        }
    }
}

/// What one level says about one parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing.
    #[default]
    Nothing,
    /// Something that could not be read.
    Broken,
    /// A value, by its position in [`Levels::written`].
    Value(usize),
}

impl Cell {
    pub(crate) fn or(self, other: Self) -> Self {
        match self {
            Self::Nothing => other,
            Self::Broken | Self::Value(_) => self,
        }
    }
}

/// The values of one level, by parameter.
#[derive(Debug, Default)]
pub(crate) struct Level<'f> {
    cells: HashMap<&'f str, Cell>,
    /// What a parameter without an entry gets: nothing, or broken when some entry could not be read.
    rest: Cell,
}

impl Level<'_> {
    fn cell(&self, parameter: &str) -> Cell {
        self.cells.get(parameter).copied().unwrap_or(self.rest)
    }

    /// The cells of some parameters, in their order.
    pub(crate) fn row(&self, parameters: &[&str]) -> Vec<Cell> {
        parameters.iter().map(|parameter| self.cell(parameter)).collect()
    }
}

/// All values outside of apps, by level.
#[derive(Debug, Default)]
pub(crate) struct Levels<'f> {
    pub(crate) written: Vec<Written<'f>>,
    pub(crate) defaults: Level<'f>,
    pub(crate) regions: Vec<Level<'f>>,
    pub(crate) accounts: Vec<Level<'f>>,
    /// By account and Region.
    pub(crate) targets: HashMap<(usize, usize), Level<'f>>,
}

impl<'f> Levels<'f> {
    pub(crate) fn new(file: &'f File, grid: &Grid<'f>, out: &mut Sink) -> Self {
        let mut levels = Self::default();
        let broken = || Level { cells: HashMap::new(), rest: Cell::Broken };
        levels.defaults = match &file.defaults {
            Slot::Absent => Level::default(),
            Slot::Broken => broken(),
            Slot::Given(defaults) => levels.level(&defaults.variables, Origin::Defaults),
        };
        for row in &grid.regions {
            let level =
                row.spec.map_or_else(broken, |spec| levels.level(&spec.variables, Origin::Region(row.region.as_str())));
            levels.regions.push(level);
        }
        for (account, row) in grid.accounts.iter().enumerate() {
            let level = row.spec.map_or_else(broken, |spec| levels.level(&spec.variables, Origin::Account(row.name)));
            levels.accounts.push(level);
            let per_region = row.spec.map(|spec| &spec.per_region);
            for (code, slot) in per_region.and_then(Slot::given).into_iter().flat_map(|map| &map.entries) {
                let path = Path::Root.field("accounts");
                let Some(region) = grid.region(code, &path.field(row.name).field("per_region"), out) else { continue };
                let origin = Origin::Target(row.name, code.value.as_str());
                let level = slot.given().map_or_else(broken, |spec| levels.level(&spec.variables, origin));
                levels.targets.insert((account, region), level);
            }
        }
        levels
    }

    fn level(&mut self, variables: &'f Slot<Variables>, origin: Origin<'f>) -> Level<'f> {
        let map = match variables {
            Slot::Absent => return Level::default(),
            Slot::Broken => return Level { cells: HashMap::new(), rest: Cell::Broken },
            Slot::Given(map) => map,
        };
        let mut cells = HashMap::with_capacity(map.entries.len());
        for (name, value) in &map.entries {
            let written = Written { name: name.value.as_str(), name_span: name.span, value: value.given(), origin };
            let cell = if written.value.is_some() { Cell::Value(self.written.len()) } else { Cell::Broken };
            self.written.push(written);
            cells.insert(name.value.as_str(), cell);
        }
        Level { cells, rest: if map.intact { Cell::Nothing } else { Cell::Broken } }
    }
}
