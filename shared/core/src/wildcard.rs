//! Patterns in which `*` stands for any text, as names of pipelines are given to IAM and EventBridge.

/// Whether a pattern, in which `*` stands for any text, also none, fits a text. It is how EventBridge ("Comparison operators
/// for use in event patterns", `wildcard`) and IAM ("IAM JSON policy elements: Resource") read it, but for their escapes
/// and IAM's `?`.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_fits_any_text_and_nothing_else_does() {
        for (pattern, text, expected) in [
            ("svc-*", "svc-deploy", true),
            ("svc-*", "svc-", true),
            ("svc-*", "svc", false),
            ("*", "", true),
            ("*-deploy", "svc-deploy", true),
            ("*-release", "web-release", true),
            ("*-release", "web-released", false),
            ("s*c*y", "svc-deploy", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("svc-deploy", "svc-deploy", true),
            ("svc", "svc-deploy", false),
            ("svc", "svc-2", false),
            ("web-*", "svc-deploy", false),
            ("a*a", "a", false),
            ("arn:aws:codepipeline:*:4:svc", "arn:aws:codepipeline:eu-west-1:4:svc", true),
            ("arn:aws:codepipeline:*:4:svc", "arn:aws:codepipeline:eu-west-1:4:svc-2", false),
            ("arn:aws:codepipeline:*:4:svc", "arn:aws:codepipeline:eu-west-1:7:svc", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
