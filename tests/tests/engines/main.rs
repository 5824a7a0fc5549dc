//! CodeBuild, CodeDeploy and CloudFormation as the stand-in plays them: one promise a test, by the SDK's own clients.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cloudformation;
mod codebuild;
mod codedeploy;
mod events;
mod stage;
mod world;
