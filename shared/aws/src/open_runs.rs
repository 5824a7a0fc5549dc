//! The runs and checks that are looked after, in the ledger's table: one partition, an item each. Only `sweep` reads and forgets
//! them, and needs two permissions for it that no other function has.

use aws_sdk_dynamodb::Client;
use manifold_core::ids::Nonce;
use manifold_core::ledger::{Key, OPEN, Record};
use manifold_ports::ledger::{LedgerError, OpenRuns};

use crate::failure::Failure;
use crate::ledger::{NONCE, PK, decode, primary_key, refused, text};

/// The open runs in the ledger's table.
#[derive(Debug, Clone)]
pub struct DynamoOpenRuns {
    client: Client,
    table: String,
}

impl DynamoOpenRuns {
    /// In a table.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

impl OpenRuns for DynamoOpenRuns {
    /// One call for some 3,000 runs: an item has about 300 bytes, and a page of a query 1 MB.
    async fn open_runs(&self) -> Result<Vec<Result<Record, LedgerError>>, LedgerError> {
        let pages: Vec<_> = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", text(OPEN))
            .into_paginator()
            .send()
            .try_collect()
            .await
            .map_err(|error| refused(&Failure::of(&error)))?;
        Ok(pages.into_iter().flat_map(|page| page.items.unwrap_or_default()).map(decode).collect())
    }

    async fn forget(&self, key: &Key, nonce: &Nonce) -> Result<bool, LedgerError> {
        let result = Box::pin(
            self.client
                .delete_item()
                .table_name(&self.table)
                .set_key(Some(primary_key(key)))
                .condition_expression("#nonce = :nonce")
                .expression_attribute_names("#nonce", NONCE)
                .expression_attribute_values(":nonce", text(nonce.as_str()))
                .send(),
        )
        .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) => {
                let failure = Failure::of(&error);
                match error.into_service_error().is_conditional_check_failed_exception() {
                    // Written since, or gone: by another sweep, or by an earlier try whose answer was lost.
                    true => Ok(false),
                    false => Err(refused(&failure)),
                }
            }
        }
    }
}
