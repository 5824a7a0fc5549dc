//! The S3 bucket that CloudFormation and Lambda read from.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, PublicAccessBlockConfiguration};
use manifold_core::ids::{AccountId, Region};

use crate::aws::{Refusal, Session};
use crate::input::advise;

/// The bucket for templates and packages, in the hub's account and Region.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: String,
    client: Client,
    region: Region,
    /// The account that must own it; a bucket that the operator named may be another's.
    owner: Option<AccountId>,
}

impl Bucket {
    /// `is_own`: the name was not given by the operator, so that the bucket must be the account's.
    pub(crate) fn new(session: &Session, region: &Region, name: &str, is_own: bool) -> Self {
        let config = Builder::from(&session.in_region(region).config);
        // A local AWS has no host name for each bucket.
        let client = Client::from_conf(config.force_path_style(session.is_local()).build());
        Self { name: name.to_owned(), client, region: region.clone(), owner: is_own.then(|| session.account.clone()) }
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// It is another account's, in another Region, or may not be seen.
    pub(crate) async fn exists(&self) -> Result<bool> {
        let owner = self.owner.as_ref().map(AccountId::to_string);
        let there = match self.client.head_bucket().bucket(&self.name).set_expected_bucket_owner(owner).send().await {
            Ok(output) => Ok(output.bucket_region),
            Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
                Some(404) => return Ok(false),
                Some(301) => Ok(Some("another Region".to_owned())),
                Some(_) | None => Err(self.refused("look at", &error)),
            },
        };
        match there? {
            Some(region) if region != self.region.as_str() => Err(advise(
                format!("the bucket {} is in {region}, and the hub in {}", self.name, self.region),
                "Lambda reads packages from its own Region only: name another bucket with --bucket, or none",
            )),
            Some(_) | None => Ok(true),
        }
    }

    /// Makes it, closed to the public. S3 encrypts what is in it by itself (S3 User Guide, "Setting default server-side
    /// encryption behavior").
    ///
    /// # Errors
    /// S3 refuses.
    pub(crate) async fn make(&self) -> Result<()> {
        let location = (self.region.as_str() != "us-east-1").then(|| {
            let here = BucketLocationConstraint::from(self.region.as_str());
            CreateBucketConfiguration::builder().location_constraint(here).build()
        });
        let made =
            self.client.create_bucket().bucket(&self.name).set_create_bucket_configuration(location).send().await;
        made.map_err(|error| self.refused("make", &error))?;
        let closed = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true);
        let blocked = self.client.put_public_access_block().bucket(&self.name);
        let blocked = blocked.public_access_block_configuration(closed.build()).send().await;
        blocked.map_err(|error| self.refused("close to the public", &error)).map(drop)
    }

    /// Deletes it; it must be empty.
    ///
    /// # Errors
    /// S3 refuses.
    pub(crate) async fn delete(&self) -> Result<()> {
        let deleted = self.client.delete_bucket().bucket(&self.name).send().await;
        deleted.map_err(|error| self.refused("delete", &error)).map(drop)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// S3 refuses.
    pub(crate) async fn delete_object(&self, key: &str) -> Result<()> {
        let deleted = self.client.delete_object().bucket(&self.name).key(key).send().await;
        deleted.map_err(|error| self.refused("delete an object in", &error)).map(drop)
    }

    /// Puts an object there unless there is one with that key; keys hold a hash of the content. Tells whether it did.
    ///
    /// # Errors
    /// S3 refuses.
    pub(crate) async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<bool> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(_) => return Ok(false),
            Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
                // S3 answers 403 for an object that is not there when it may not tell (API reference, `HeadObject`).
                Some(404 | 403) => {}
                Some(_) | None => return Err(self.refused("look into", &error)),
            },
        }
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(bytes));
        put.send().await.map_err(|error| self.refused("write to", &error)).map(|_| true)
    }

    /// The object's URL, in every partition as the SDK knows it.
    ///
    /// # Errors
    /// The SDK can't tell.
    pub(crate) async fn url(&self, key: &str) -> Result<String> {
        let signing = PresigningConfig::expires_in(Duration::from_secs(60)).context("failed to set up a URL")?;
        let signed = self.client.get_object().bucket(&self.name).key(key).presigned(signing).await;
        let signed = signed.map_err(|error| self.refused("name an object in", &error))?;
        Ok(signed.uri().split('?').next().unwrap_or_default().to_owned())
    }

    fn refused<E>(&self, what: &str, error: &SdkError<E, HttpResponse>) -> anyhow::Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let refusal = Refusal::of(error);
        // Answers to HEAD have no body, and so no code.
        let http = error.raw_response().map(|response| response.status().as_u16());
        let is_denied = refusal.is_denied() || http == Some(403);
        let words = match http {
            Some(status) if refusal.code.is_empty() => format!("HTTP {status}"),
            Some(_) | None => refusal.to_string(),
        };
        let problem = format!("failed to {what} the bucket {}: {words}", self.name);
        match refusal.code.as_str() {
            "BucketAlreadyExists" => advise(problem, "the name is taken by another account: choose one with --bucket"),
            "OperationAborted" => advise(
                problem,
                "S3 frees the name of a deleted bucket after a while: repeat later, or choose one with --bucket",
            ),
            _ if is_denied => advise(
                problem,
                "it may be another account's, or the credentials lack s3:ListBucket, s3:CreateBucket, \
                 s3:PutBucketPublicAccessBlock, s3:GetObject or s3:PutObject",
            ),
            _ => anyhow!(problem),
        }
    }
}
