//! Several connections that read one file, and servers and networks that will have none of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bridge::collect::{CollectOutcome, RemoteFile};
use integration_tests::embedded::Quirks;
use integration_tests::fault_proxy::Fault;
use integration_tests::partner::Partner;

use crate::collection::{Collection, date};
use crate::support::{MIB, wait_until};

/// Enough for four connections.
const LENGTH: u64 = 160 * MIB;

async fn with_four() -> Collection {
    let mut collection = Collection::new().await;
    collection.set("SFTP_MAX_CONNECTIONS", 4);
    collection
}

/// Collects the file without a new session, and without reading anything twice.
async fn collects_at_once(collection: &Collection, file: &RemoteFile) {
    let verified = collection.process().await.collects(file).await;
    assert_eq!((verified.report.resumes, verified.report.bytes_read), (0, LENGTH));
    collection.assert_stored(&file.path, file);
}

#[tokio::test]
async fn several_connections_read_one_file_and_are_closed_after_it() {
    let mut collection = with_four().await;
    let file = collection.leave_pattern("wide.bin", LENGTH);
    let proxy = collection.through_proxy(Fault::Rate(10_000_000)).await;
    let process = collection.process().await;
    let started = std::time::Instant::now();
    let verified = process.collects(&file).await;
    println!("{:?} for 160 MiB by {} connections", started.elapsed(), proxy.connections());
    assert_eq!((proxy.connections(), proxy.open_max()), (4, 4));
    // One connection alone takes 17 s.
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!((verified.report.resumes, verified.report.bytes_read), (0, LENGTH));
    collection.assert_stored("wide.bin", &file);
    wait_until("only the first is kept", || proxy.open() <= 1).await;
    process.disconnect().await;
    wait_until("all are closed", || proxy.open() == 0).await;
}

#[tokio::test]
async fn a_small_file_and_the_default_take_one_connection() {
    let mut collection = with_four().await;
    let small = collection.leave_pattern("small.bin", 60 * MIB);
    let large = collection.leave_pattern("large.bin", LENGTH);
    let proxy = collection.through_proxy(Fault::None).await;
    collection.process().await.collects(&small).await;
    assert_eq!(proxy.connections(), 1);
    collection.variables.remove("SFTP_MAX_CONNECTIONS");
    collection.process().await.collects(&large).await;
    assert_eq!(proxy.connections(), 2, "one for each process");
}

#[tokio::test]
async fn a_server_that_allows_one_connection_is_read_over_one() {
    let quirks = Quirks { connections_max: Some(1), ..Quirks::default() };
    let mut collection = Collection::from(Partner::embedded(quirks).await.unwrap());
    collection.set("SFTP_MAX_CONNECTIONS", 4);
    let file = collection.leave_pattern("one.bin", LENGTH);
    collects_at_once(&collection, &file).await;
}

/// Each further one in the middle of what it reads. The first one goes on.
#[tokio::test]
async fn a_further_connection_that_is_cut_costs_no_new_session() {
    let mut collection = with_four().await;
    let file = collection.leave_pattern("cut.bin", LENGTH);
    let proxy = collection.through_proxy(Fault::CutFurtherAnswersAfter(10 * MIB)).await;
    collects_at_once(&collection, &file).await;
    assert_eq!(proxy.connections(), 4, "none is opened in its place");
}

#[tokio::test]
async fn connections_that_are_all_cut_are_followed_by_one() {
    let mut collection = with_four().await;
    let file = collection.leave_pattern("cut.bin", LENGTH);
    let proxy = collection.through_proxy(Fault::CutAnswersAfter(24 * MIB)).await;
    let process = collection.process().await;
    let verified = process.collects(&file).await;
    assert_eq!(verified.report.bytes_read, LENGTH, "what was taken is not read again");
    let (resumes, connections) = (u64::from(verified.report.resumes), proxy.connections());
    assert!(resumes >= 3 && connections <= resumes + 4, "{resumes} resumes, {connections} connections");
    collection.assert_stored("cut.bin", &file);
    process.disconnect().await;
    wait_until("all are closed", || proxy.open() == 0).await;
}

/// Two files of the same size that change places.
struct Swap {
    ours: PathBuf,
    other: PathBuf,
    is_swapped: AtomicBool,
}

impl Swap {
    fn with_another(collection: &Collection) -> Arc<Self> {
        let (ours, other) = (collection.local("swapped.bin"), collection.partner.root.join("another"));
        std::fs::write(&other, vec![7; LENGTH as usize]).unwrap();
        date(&other, 1_700_000_001);
        Arc::new(Self { ours, other, is_swapped: AtomicBool::new(false) })
    }

    fn swapped(&self, is_swapped: bool) {
        if self.is_swapped.swap(is_swapped, Ordering::Relaxed) != is_swapped {
            let aside = self.other.with_file_name("aside");
            for (from, to) in [(&self.ours, &aside), (&self.other, &self.ours), (&aside, &self.other)] {
                std::fs::rename(from, to).unwrap();
            }
        }
    }
}

/// So far away that the further connections open the file while another has its name.
const FAR: Fault = Fault::Delay(Duration::from_millis(25));

#[tokio::test]
async fn a_file_that_is_replaced_while_connections_are_opened_is_not_mixed_with_another() {
    let mut collection = with_four().await;
    let file = collection.leave_pattern("swapped.bin", LENGTH);
    let swap = Swap::with_another(&collection);
    let proxy = collection.through_proxy(FAR).await;
    // It is back in the end: then only the first connection has read, and what it had open is whole.
    let swapping = Arc::clone(&swap);
    let process = collection
        .process_with(Arc::new(move |read, _| swapping.swapped((1..LENGTH - 8 * MIB).contains(&read))))
        .await;
    process.collects(&file).await;
    assert_eq!(proxy.connections(), 4);
    collection.assert_stored("swapped.bin", &file);
    // It stays away.
    collection.source.remove("collected/swapped.bin");
    let swapping = Arc::clone(&swap);
    let process = collection.process_with(Arc::new(move |read, _| swapping.swapped(read > 0))).await;
    assert_eq!(process.ends(&file).await.outcome, CollectOutcome::Changed);
    collection.assert_nothing_stored();
}

/// The other file has the same time while the connections open it, and another one in the end.
#[tokio::test]
async fn what_was_read_of_two_files_is_read_again() {
    let mut collection = with_four().await;
    let file = collection.leave_pattern("swapped.bin", LENGTH);
    let swap = Swap::with_another(&collection);
    date(&swap.other, file.modified.unwrap().into());
    let _proxy = collection.through_proxy(FAR).await;
    let is_back = AtomicBool::new(false);
    let process = collection
        .process_with(Arc::new(move |read, _| {
            if read >= LENGTH - 8 * MIB && !is_back.swap(true, Ordering::Relaxed) {
                swap.swapped(false);
                date(&swap.other, 1_700_000_001);
            } else if read > 0 && !is_back.load(Ordering::Relaxed) {
                swap.swapped(true);
            }
        }))
        .await;
    let verified = process.collects(&file).await;
    assert_eq!(verified.report.restarts, 1);
    let [warning] = &verified.report.warnings[..] else { panic!("{:?}", verified.report) };
    assert!(warning.contains("on a further connection the file was modified at 1700000001"), "{warning}");
    collection.assert_stored("swapped.bin", &file);
}
