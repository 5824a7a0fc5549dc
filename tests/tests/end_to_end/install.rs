//! `manifold install`: a plan first, and nothing twice.

use manifold_tests::local_aws::organization::Organization;
use serde_json::Value;

/// The plan of each stack, by `kind account region`.
fn plans(document: &Value) -> Vec<(String, String)> {
    let stacks = document["stacks"].as_array().unwrap();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut plans: Vec<_> = stacks
        .iter()
        .map(|stack| {
            let name = ["kind", "account_name", "region"].map(|field| word(&stack[field])).join(" ");
            (name, word(&stack["plan"]))
        })
        .collect();
    plans.sort();
    plans
}

#[tokio::test]
async fn thirteen_stacks_are_planned_deployed_and_then_left_alone() {
    let story = Organization::new().await;
    let planned = story.install_with(&["--plan", "--output", "json"]).await;
    assert_eq!(planned.status, Some(3), "{planned:#?}");
    let planned = planned.json();
    assert_eq!(planned["result"], "not_deployed");
    assert_eq!(planned["stacks"].as_array().unwrap().len(), 13, "the hub, two accounts, ten Regions");
    assert!(plans(&planned).iter().all(|(_, plan)| plan == "new"), "{:#?}", plans(&planned));
    for account in [&story.hub, &story.dev, &story.prod] {
        assert_eq!(story.stacks(account, "us-east-1").await, [""; 0], "a plan leaves nothing behind in {account}");
    }

    let done = story.install().await.json();
    assert_eq!(done["result"], "deployed");
    assert_eq!(plans(&done), plans(&planned));

    let again = story.install_with(&["--yes", "--output", "json"]).await;
    assert_eq!(again.status, Some(0), "{again:#?}");
    let again = again.json();
    assert_eq!(again["result"], "nothing_to_do", "{:#?}", plans(&again));
}

#[tokio::test]
async fn a_changed_fleet_file_changes_the_one_function_that_reads_it() {
    let story = Organization::installed().await;
    story.write_fleet(&story.fleet().replace("deadline: 2h", "deadline: 3h"));
    let done = story.install_with(&["--yes", "--output", "json"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    let done = done.json();
    let stacks = done["stacks"].as_array().unwrap();
    let changed: Vec<&Value> = stacks.iter().filter(|stack| stack["outcome"] == "deployed").collect();
    assert_eq!(changed.len(), 1, "{changed:#?}");
    let changes = changed[0]["changes"].to_string();
    assert!(changes.contains("DispatchFunction") && !changes.contains("DeployFunction"), "{changes}");
}

#[tokio::test]
async fn without_a_terminal_nothing_is_deployed_unless_it_is_said() {
    let story = Organization::new().await;
    let done = story.install_with(&[]).await;
    assert_eq!(done.status, Some(3), "{done:#?}");
    for words in ["13 stacks", "releases of: web-release", "may start: svc-deploy"] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert_eq!(story.stacks(&story.hub, "us-east-1").await, [""; 0]);
}

#[tokio::test]
async fn an_account_that_lets_nobody_in_is_named_with_the_fix() {
    let story = Organization::new().await;
    let iam = story.iam(&story.prod).await;
    iam.delete_role_policy().role_name("OrganizationAccountAccessRole").policy_name("all").send().await.unwrap();
    iam.delete_role().role_name("OrganizationAccountAccessRole").send().await.unwrap();
    let done = story.install_with(&["--yes", "--output", "json"]).await;
    assert_eq!(done.status, Some(1), "{done:#?}");
    let words = format!("{}{}", done.out, done.err);
    assert!(words.contains("OrganizationAccountAccessRole") && words.contains(&story.prod), "{words}");
    assert!(!story.stacks(&story.dev, "eu-west-1").await.is_empty(), "the other account is deployed");
}
