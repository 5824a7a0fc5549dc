//! One pattern that covers some names.

use std::collections::BTreeSet;

/// What CodePipeline and the templates take at most.
const LONGEST: usize = 100;

/// What stands between the words of a name: of what names may hold, all but letters and digits.
const SEPARATORS: [char; 7] = ['-', '_', '.', '@', '+', '=', ','];

/// The narrowest pattern with at most one `*` that fits all names: a single name itself, else the words that they begin
/// with, `*`, and the words that they end with. `None` when they share no word, or when there are none: letters that
/// happen to be shared, as in `s*`, would let in pipelines that nobody thought of.
///
/// Names are those of pipelines, projects, stacks, applications and deployment groups: ASCII.
pub(crate) fn covering<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let (first, rest) = (names.first()?, names.iter().skip(1));
    if names.len() == 1 {
        return Some((*first).to_owned());
    }
    let shortest = names.iter().map(|name| name.len()).min().unwrap_or(0);
    let prefix = rest.clone().map(|name| common(first.bytes(), name.bytes())).min().unwrap_or(0);
    let suffix = rest.map(|name| common(first.bytes().rev(), name.bytes().rev())).min().unwrap_or(0);
    // In the shortest name both may want the same letters.
    let suffix = suffix.min(shortest - prefix).min(LONGEST - 1 - prefix.min(LONGEST - 1));
    // Whole words only: back to the separator that ends one, on to the separator that begins one.
    let prefix = first[..prefix].rfind(SEPARATORS).map_or(0, |at| at + 1);
    let suffix = first[first.len() - suffix..].find(SEPARATORS).map_or(0, |at| suffix - at);
    match (prefix, suffix) {
        (0, 0) => None,
        _ => Some(format!("{}*{}", &first[..prefix], &first[first.len() - suffix..])),
    }
}

/// The same for deployment groups, each with its application and a slash between: `*` alone will do for the groups of
/// applications whose pattern is narrow.
pub(crate) fn covering_groups<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let (applications, groups): (Vec<&str>, Vec<&str>) =
        names.into_iter().filter_map(|name| name.split_once('/')).unzip();
    let application = covering(applications)?;
    Some(format!("{application}/{}", covering(groups).unwrap_or_else(|| "*".to_owned())))
}

fn common(one: impl Iterator<Item = u8>, other: impl Iterator<Item = u8>) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use manifold_core::wildcard::fits;

    use super::*;

    #[test]
    fn a_pattern_is_as_narrow_as_one_star_allows() {
        let table: [(&[&str], Option<&str>); 14] = [
            (&["web-release"], Some("web-release")),
            (&["web-release", "web-release"], Some("web-release")),
            (&["web-release", "api-release"], Some("*-release")),
            (&["svc-web", "svc-api", "svc-worker"], Some("svc-*")),
            (&["svc-web-deploy", "svc-api-deploy"], Some("svc-*-deploy")),
            (&["svc-web1", "svc-web2"], Some("svc-*")),
            (&["web.a_release", "api.a_release"], Some("*.a_release")),
            // Words that are shared, not letters.
            (&["shop", "search"], None),
            (&["release", "web-release"], None),
            (&["svc", "svc-deploy"], None),
            // The shortest name has each word once only.
            (&["a-a", "a-a-a"], Some("a-*")),
            (&["a-", "a-a-"], Some("a-*")),
            (&["web", "api"], None),
            (&[], None),
        ];
        for (names, expected) in table {
            let pattern = covering(names.iter().copied());
            assert_eq!(pattern.as_deref(), expected, "{names:?}");
            for name in names.iter().filter(|_| pattern.is_some()) {
                assert!(fits(pattern.as_deref().unwrap(), name), "{name} in {pattern:?}");
            }
        }
    }

    #[test]
    fn groups_are_covered_by_their_application() {
        let table: [(&[&str], Option<&str>); 6] = [
            (&["shop/blue-green"], Some("shop/blue-green")),
            (&["shop/blue", "shop/green"], Some("shop/*")),
            (&["shop-web/blue-green", "shop-api/blue-green"], Some("shop-*/blue-green")),
            (&["shop-web/web-live", "shop-api/api-live"], Some("shop-*/*-live")),
            (&["shop/live", "search/live"], None),
            (&[], None),
        ];
        for (names, expected) in table {
            assert_eq!(covering_groups(names.iter().copied()).as_deref(), expected, "{names:?}");
        }
    }

    #[test]
    fn a_pattern_is_no_longer_than_a_name() {
        let long = "-".repeat(98);
        let names = [format!("a{long}z"), format!("a{long}z").replacen("--", "-y", 1)];
        let names = names.each_ref().map(String::as_str);
        let pattern = covering(names).unwrap();
        assert!(pattern.len() <= LONGEST && names.iter().all(|name| fits(&pattern, name)), "{pattern}");
        let one = "-".repeat(99);
        let two = "-".repeat(100);
        assert!(covering([one.as_str(), two.as_str()]).unwrap().len() <= LONGEST);
    }
}
