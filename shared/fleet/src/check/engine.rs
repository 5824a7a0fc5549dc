//! What does the work in each target, and whether that pins it to the release.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use manifold_core::engine::{DeploymentRevision, GroupName, S3Object, Service, Subject};
use manifold_core::ids::{InvalidId, PipelineName, ProjectName, StackName};
use manifold_core::plan::RevisionKind;

use super::{AppCheck, Common, Place};
use crate::decode::{Slot, Spanned};
use crate::file::{CloudFormationSpec, CodeBuildSpec, CodeDeploySpec, CodePipelineSpec, EngineKind, EngineSpec};
use crate::model::{Bundle, DeploymentEngine, Engine, StackEngine};
use crate::path::Path;
use crate::problem::{Draft, Sink, closest, listed, quoted, some_of};
use crate::select::Matcher;
use crate::template::{Template, document_fault};

/// What does the work in an app's targets.
pub(super) struct Engines {
    /// The app's own, then those of its exceptions; `None` for one that could not be read.
    pub(super) models: Vec<Option<Engine>>,
    /// For each place the position of its engine.
    pub(super) of: Vec<usize>,
    /// For each place what is started there; `None` when that is not sure.
    pub(super) subjects: Option<Vec<Subject>>,
}

/// A template of an engine, with its field.
type Named<'f> = (&'static str, &'f Spanned<Template>);

impl EngineKind {
    fn service(&self) -> Service {
        match self {
            Self::Pipeline(_) => Service::CodePipeline,
            Self::Build(_) => Service::CodeBuild,
            Self::Stack(_) => Service::CloudFormation,
            Self::Deployment(_) => Service::CodeDeploy,
        }
    }

    /// What names the thing that is started, with a noun for each; `None` when it could not be read.
    fn names(&self) -> Option<Vec<(&'static str, Named<'_>)>> {
        Some(match self {
            Self::Pipeline(spec) => vec![("pipeline", ("name", spec.name.given()?))],
            Self::Build(spec) => vec![("project", ("project", spec.project.given()?))],
            Self::Stack(spec) => vec![("stack", ("stack", spec.stack.given()?))],
            Self::Deployment(spec) => vec![
                ("application", ("application", spec.application.given()?)),
                ("deployment group", ("group", spec.group.given()?)),
            ],
        })
    }

    /// The templates that wait for the release and become the name of an object in S3.
    fn objects(&self) -> Vec<Named<'_>> {
        let slots = match self {
            Self::Stack(spec) => vec![("template", &spec.template), ("parameters_file", &spec.parameters_file)],
            Self::Deployment(spec) => vec![("revision", &spec.revision)],
            Self::Pipeline(_) | Self::Build(_) => Vec::new(),
        };
        slots.into_iter().filter_map(|(field, slot)| Some((field, slot.given()?))).collect()
    }

    /// What is said when nothing pins a target.
    pub(super) fn pin(&self) -> &'static str {
        match self {
            Self::Pipeline(_) => "set source_action, or give a parameter the value \"{{ release.revision }}\"",
            Self::Build(_) => "set source_version to \"{{ release.revision }}\", or give a parameter that value",
            Self::Stack(_) => {
                "use release.revision in the template's key, or give a parameter the value \"{{ release.revision }}\""
            }
            Self::Deployment(_) => "use release.revision in revision or appspec, or set github",
        }
    }
}

/// Has something said about an engine under its own path: the app's own, or that of an exception.
pub(super) fn at_engine(path: &Path<'_>, at: usize, then: impl FnOnce(&Path<'_>)) {
    match at.checked_sub(1) {
        None => then(&path.field("engine")),
        Some(item) => then(&path.field("engines").item(item).field("engine")),
    }
}

impl<'c, 'f> AppCheck<'c, 'f> {
    /// The engine at a position, if it could be read.
    pub(super) fn engine(&self, at: usize) -> Option<&'f EngineSpec> {
        match at.checked_sub(1) {
            None => self.spec.engine.given(),
            Some(item) => self.spec.engines.given()?.items.get(item)?.given()?.engine.given(),
        }
    }

    /// Whether what does the work in some place may be CloudFormation.
    pub(super) fn deploys_stacks(&self) -> bool {
        let all = self.spec.engines.given().map_or(0, |list| list.items.len()) + 1;
        (0..all).any(|at| self.engine(at).is_some_and(|spec| matches!(spec.what, EngineKind::Stack(_))))
    }

    /// What does the work in each place.
    pub(super) fn engines(
        &self,
        common: &mut Common<'c, 'f>,
        places: Option<&[Place]>,
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Engines> {
        let mut matchers: Vec<Matcher> = Vec::new();
        let mut sure = !self.spec.engines.is_broken();
        let list = path.field("engines");
        for (at, slot) in self.spec.engines.given().into_iter().flat_map(|list| list.items.iter().enumerate()) {
            match slot.given().map(|exception| &exception.select) {
                Some(Slot::Given(selector)) => {
                    let matcher = common.grid.matcher(selector, &list.item(at).field("select"), out);
                    sure &= matcher.sure;
                    matchers.push(matcher);
                }
                Some(Slot::Absent | Slot::Broken) | None => sure = false,
            }
        }
        let mut models = Vec::with_capacity(matchers.len() + 1);
        let all = self.spec.engines.given().map_or(0, |list| list.items.len()) + 1;
        for at in 0..all {
            let mut model = None;
            at_engine(path, at, |path| model = self.engine(at).and_then(|spec| self.model(spec, path, out)));
            models.push(model);
        }
        let places = places.filter(|_| sure)?;
        let of: Vec<usize> = places
            .iter()
            .map(|place| {
                let first = matchers.iter().position(|matcher| matcher.selects(place.account, place.region));
                first.map_or(0, |at| at + 1)
            })
            .collect();
        for (at, exception) in self.spec.engines.given().into_iter().flat_map(|list| list.given()) {
            if !of.contains(&(at + 1)) {
                let draft = Draft::new("this exception selects no target of the app that none before it selects");
                out.report(exception.span, &list.item(at), draft.help("remove it, or select other targets"));
            }
        }
        self.unused_parameters(&models, &of, path, out);
        let subjects = self.subjects(common, places, &of, path, out);
        self.objects(common, places, &of, &models, path, out);
        Some(Engines { models, of, subjects })
    }

    /// What an engine says about itself.
    fn model(&self, spec: &'f EngineSpec, path: &Path<'_>, out: &mut Sink) -> Option<Engine> {
        let path = path.field(spec.what.field());
        for (noun, (field, name)) in spec.what.names().unwrap_or_default() {
            if !name.value.uses().is_static() {
                let what = if name.value.uses().release { "the release" } else { "the run" };
                let article = if noun.starts_with('a') { "an" } else { "a" };
                let draft = Draft::new(format!("{article} {noun}'s name cannot depend on {what}"))
                    .help(format!("every run of a target starts the same {noun}; use release and run in parameters"));
                out.report(name.span, &path.field(field), draft);
            }
        }
        match &spec.what {
            EngineKind::Pipeline(spec) => pipeline(spec, &path, out),
            EngineKind::Build(spec) => {
                self.names_fit(
                    |name| {
                        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                        plain && !name.starts_with(|c: char| c.is_ascii_digit())
                    },
                    "an environment variable: letters, digits and '_', not beginning with a digit",
                    out,
                );
                build(spec)
            }
            EngineKind::Stack(spec) => {
                self.names_fit(
                    |name| name.chars().all(|c| c.is_ascii_alphanumeric()),
                    "a parameter of a stack: letters and digits only",
                    out,
                );
                stack(spec)
            }
            EngineKind::Deployment(spec) => self.deployment(spec, &path, out),
        }
    }

    /// The names of the parameters are those of what the engine knows.
    fn names_fit(&self, fits: impl Fn(&str) -> bool, what: &str, out: &mut Sink) {
        let apps = Path::Root.field("apps");
        let app = apps.field(self.name);
        let parameters = app.field("parameters");
        for parameter in self.parameters.iter().filter(|parameter| !fits(parameter.name)) {
            let draft = Draft::new(format!("{} can't be the name of {what}", quoted(parameter.name)));
            out.report(parameter.span, &parameters.field(parameter.name), draft.help("give it another name"));
        }
    }

    fn deployment(&self, spec: &'f CodeDeploySpec, path: &Path<'_>, out: &mut Sink) -> Option<Engine> {
        let given = [!spec.revision.is_absent(), !spec.appspec.is_absent(), !spec.github.is_absent()];
        if given.iter().filter(|given| **given).count() != 1 {
            let draft = match given.contains(&true) {
                true => Draft::new("a deployment has one revision"),
                false => Draft::new("nothing is deployed"),
            };
            out.report(spec.span, path, draft.help("give one of revision, appspec and github"));
            return None;
        }
        if let Some(appspec) = spec.appspec.given() {
            let mut unknown = false;
            for name in appspec.value.0.parameters().filter(|_| self.parameters_known) {
                let names = || self.parameters.iter().map(|parameter| parameter.name);
                if !names().any(|known| known == name) {
                    let draft = Draft::new(format!("app {} has no parameter {}", self.name, quoted(name)));
                    let draft = draft.help(format!("it has {}", listed(names()))).suggest(closest(name, names()));
                    out.report(appspec.span, &path.field("appspec"), draft);
                    unknown = true;
                }
            }
            if unknown {
                return None;
            }
        }
        let revision = spec.revision.given().map(|template| Bundle::S3(template.value.clone()));
        let revision = revision.or_else(|| Some(Bundle::AppSpec(spec.appspec.given()?.value.0.clone())));
        let revision = revision.or_else(|| Some(Bundle::GitHub(spec.github.given()?.value.as_str().to_owned())));
        Some(Engine::Deployment(Box::new(DeploymentEngine {
            revision: revision?,
            config: spec.config.given().map(|config| config.value.as_str().to_owned()),
            auto_rollback: spec.auto_rollback.given().map(|flag| flag.0),
            on_stop: spec.on_stop.given().map(|on_stop| on_stop.value).unwrap_or_default(),
        })))
    }

    /// A parameter that no engine of the app takes has no effect.
    fn unused_parameters(&self, models: &[Option<Engine>], of: &[usize], path: &Path<'_>, out: &mut Sink) {
        let mut used: Vec<usize> = of.to_vec();
        used.sort_unstable();
        used.dedup();
        let engines: Option<Vec<&Engine>> = used.iter().map(|at| models.get(*at)?.as_ref()).collect();
        let Some(engines) = engines.filter(|engines| !engines.is_empty()) else { return };
        for parameter in &self.parameters {
            if !engines.iter().any(|engine| engine.takes(parameter.name)) {
                let draft = Draft::new(format!("nothing is given parameter {}", quoted(parameter.name)))
                    .help(format!("name it in the AppSpec as {{{{ parameters.{} }}}}, or remove it", parameter.name));
                out.report(parameter.span, &path.field("parameters").field(parameter.name), draft);
            }
        }
    }

    /// What is started in each place.
    fn subjects(
        &self,
        common: &mut Common<'c, 'f>,
        places: &[Place],
        of: &[usize],
        path: &Path<'_>,
        out: &mut Sink,
    ) -> Option<Vec<Subject>> {
        let mut subjects: Vec<Option<Subject>> = vec![None; places.len()];
        let mut used = of.to_vec();
        used.sort_unstable();
        used.dedup();
        for at in used {
            let Some(spec) = self.engine(at) else { continue };
            let own: Vec<(usize, Place)> = (0..)
                .zip(places)
                .filter(|(index, _)| of.get(*index) == Some(&at))
                .map(|(i, place)| (i, *place))
                .collect();
            at_engine(path, at, |path| {
                self.subjects_of(common, spec, &own, &mut subjects, &path.field(spec.what.field()), out);
            });
        }
        subjects.into_iter().collect()
    }

    fn subjects_of(
        &self,
        common: &mut Common<'c, 'f>,
        spec: &'f EngineSpec,
        places: &[(usize, Place)],
        subjects: &mut [Option<Subject>],
        path: &Path<'_>,
        out: &mut Sink,
    ) {
        let Some(names) = spec.what.names() else { return };
        let depends = names.iter().any(|(_, (_, name))| !name.value.uses().is_static());
        let (Some((noun, (field, name))), false) = (names.last(), depends) else { return };
        let uses = |pick: fn(&Template) -> bool| names.iter().any(|(_, (_, name))| pick(&name.value));
        let (by_account, by_region) = (uses(|name| name.uses().account), uses(|name| name.uses().region));
        let (mut rendered, mut refused) = (HashMap::new(), Vec::new());
        let mut shared: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, place) in places {
            let key = (by_account.then_some(place.account), by_region.then_some(place.region));
            let subject = rendered.entry(key).or_insert_with(|| {
                let mut parts: Vec<Arc<str>> = Vec::new();
                for (_, (field, name)) in &names {
                    match self.tried(common, &name.value, *place) {
                        Ok(text) => parts.push(text?),
                        Err(draft) => {
                            out.report(name.span, &path.field(field), draft);
                            return None;
                        }
                    }
                }
                let text = parts.join("/");
                match subject(spec.what.service(), &text) {
                    Ok(subject) => Some(subject),
                    Err(expected) => {
                        refused.push((text, common.grid.target(place.account, place.region), expected));
                        None
                    }
                }
            });
            let Some(subject) = subject.clone() else { continue };
            let key = (place.account, place.region, subject.to_string());
            match common.used.get(&key) {
                Some((other, app)) if *other != self.index => {
                    shared.entry(app.clone()).or_default().push(common.grid.target(place.account, place.region));
                }
                Some(_) | None => {
                    common.used.insert(key, (self.index, self.name.to_owned()));
                }
            }
            if let Some(slot) = subjects.get_mut(*index) {
                *slot = Some(subject);
            }
        }
        if let Some((text, target, expected)) = refused.first() {
            let more = if refused.len() > 1 { format!(" (and {} more)", refused.len() - 1) } else { String::new() };
            let draft = Draft::new(format!("{} for {target}{more} is not {expected}", quoted(text)));
            out.report(name.span, &path.field(field), draft);
        }
        for (app, targets) in shared {
            let draft = Draft::new(format!("app {app} uses the same {noun} in {}", some_of(&targets))).help(format!(
                "a {noun} in a target belongs to one app: name another one, or exclude the targets in one of the apps"
            ));
            out.report(name.span, &path.field(field), draft);
        }
    }

    /// Tries out what waits for the release: where an object in S3 is meant there is one, and a document is not too long.
    fn objects(
        &self,
        common: &mut Common<'c, 'f>,
        places: &[Place],
        of: &[usize],
        models: &[Option<Engine>],
        path: &Path<'_>,
        out: &mut Sink,
    ) {
        let mut tried: HashMap<(usize, &'static str, Option<usize>, Option<usize>), ()> = HashMap::new();
        for (place, at) in places.iter().zip(of) {
            // What could not be read is not tried.
            let Some(spec) = self.engine(*at).filter(|_| models.get(*at).is_some_and(Option::is_some)) else {
                continue;
            };
            let mut texts = spec.what.objects();
            if let EngineKind::Build(CodeBuildSpec { source_version: Slot::Given(version), .. }) = &spec.what {
                texts.push(("source_version", version));
            }
            let document = match &spec.what {
                EngineKind::Deployment(spec) => spec.appspec.given(),
                EngineKind::Pipeline(_) | EngineKind::Build(_) | EngineKind::Stack(_) => None,
            };
            let all = texts.iter().map(|(field, name)| (*field, &name.value, name.span));
            let all = all.chain(document.map(|document| ("appspec", &document.value.0, document.span)));
            for (field, template, span) in all {
                let uses = template.uses();
                let key = (*at, field, uses.account.then_some(place.account), uses.region.then_some(place.region));
                if tried.insert(key, ()).is_some() {
                    continue;
                }
                let fault = match self.tried(common, template, *place) {
                    Ok(Some(text)) => fault(field, &text).map(|fault| {
                        Draft::new(format!("{fault}, for {}", common.grid.target(place.account, place.region)))
                    }),
                    Ok(None) => None,
                    Err(draft) => Some(draft),
                };
                if let Some(draft) = fault {
                    // One place says it for all.
                    let whole = (*at, field, None, None);
                    if tried.insert(whole, ()).is_none() || key == whole {
                        at_engine(path, *at, |path| {
                            out.report(span, &path.field(spec.what.field()).field(field), draft);
                        });
                    }
                }
            }
        }
    }
}

/// What is wrong with a text that was rendered for a field.
pub(crate) fn fault(field: &str, text: &str) -> Option<String> {
    match field {
        "template" | "parameters_file" => text.parse::<S3Object>().err().map(|error| error.to_string()),
        "revision" => match text.parse::<S3Object>() {
            Ok(object) if DeploymentRevision::bundle(&object).is_none() => {
                Some(format!("{} does not end in .zip, .tar, .tgz, .tar.gz, .yaml, .yml or .json", quoted(text)))
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        },
        "appspec" => document_fault(text),
        _ => crate::template::value_fault(text),
    }
}

/// What is started, by its name; else what would have been accepted.
fn subject(service: Service, text: &str) -> Result<Subject, &'static str> {
    let expected = |error: InvalidId| error.expected;
    match service {
        Service::CodePipeline => text.parse::<PipelineName>().map(Subject::Pipeline).map_err(expected),
        Service::CodeBuild => text.parse::<ProjectName>().map(Subject::Project).map_err(expected),
        Service::CloudFormation => text.parse::<StackName>().map(Subject::Stack).map_err(expected),
        Service::CodeDeploy => text.parse::<GroupName>().map(Subject::Group).map_err(expected),
    }
}

fn pipeline(spec: &CodePipelineSpec, path: &Path<'_>, out: &mut Sink) -> Option<Engine> {
    if spec.source_action.is_broken() {
        return None;
    }
    if let (Some(kind), Slot::Absent) = (spec.revision_type.given(), &spec.source_action) {
        let draft = Draft::new("a revision_type without a source_action has no effect")
            .help("name the source action that it is for, or remove it");
        out.report(kind.span, &path.field("revision_type"), draft);
    }
    let kind = spec.revision_type.given().map_or(RevisionKind::CommitId, |kind| kind.value);
    let source = spec.source_action.given().map(|action| (action.value.as_str().to_owned(), kind));
    Some(Engine::Pipeline { source })
}

fn build(spec: &CodeBuildSpec) -> Option<Engine> {
    if spec.source_version.is_broken() {
        return None;
    }
    Some(Engine::Build { source_version: spec.source_version.given().map(|version| version.value.clone()) })
}

fn stack(spec: &CloudFormationSpec) -> Option<Engine> {
    let capabilities = spec.capabilities.given().into_iter().flat_map(|many| many.0.given());
    Some(Engine::Stack(Box::new(StackEngine {
        template: spec.template.given()?.value.clone(),
        parameters: spec.parameters_file.given().map(|file| file.value.clone()),
        capabilities: capabilities.map(|(_, capability)| capability.value).collect(),
        role: spec.role.given().map(|role| role.value.as_str().to_owned()),
        replacements: spec.replacements.given().map(|replacements| replacements.value).unwrap_or_default(),
    })))
}
