//! Servers that cannot be installed, played by the one inside the test.

use std::time::Duration;

use integration_tests::embedded::{Quirks, Setstat, Sweep};
use integration_tests::partner::Partner;

use super::{Case, Differs, SettingsOfRow};
use crate::support::Delivery;

async fn plays(name: &'static str, quirks: Quirks, settings: SettingsOfRow, differs: Differs) {
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    Case::new(name, "played".into(), delivery, settings, differs).run(None).await;
}

/// What servers need that cannot rename.
const DIRECT: SettingsOfRow = &[("SFTP_PUBLISH", "direct")];

const MOVED_ASIDE: &str = "ok, moved aside";
const CONFIG: &str = "`InvalidConfig`";
const FULL: &str = "`RemoteFull`";

#[tokio::test]
async fn compatibility_apache_mina() {
    const WHY: &str = "the test plays the status codes 9, 11 and 18, handles of random bytes, a STATUS without strings, and a \
                       server that does not rename onto an existing name";
    let quirks = Quirks { later_codes: true, no_posix_rename: true, ..Quirks::default() };
    plays("Apache MINA, IBM Sterling", quirks, &[], &[("overwriting", MOVED_ASIDE, WHY)]).await;
}

#[tokio::test]
async fn compatibility_transfer_family() {
    let quirks = Quirks { no_mixed_open: true, setstat: Setstat::Refused, ..Quirks::default() };
    plays("AWS Transfer Family", quirks, &[], &[]).await;
}

#[tokio::test]
async fn compatibility_transfer_family_without_stat() {
    const WHY: &str = "the server does not show the size of the partial file";
    const UNTOLD: &str = "the server does not show it";
    let quirks =
        Quirks { no_mixed_open: true, setstat: Setstat::Refused, no_stat: true, ..Quirks::default() };
    const LOOK: &str = "nothing is collected that cannot be looked at";
    let differs: Differs = &[
        ("cut and resumed", "ok, from the start", WHY),
        ("size", CONFIG, UNTOLD),
        ("collected", "`RemoteUnreadable`", LOOK),
    ];
    plays("AWS Transfer Family, stat denied", quirks, &[], differs).await;
}

#[tokio::test]
async fn compatibility_azure_blob() {
    const BLOCKS: &str = "the server accepts a limited number of WRITEs for one file: here 1,000, which are 31 MiB. The real one \
                          is said to accept 50,000 (1.5 GiB), unless it announces WRITEs larger than 32 KiB";
    let quirks = Quirks { no_posix_rename: true, writes_max: Some(1000), ..Quirks::default() };
    let differs: Differs = &[
        ("100 MiB", "`RemoteFailure`", BLOCKS),
        ("overwriting", MOVED_ASIDE, "it does not rename onto an existing name"),
    ];
    plays("Azure Blob", quirks, &[], differs).await;
}

#[tokio::test]
async fn compatibility_minio() {
    let quirks = Quirks { no_rename: true, ..Quirks::default() };
    const WHY: &str = "it cannot rename, and a warning says so; `COLLECT_AFTERWARDS=delete` works";
    plays("MinIO", quirks, DIRECT, &[("collected", "kept: archive", WHY)]).await;
}

#[tokio::test]
async fn compatibility_drop_box_swept_at_close() {
    let quirks = Quirks { sweep: Some(Sweep::AtClose), ..Quirks::default() };
    const GONE: &str = "the file is gone before it can be proved";
    let differs: Differs = &[("auto", "unverified", GONE), ("read-back", CONFIG, ""), ("size", CONFIG, "")];
    plays("drop box, swept at close", quirks, DIRECT, differs).await;
}

#[tokio::test]
async fn compatibility_drop_box_swept_after_the_rename() {
    let quirks = Quirks { sweep: Some(Sweep::AfterRename), ..Quirks::default() };
    const WHY: &str = "what is moved is swept, too, and a warning says that it is not there";
    plays("drop box, swept after the rename", quirks, &[], &[("collected", "swept: archive, delete", WHY)])
        .await;
}

#[tokio::test]
async fn compatibility_write_only_directory() {
    const BLIND: &str = "nothing can be seen or read";
    let quirks = Quirks { write_only: true, ..Quirks::default() };
    let differs: Differs = &[
        ("cut and resumed", "ok, from the start", BLIND),
        ("auto", "unverified", BLIND),
        ("read-back", CONFIG, ""),
        ("size", CONFIG, ""),
        ("collected", "`RemoteUnreadable`", ""),
    ];
    plays("write-only directory", quirks, &[], differs).await;
}

#[tokio::test]
async fn compatibility_one_session_only() {
    let quirks = Quirks { one_channel: true, connections_max: Some(1), ..Quirks::default() };
    plays("one session only", quirks, &[("SFTP_KEEP_CONNECTION", "0")], &[]).await;
}

#[tokio::test]
async fn compatibility_slow_close() {
    let quirks = Quirks { slow_close: Duration::from_millis(500), ..Quirks::default() };
    plays("slow CLOSE", quirks, &[], &[]).await;
}

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn compatibility_quota_on_write() {
    const WHY: &str = "the quota is 1 MiB";
    let quirks = Quirks { capacity: Some(MIB), ..Quirks::default() };
    let differs: Differs = &[("5 MiB", FULL, WHY), ("100 MiB", FULL, ""), ("cut and resumed", FULL, "")];
    plays("quota, on the last WRITE", quirks, &[], differs).await;
}

#[tokio::test]
async fn compatibility_quota_on_close() {
    const WHY: &str = "the quota is 1 MiB";
    let quirks = Quirks { capacity_at_close: Some(MIB), ..Quirks::default() };
    let differs: Differs = &[("5 MiB", FULL, WHY), ("100 MiB", FULL, ""), ("cut and resumed", FULL, "")];
    plays("quota, on CLOSE", quirks, &[], differs).await;
}
