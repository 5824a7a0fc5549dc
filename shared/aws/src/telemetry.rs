//! The log: one JSON object a line, with the fields of all spans around it, so that `run`, `target` and `attempt` are
//! searchable on every line whoever wrote it.

use std::error::Error;
use std::fmt;

use manifold_core::time::Timestamp;
use manifold_ports::batch::{Chain, METRIC};
use manifold_ports::clock::Clock as _;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SystemClock;
use crate::env::{self, EnvError};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// [`env::LOG`] is not a level.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// Somebody else has set one up already.
    #[error("failed to set up the log")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Logs to standard output, at the level of [`env::LOG`] or else `info`.
///
/// # Errors
/// The level is not one, or there is a log already.
pub fn init() -> Result<(), TelemetryError> {
    let level = match env::LOG.optional()? {
        None => LevelFilter::INFO,
        Some(text) => text.parse().map_err(|_| env::LOG.invalid())?,
    };
    let hub = hub_of(env::FUNCTION.optional()?.as_deref()).to_owned();
    tracing::subscriber::set_global_default(subscriber(level, hub, std::io::stdout))?;
    Ok(())
}

/// What the names of a hub's functions begin with: its template's `Prefix`. It tells two hubs of one Region apart.
fn hub_of(function: Option<&str>) -> &str {
    function.and_then(|name| name.rsplit_once('-')).map_or("manifold", |(prefix, _)| prefix)
}

/// A log of a hub's function at a level, to a writer.
///
/// The level is that of Manifold's own crates. Libraries are heard from warnings on, whatever the level is: at
/// `debug`, HTTP and signing libraries print requests, and with them what must not be printed (law 7). Manifold's spans
/// are kept whatever the level is: a warning needs its run and target also where `info` is not logged.
pub fn subscriber<W>(level: LevelFilter, hub: String, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let levels = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(OWN, level)
        // A metric is no news that a level could be too low for.
        .with_target(METRIC, level.max(LevelFilter::INFO))
        // The runtime repeats the error of an invocation, which `lambda` has logged with its request and its chain.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let spans = LevelFilter::INFO.max(level);
    let filter = filter_fn(move |metadata| {
        if metadata.is_span() {
            metadata.target().starts_with(OWN) && *metadata.level() <= spans
        } else {
            levels.would_enable(metadata.target(), metadata.level())
        }
    })
    .with_max_level_hint(spans);
    let lines = tracing_subscriber::fmt::layer().event_format(JsonLines { hub }).with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(SpanFields.with_filter(filter.clone())).with(lines.with_filter(filter))
}

/// What CloudWatch finds Manifold's metrics under.
pub const NAMESPACE: &str = "Manifold";

/// Begins the module paths of Manifold's crates.
const OWN: &str = "manifold";

/// An error with all that caused it, in one line: see [`Chain`].
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    Chain(error).to_string()
}

/// The fields of a span, as JSON.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, chain(value).into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Keeps the fields of every span with the span.
struct SpanFields;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }
}

/// Makes a metric of a line, in CloudWatch's embedded metric format: `metric` is its name, `value` its value in `unit`
/// (CloudWatch User Guide, "Specification: Embedded metric format").
///
/// A function's own counter has the function as its only dimension. A figure of an app is two metrics: one of the hub, for
/// alarms, which can't add up apps that they don't know, and one of each app. One of a stage has the stage as well.
/// CloudWatch charges for each, in the hours in which there is a value.
fn embed_metric(line: &mut Map<String, Value>, hub: &str, now: Timestamp) {
    let Some(name) = line.remove("metric").and_then(|name| name.as_str().map(str::to_owned)) else { return };
    let (value, unit) = (line.remove("value").unwrap_or_default(), line.remove("unit").unwrap_or_default());
    let dimensions = match (line.contains_key("App"), line.contains_key("Stage")) {
        (true, true) => json!([["Hub", "App", "Stage"]]),
        (true, false) => json!([["Hub"], ["Hub", "App"]]),
        (false, _) => json!([["function"]]),
    };
    if line.contains_key("App") {
        line.insert("Hub".to_owned(), hub.into());
    }
    let directive = json!({
        "Timestamp": now.as_millis(),
        "CloudWatchMetrics": [{
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": [{ "Name": name, "Unit": unit }],
        }],
    });
    line.insert("_aws".to_owned(), directive);
    line.insert(name, value);
}

/// One line a JSON object: time, level, target, then the fields of the spans from the outermost on, then the event's.
struct JsonLines {
    hub: String,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.0.extend(fields.0.clone());
            }
        }
        event.record(&mut line);
        let Fields(mut line) = line;
        let metadata = event.metadata();
        line.insert("timestamp".to_owned(), SystemClock.now().to_string().into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        // `target` is a deployment target in Manifold's words, so that the module goes by another name.
        line.insert("module".to_owned(), metadata.target().into());
        if metadata.target() == METRIC {
            embed_metric(&mut line, &self.hub, SystemClock.now());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LevelFilter, write: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(level, "manifold".to_owned(), move || writer.clone()), write);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed to deploy")]
    struct Outer(#[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("the pipeline is gone")]
    struct Inner;

    #[test]
    fn every_line_carries_the_fields_of_all_spans_around_it() {
        let lines = logged(LevelFilter::INFO, || {
            let run = tracing::info_span!("run", run = "web-0f3a5b7c9d1e2f40", attempt = tracing::field::Empty);
            run.in_scope(|| {
                run.record("attempt", 2_u64);
                tracing::info_span!("engine", target = "444455556666/eu-west-1").in_scope(|| {
                    tracing::warn!(error = &Outer(Inner) as &(dyn Error + 'static), put_back = true, "put \"back\"");
                });
            });
            tracing::info!("outside");
        });
        let [inside, outside] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(inside["run"], "web-0f3a5b7c9d1e2f40");
        assert_eq!(inside["target"], "444455556666/eu-west-1");
        assert_eq!(inside["attempt"], 2);
        assert_eq!(inside["put_back"], true);
        assert_eq!(inside["message"], "put \"back\"");
        assert_eq!(inside["level"], "WARN");
        assert_eq!(inside["error"], "failed to deploy: the pipeline is gone");
        assert_eq!(outside["message"], "outside");
        assert!(outside.get("run").is_none());
        assert!(outside["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
    }

    #[test]
    fn libraries_are_heard_from_warnings_on_whatever_the_level_is() {
        let talk = || {
            tracing::debug!(target: "aws_sigv4::http_request", "canonical request");
            tracing::warn!(target: "hyper_util", "connection lost");
            tracing::debug!(target: "manifold_deploy", "claimed");
        };
        let heard = |level| -> Vec<String> {
            logged(level, talk).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(heard(LevelFilter::TRACE), ["connection lost", "claimed"]);
        assert_eq!(heard(LevelFilter::INFO), ["connection lost"]);
        assert!(heard(LevelFilter::ERROR).is_empty());
    }

    #[test]
    fn a_warning_carries_its_spans_fields_also_where_the_spans_own_level_is_not_logged() {
        let lines = logged(LevelFilter::WARN, || {
            tracing::info_span!("run", run = "web-0f3a5b7c9d1e2f40").in_scope(|| {
                tracing::info!("not logged");
                tracing::warn!("logged");
            });
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((&line["message"], &line["run"]), (&"logged".into(), &"web-0f3a5b7c9d1e2f40".into()));
    }

    #[test]
    fn a_metric_is_a_line_in_the_embedded_metric_format_whatever_the_level_is() {
        let lines = logged(LevelFilter::ERROR, || {
            tracing::info_span!("ask", run = "web-0f3a5b7c9d1e2f40").in_scope(|| {
                manifold_ports::batch::metric("deploy", "EventsRecovered", 3);
                tracing::info!("not logged");
            });
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Namespace"], "Manifold");
        assert_eq!(metrics["Metrics"], json!([{ "Name": "EventsRecovered", "Unit": "Count" }]));
        assert_eq!(metrics["Dimensions"], json!([["function"]]));
        assert!(line["_aws"]["Timestamp"].is_i64());
        assert_eq!((&line["function"], &line["EventsRecovered"]), (&json!("deploy"), &json!(3)));
        assert_eq!(line["run"], "web-0f3a5b7c9d1e2f40");
    }

    /// What becomes of a line but for when it was written.
    fn embedded(fields: Value) -> Value {
        let mut line = fields.as_object().unwrap().clone();
        embed_metric(&mut line, "manifold-two", Timestamp::from_millis(1_793_005_200_000));
        Value::Object(line)
    }

    #[test]
    fn a_figure_is_a_metric_of_its_hub_and_one_of_its_app() {
        let fields = json!({"metric": "LeadTime", "unit": "Seconds", "value": 2_218.115, "App": "web", "run": "web-1"});
        let golden = json!({
            "_aws": {
                "Timestamp": 1_793_005_200_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Manifold",
                    "Dimensions": [["Hub"], ["Hub", "App"]],
                    "Metrics": [{ "Name": "LeadTime", "Unit": "Seconds" }],
                }],
            },
            "Hub": "manifold-two", "App": "web", "LeadTime": 2_218.115, "run": "web-1",
        });
        assert_eq!(embedded(fields), golden);
    }

    #[test]
    fn a_stages_figure_has_the_stage_as_well_and_a_targets_has_no_metric_of_its_own() {
        let dimensions = |fields| embedded(fields)["_aws"]["CloudWatchMetrics"][0]["Dimensions"].clone();
        let stage =
            json!({"metric": "StageDuration", "unit": "Seconds", "value": 60.0, "App": "web", "Stage": "Build"});
        assert_eq!(dimensions(stage), json!([["Hub", "App", "Stage"]]));
        let place = "444455556666/eu-west-1";
        let of = json!({"metric": "TargetDuration", "unit": "Seconds", "value": 1.0, "App": "web", "target": place});
        assert_eq!(dimensions(of.clone()), json!([["Hub"], ["Hub", "App"]]));
        assert_eq!(embedded(of)["target"], place);
    }

    #[test]
    fn a_hub_is_named_as_its_functions_begin() {
        assert_eq!(hub_of(Some("manifold-two-collect")), "manifold-two");
        assert_eq!((hub_of(Some("collect")), hub_of(None)), ("manifold", "manifold"));
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        assert_eq!(chain(&Outer(Inner)), "failed to deploy: the pipeline is gone");
        assert_eq!(chain(&Inner), "the pipeline is gone");
    }
}
