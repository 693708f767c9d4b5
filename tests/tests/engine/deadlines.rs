//! A call answers before its deadline, whatever the server does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Outcome, Phase};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use tokio::task::JoinSet;

use crate::support::{Delivery, MIB};

const SLICE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn silence_at_any_moment_of_a_transfer() {
    const LENGTH: u64 = 8 * MIB;
    let mut delivery = Delivery::new().await;
    delivery.slice = Some(SLICE);
    delivery.put("silent.bin", LENGTH);
    // From the identification through key exchange, log-in and the first WRITE to the last bytes.
    let moments = [0, 30, 1500, 2000, 2600, 3000, 4000, MIB, 5 * MIB, LENGTH - MIB];
    let delivery = Arc::new(delivery);
    let mut calls: JoinSet<()> =
        moments.into_iter().map(|moment| silence_after(Arc::clone(&delivery), moment)).collect();
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

async fn silence_after(delivery: Arc<Delivery>, moment: u64) {
    let proxy = FaultProxy::start(delivery.partner.port).await.unwrap();
    proxy.set(Fault::SwallowAfter(moment)).await;
    let mut variables = delivery.variables.clone();
    variables.insert("SFTP_PORT".into(), proxy.port.to_string());
    variables.insert("SFTP_LOCATION".into(), format!("at-{moment}"));
    let process = delivery.process_with(&variables);
    let started = Instant::now();
    let outcome = process.transfer("silent.bin", None, 0).await;
    assert!(started.elapsed() < SLICE, "{moment}: {:?}", started.elapsed());
    match outcome {
        Ok(progress) => {
            let checkpoint = progress.checkpoint().unwrap();
            assert_eq!(checkpoint.phase, Phase::Sending, "{moment}");
            assert!(checkpoint.sent.offset > 0 && moment >= MIB, "{moment}: {}", checkpoint.sent.offset);
        }
        Err(error) => {
            let lost = error.name.is_connection_failure();
            assert!(lost && moment < MIB, "{moment}: {error}");
        }
    }
}

#[tokio::test]
async fn silence_while_reading_back() {
    const LENGTH: u64 = 24 * MIB;
    let mut delivery = Delivery::new().await;
    delivery.put("silent.bin", LENGTH);
    let (complete, _) = delivery.process().transfer_all("silent.bin", 0).await.unwrap();
    delivery.slice = Some(SLICE);
    let proxy = delivery.through_proxy(Fault::None).await;
    // Once nothing was read, once half of it. The second is by the clock: what the client sends says nothing.
    for (moment, rate) in [(0, None), (2000, None), (u64::MAX, Some(8_000_000))] {
        let started = Instant::now();
        proxy.set(rate.map_or(Fault::SwallowAfter(moment), Fault::Rate)).await;
        let silence = async {
            if rate.is_some() {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                proxy.set(Fault::Swallow).await;
            }
        };
        let process = delivery.process();
        let (outcome, ()) = tokio::join!(process.verify("silent.bin", complete.clone()), silence);
        assert!(started.elapsed() < SLICE, "{moment}: {:?}", started.elapsed());
        match outcome {
            Ok(progress) => {
                assert!(rate.is_some(), "{moment}");
                let mut checkpoint = progress.checkpoint().expect("there is more to read");
                let read_back = checkpoint.phase.reading().unwrap().read_back.as_ref();
                assert!(read_back.unwrap().offset > 0);
            }
            Err(error) => {
                let lost = error.name.is_connection_failure();
                assert!(lost && rate.is_none(), "{moment}: {error}");
            }
        }
    }
}

/// The partial file of a version that was superseded is removed, but not at the price of the answer.
#[tokio::test]
async fn silence_while_a_superseded_partial_file_is_removed() {
    let mut delivery = Delivery::new().await;
    delivery.put("superseded.bin", 8 * MIB);
    let proxy = delivery.through_proxy(Fault::RefuseAfter(4 * MIB)).await;
    let checkpoint = delivery.process().transfer("superseded.bin", None, 0).await.unwrap().checkpoint();
    delivery.put("superseded.bin", MIB);
    delivery.slice = Some(SLICE);
    proxy.set(Fault::Swallow).await;
    let started = Instant::now();
    let progress = delivery.process().transfer("superseded.bin", checkpoint, 0).await.unwrap();
    assert_eq!(progress.receipt().unwrap().outcome, Outcome::Superseded);
    assert!(started.elapsed() < SLICE, "{:?}", started.elapsed());
}
