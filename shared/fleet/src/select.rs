//! Accounts and Regions as selectors see them, and what a selector selects.

use std::collections::{BTreeMap, HashMap};

use manifold_core::ids::Region;

use crate::decode::{Many, Map, Slot, Spanned};
use crate::file::{AccountSpec, Exclusion, File, RegionSpec, Selector};
use crate::leaf::{AccountName, TagName, TagValue};
use crate::path::Path;
use crate::problem::{Draft, Sink, Span, closest, listed, quoted};

/// The accounts and Regions of a file, good and broken ones.
pub(crate) struct Grid<'f> {
    pub(crate) accounts: Vec<AccountRow<'f>>,
    pub(crate) regions: Vec<RegionRow<'f>>,
    account_index: HashMap<&'f str, usize>,
    region_index: HashMap<&'f str, usize>,
    /// Whether every account is known by name; if not, an unknown name may be a follow-up.
    pub(crate) accounts_known: bool,
    /// The same for Regions.
    pub(crate) regions_known: bool,
}

/// An account by its name; the rest as far as it could be read.
pub(crate) struct AccountRow<'f> {
    pub(crate) name: &'f str,
    pub(crate) span: Span,
    pub(crate) spec: Option<&'f AccountSpec>,
    pub(crate) tags: BTreeMap<&'f str, &'f str>,
    /// Whether `tags` holds all that were written.
    pub(crate) tags_known: bool,
}

/// A Region by its code; the rest as far as it could be read.
pub(crate) struct RegionRow<'f> {
    pub(crate) region: &'f Region,
    pub(crate) span: Span,
    pub(crate) spec: Option<&'f RegionSpec>,
}

/// Every exclusion is held against every account and Region.
const MAX_EXCLUSIONS: usize = 1_000;

/// What a selector selects.
pub(crate) struct Matcher {
    accounts: Vec<bool>,
    regions: Vec<bool>,
    exclude: Vec<(Vec<bool>, Vec<bool>)>,
    /// Whether everything in the selector could be read and refers to something.
    pub(crate) sure: bool,
}

impl Matcher {
    pub(crate) fn selects(&self, account: usize, region: usize) -> bool {
        self.accounts[account]
            && self.regions[region]
            && !self.exclude.iter().any(|(accounts, regions)| accounts[account] && regions[region])
    }
}

/// The fields that selectors and exclusions share.
struct Criteria<'s> {
    accounts: &'s Slot<Many<Spanned<AccountName>>>,
    tags: &'s Slot<Map<TagName, Many<Spanned<TagValue>>>>,
    regions: &'s Slot<Many<Spanned<Region>>>,
}

impl<'s> From<&'s Selector> for Criteria<'s> {
    fn from(selector: &'s Selector) -> Self {
        Self { accounts: &selector.accounts, tags: &selector.tags, regions: &selector.regions }
    }
}

impl<'s> From<&'s Exclusion> for Criteria<'s> {
    fn from(exclusion: &'s Exclusion) -> Self {
        Self { accounts: &exclusion.accounts, tags: &exclusion.tags, regions: &exclusion.regions }
    }
}

impl<'f> Grid<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        let (mut accounts, mut regions) = (Vec::new(), Vec::new());
        if let Some(map) = file.accounts.given() {
            for (name, slot) in &map.entries {
                let spec = slot.given();
                let tags = spec.and_then(|spec| spec.tags.given());
                let tags_known = spec.is_some_and(|spec| !spec.tags.is_broken())
                    && tags.is_none_or(|map| map.intact && map.given().count() == map.entries.len());
                let tags = tags.into_iter().flat_map(|map| map.given());
                accounts.push(AccountRow {
                    name: name.value.as_str(),
                    span: name.span,
                    spec,
                    tags: tags.map(|(tag, value)| (tag.value.as_str(), value.value.as_str())).collect(),
                    tags_known,
                });
            }
        }
        if let Some(map) = file.regions.given() {
            for (region, slot) in &map.entries {
                regions.push(RegionRow {
                    region: &region.value,
                    span: region.span,
                    spec: slot.given().map(|spec| &spec.0),
                });
            }
        }
        Self {
            account_index: accounts.iter().enumerate().map(|(index, row)| (row.name, index)).collect(),
            region_index: regions.iter().enumerate().map(|(index, row)| (row.region.as_str(), index)).collect(),
            accounts,
            regions,
            accounts_known: file.accounts.given().is_some_and(|map| map.intact),
            regions_known: file.regions.given().is_some_and(|map| map.intact),
        }
    }

    /// `account/region` by their names, as messages name a target.
    pub(crate) fn target(&self, account: usize, region: usize) -> String {
        format!("{}/{}", self.accounts[account].name, self.regions[region].region)
    }

    /// The position of a Region; reports an unknown one.
    pub(crate) fn region(&self, region: &Spanned<Region>, path: &Path<'_>, out: &mut Sink) -> Option<usize> {
        let found = self.region_index.get(region.value.as_str()).copied();
        if found.is_none() && self.regions_known {
            let all = || self.regions.iter().map(|row| row.region.as_str());
            let mut draft = Draft::new(format!("unknown Region {}", quoted(region.value.as_str())));
            if out.may_suggest() {
                draft = draft
                    .help(format!("expected one of this file's regions: {}", listed(all())))
                    .suggest(closest(region.value.as_str(), all()));
            }
            out.report(region.span, path, draft);
        }
        found
    }

    /// The position of an account; reports an unknown one.
    pub(crate) fn account(&self, name: &Spanned<AccountName>, path: &Path<'_>, out: &mut Sink) -> Option<usize> {
        let text = name.value.as_str();
        let found = self.account_index.get(text).copied();
        if found.is_none() && self.accounts_known {
            let all = || self.accounts.iter().map(|row| row.name);
            let mut draft = Draft::new(format!("unknown account {}", quoted(text)));
            if out.may_suggest() {
                let id = |row: &&AccountRow<'_>| {
                    row.spec.and_then(|spec| spec.id.given()).is_some_and(|id| id.value.as_str() == text)
                };
                let by_id = self.accounts.iter().find(id).map(|row| row.name);
                draft = draft
                    .help(format!("expected one of this file's accounts by name: {}", listed(all())))
                    .suggest(by_id.or_else(|| closest(text, all())));
            }
            out.report(name.span, path, draft);
        }
        found
    }

    /// Accounts and Regions that match the criteria, and whether that is sure.
    fn matching(&self, criteria: &Criteria<'_>, path: &Path<'_>, out: &mut Sink) -> (Vec<bool>, Vec<bool>, bool) {
        let mut sure = !(criteria.accounts.is_broken() || criteria.tags.is_broken() || criteria.regions.is_broken());
        let mut accounts = vec![criteria.accounts.is_absent(); self.accounts.len()];
        if let Some(names) = criteria.accounts.given() {
            sure &= names.0.intact();
            for (index, name) in names.0.given() {
                let field = path.field("accounts");
                match self.account(name, &field.item(index), out) {
                    Some(account) => accounts[account] = true,
                    None => sure = false,
                }
            }
        }
        if let Some(tags) = criteria.tags.given() {
            sure &= tags.intact && tags.given().count() == tags.entries.len();
            for (tag, values) in tags.given() {
                sure &= values.0.intact() && self.tag(tag, values, &path.field("tags"), out);
                for (account, row) in self.accounts.iter().enumerate() {
                    let value = row.tags.get(tag.value.as_str());
                    accounts[account] &=
                        value.is_some_and(|value| values.0.given().any(|(_, wanted)| wanted.value.as_str() == *value));
                }
            }
        }
        let mut regions = vec![criteria.regions.is_absent(); self.regions.len()];
        if let Some(codes) = criteria.regions.given() {
            sure &= codes.0.intact();
            for (index, region) in codes.0.given() {
                let field = path.field("regions");
                match self.region(region, &field.item(index), out) {
                    Some(region) => regions[region] = true,
                    None => sure = false,
                }
            }
        }
        (accounts, regions, sure)
    }

    /// Reports a tag or a value that no account has; gives whether every account's tags are known and fit.
    fn tag(&self, tag: &Spanned<TagName>, values: &Many<Spanned<TagValue>>, path: &Path<'_>, out: &mut Sink) -> bool {
        if !self.accounts_known || self.accounts.iter().any(|row| !row.tags_known) {
            return false;
        }
        let name = tag.value.as_str();
        let mut present: Vec<&str> = self.accounts.iter().filter_map(|row| row.tags.get(name).copied()).collect();
        present.sort_unstable();
        present.dedup();
        if present.is_empty() {
            let mut all: Vec<&str> = self.accounts.iter().flat_map(|row| row.tags.keys().copied()).collect();
            all.sort_unstable();
            all.dedup();
            let draft = Draft::new(format!("no account has the tag {}", quoted(name)))
                .help(format!("the accounts' tags are {}", listed(all.iter().copied())))
                .suggest(closest(name, all));
            out.report(tag.span, path, draft);
            return false;
        }
        let mut sure = true;
        for (_, value) in values.0.given() {
            if !present.contains(&value.value.as_str()) {
                let draft = Draft::new(format!(
                    "no account has the tag {name} with the value {}",
                    quoted(value.value.as_str())
                ))
                .help(format!("its values are {}", listed(present.iter().copied())))
                .suggest(closest(value.value.as_str(), present.iter().copied()));
                out.report(value.span, &path.field(name), draft);
                sure = false;
            }
        }
        sure
    }

    /// What a selector selects; reports what it names in vain.
    pub(crate) fn matcher(&self, selector: &Selector, path: &Path<'_>, out: &mut Sink) -> Matcher {
        let (accounts, regions, mut sure) = self.matching(&Criteria::from(selector), path, out);
        let mut exclude = Vec::new();
        if let Some(list) = selector.exclude.given() {
            sure &= list.intact();
            let count = list.given().count();
            if count > MAX_EXCLUSIONS {
                let draft = Draft::new(format!("{count} exclusions; at most {MAX_EXCLUSIONS} are read"));
                out.report(selector.span, path, draft.help("leave out by tags"));
                sure = false;
            }
            for (index, exclusion) in list.given().take(MAX_EXCLUSIONS) {
                let field = path.field("exclude");
                let here = field.item(index);
                let criteria = Criteria::from(exclusion);
                let no_tags = criteria.tags.is_absent()
                    || criteria.tags.given().is_some_and(|tags| tags.intact && tags.entries.is_empty());
                if criteria.accounts.is_absent() && criteria.regions.is_absent() && no_tags {
                    let draft = Draft::new("this exclusion names nothing, and so would leave out everything");
                    out.report(exclusion.span, &here, draft.help("give it accounts, tags or regions"));
                    sure = false;
                }
                let (accounts, regions, sure_too) = self.matching(&criteria, &here, out);
                sure &= sure_too;
                exclude.push((accounts, regions));
            }
        }
        sure &= !selector.exclude.is_broken() && self.accounts_known && self.regions_known;
        Matcher { accounts, regions, exclude, sure }
    }

    /// What is selected when nothing is said: everything.
    pub(crate) fn everything(&self) -> Matcher {
        Matcher {
            accounts: vec![true; self.accounts.len()],
            regions: vec![true; self.regions.len()],
            exclude: Vec::new(),
            sure: self.accounts_known && self.regions_known,
        }
    }
}
