//! stub
use super::Summary;
/// stub
#[must_use]
pub fn render(summary: &Summary) -> String {
    format!(
        "{:?} {:?}\n{:#?}",
        summary.verdict,
        summary.tally,
        summary.targets.iter().map(|t| format!("{} {:?} {:?}", t.key, t.status, t.cause)).collect::<Vec<_>>()
    )
}
