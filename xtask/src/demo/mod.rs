//! `cargo xtask demo`: the whole chain on this machine: deliveries, files that come back, then a failure and its repair.

mod collections;
mod deliveries;
mod failure;
mod keep;
mod shown;

use anyhow::Result;
use integration_tests::ministack::{MiniStack, Options};
use integration_tests::partner::Partner;
use integration_tests::stack::{self, Priority, Stack};
use integration_tests::tools;

use self::collections::{INBOX, OUTGOING};
use self::shown::LOCATION;
use crate::report::{item, paragraph, step};

const NAME: &str = "s3-sftp-bridge-demo";

pub(crate) async fn run(keep: bool) -> Result<()> {
    introduce();
    let (mut partner, aws) = servers().await?;
    let stack = deploy(&aws, &partner).await?;
    if let Err(error) = show(&stack, &mut partner).await {
        let log = tools::logs().join("demo-functions.log");
        std::fs::write(&log, aws.logs().await.unwrap_or_default())?;
        let details =
            format!("the functions' log is {}, MiniStack's is {}", log.display(), aws.log.display());
        return Err(error.context(details));
    }
    if keep {
        keep::stay(&stack, &mut partner).await?;
    }
    Ok(())
}

fn introduce() {
    println!("S3 SFTP Bridge on this machine: to the partner's server, and back.\n");
    paragraph(
        "No AWS account is touched: MiniStack, a local AWS, runs the unchanged stack. It differs from AWS in \
         three ways that you will see:",
    );
    for difference in [
        "Pauses between retries take a hundredth of their time.",
        "Events carry no version id. The function asks S3 for the current version instead.",
        "Executions cannot be redriven. The demo starts a new one with the same input.",
    ] {
        item(difference);
    }
    println!();
}

async fn servers() -> Result<(Partner, MiniStack)> {
    step("tools", "installing MiniStack and the SAM CLI (once)", async {
        let (ministack, sam) = tokio::try_join!(tools::ministack(), tools::sam())?;
        let fresh = ministack.fresh || sam.fresh;
        let how = if fresh { "installed into target/tools" } else { "there already" };
        Ok(((), format!("MiniStack and the SAM CLI: {how}")))
    })
    .await?;
    let partner = step("partner", "starting an SFTP server", async {
        let partner = Partner::start().await?;
        for directory in [LOCATION, OUTGOING] {
            std::fs::create_dir(partner.root.join(directory))?;
        }
        let done = format!("{}, {}@127.0.0.1:{}", partner.kind(), partner.user, partner.port);
        Ok((partner, done))
    })
    .await?;
    let aws = step("local AWS", "starting MiniStack", async {
        let aws = MiniStack::start(Options::default()).await?;
        let done = format!("MiniStack at {}", aws.endpoint);
        Ok((aws, done))
    })
    .await?;
    Ok((partner, aws))
}

async fn deploy<'a>(aws: &'a MiniStack, partner: &Partner) -> Result<Stack<'a>> {
    step("functions", "sam build: seven Rust functions (the first time takes minutes)", async {
        stack::build(Priority::Normal).await?;
        Ok(((), "sam build: seven Rust functions".to_owned()))
    })
    .await?;
    step("stack", "sam deploy", async {
        aws.s3().create_bucket().bucket(INBOX).send().await?;
        let parameters = [
            ("SftpLocation", LOCATION),
            ("CollectBucket", INBOX),
            ("CollectDirectory", OUTGOING),
            ("CollectRecursive", "true"),
        ];
        let stack = Stack::deploy_for(aws, NAME, partner, &parameters).await?;
        let done = format!("sam deploy: stack {NAME}");
        Ok((stack, done))
    })
    .await
}

async fn show(stack: &Stack<'_>, partner: &mut Partner) -> Result<()> {
    let samples = deliveries::samples();
    let executions = deliveries::of_samples(stack, &samples).await?;
    deliveries::directory(partner, &samples)?;
    deliveries::receipts(&executions)?;
    deliveries::late_and_doubled_events(stack, &executions[0], &samples[0]).await?;
    collections::of_the_partners_files(stack, partner).await?;
    failure::and_repair(stack, partner).await
}
