//! CloudFormation in target accounts.
