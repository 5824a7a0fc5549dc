//! The commands of an example's page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws_sdk_cloudformation::types::Capability;
use manifold_tests::local_aws::organization::Organization;

/// Where a page installs a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whither {
    Hub,
    Accounts,
    Targets,
}

/// A command `aws cloudformation deploy` of a page.
#[derive(Debug, Clone)]
pub(super) struct Deploy {
    pub(super) whither: Whither,
    pub(super) regions: Vec<String>,
    pub(super) stack: String,
    pub(super) template: String,
    pub(super) capabilities: Option<Capability>,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Pages name the accounts of their fleet file.
pub(super) fn localized(text: &str, story: &Organization) -> String {
    text.replace("111122223333", &story.hub).replace("444455556666", &story.dev).replace("777788889999", &story.prod)
}

pub(super) fn read(folder: &str, file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples").join(folder).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands of a page's chapter "Install" that deploy stacks.
pub(super) fn commands(page: &str) -> Vec<Deploy> {
    let chapter = page.split_once("\n## Install\n").unwrap().1;
    let block = chapter.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0.replace("\\\n", " ");
    let (mut whither, mut listed, mut found) = (None, Vec::new(), Vec::new());
    for line in block.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("# ") {
            let said = [
                ("In the hub account", Whither::Hub),
                ("In each target account and Region", Whither::Targets),
                ("In each target account, in one Region", Whither::Accounts),
            ];
            whither = said.iter().find(|(words, _)| comment.contains(words)).map(|(_, whither)| *whither).or(whither);
        } else if let Some(list) = line.strip_prefix("for region in ") {
            listed = list.trim_end_matches("; do").split(' ').map(str::to_owned).collect();
        } else if let Some(command) = line.strip_prefix("aws cloudformation deploy ") {
            let (options, parameters) = command.split_once("--parameter-overrides").unwrap();
            let words: Vec<&str> = options.split_whitespace().collect();
            let options: BTreeMap<&str, &str> = words.chunks(2).map(|pair| (pair[0], pair[1])).collect();
            let pair =
                |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
            found.push(Deploy {
                whither: whither.expect("a comment says where"),
                regions: match options["--region"] {
                    "$region" => listed.clone(),
                    one => vec![one.to_owned()],
                },
                stack: options["--stack-name"].to_owned(),
                template: options["--template-file"].to_owned(),
                capabilities: options.get("--capabilities").map(|name| Capability::from(*name)),
                parameters: parameters.split_whitespace().map(pair).collect(),
            });
        }
    }
    found
}
