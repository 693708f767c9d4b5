//! The real programs.

use std::path::{Path, PathBuf};

use bridge::Proof;
use integration_tests::keys::Kind;
use integration_tests::partner::{Options, Partner};
use integration_tests::servers::Server;
use integration_tests::{skip, tools};

use super::{Case, Differs, SettingsOfRow, inspect};
use crate::support::Delivery;

async fn open_ssh(name: &'static str, options: Options, settings: SettingsOfRow) {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip(&format!("{name}: OpenSSH's server is not available here"));
    };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    let version = inspect::identification(&partner).await;
    let case = Case::new(name, version, Delivery::to(partner), settings, &[]);
    let facts = inspect::facts(&case.delivery).await;
    case.run(Some(facts)).await;
}

async fn program(name: &'static str, server: Server, differs: Differs) {
    let Some(software) = server.install().await.unwrap() else {
        return skip(&format!(
            "{name}: it is not available here, neither among the distribution's packages nor from npm"
        ));
    };
    let version = software.version.clone();
    let mut options = Options::default();
    if server == Server::TinySsh {
        // It trusts no folder below one that others may write to.
        let Some(parent) = private_folder() else {
            return skip(&format!("{name}: this folder is below one that others may write to"));
        };
        options.parent = Some(parent);
    }
    let partner = Partner::program(software, options).await.unwrap();
    let case = Case::new(name, version, Delivery::to(partner), &[], differs);
    let facts = inspect::facts(&case.delivery).await;
    case.run(Some(facts)).await;
}

/// A folder where only its owner and root may write, like all folders above it.
fn private_folder() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let folder = tools::workspace().join("target/partners");
    std::fs::create_dir_all(&folder).unwrap();
    let private = |path: &Path| {
        let metadata = std::fs::metadata(path).unwrap();
        metadata.mode() & 0o022 == 0 && metadata.uid() == 0
    };
    folder.ancestors().all(private).then_some(folder)
}

#[tokio::test]
async fn compatibility_open_ssh() {
    open_ssh("OpenSSH", Options::default(), &[]).await;
}

#[tokio::test]
async fn compatibility_open_ssh_chrooted() {
    let name = "OpenSSH, chrooted";
    if !tools::is_root().await {
        return skip(&format!("{name}: only root may do that to itself"));
    }
    let Some(parent) = private_folder() else {
        return skip(&format!("{name}: this folder is below one that others may write to"));
    };
    let settings = "ChrootDirectory FOLDER\nForceCommand internal-sftp -d /files\n".to_owned();
    open_ssh(name, Options { settings, parent: Some(parent), ..Options::default() }, &[]).await;
}

/// As servers were set up before 2014, and are still found.
#[tokio::test]
async fn compatibility_open_ssh_with_old_algorithms() {
    let settings = "KexAlgorithms diffie-hellman-group14-sha1\nHostKeyAlgorithms ssh-rsa\n\
                    Ciphers aes128-cbc\nMACs hmac-sha1\nPubkeyAcceptedAlgorithms +ssh-rsa\n";
    let options = Options { settings: settings.to_owned(), host_key: Kind::Rsa(2048), ..Options::default() };
    open_ssh("OpenSSH, old algorithms", options, &[("SFTP_ALGORITHMS", "legacy")]).await;
}

#[tokio::test]
async fn compatibility_proftpd() {
    program("ProFTPD mod_sftp", Server::ProFtpd, &[("auto", "server hash", ""), ("hash", "ok", "")]).await;
}

/// Its server hashes nothing that begins at the end of a file.
#[tokio::test]
async fn an_empty_file_is_proved_where_a_hash_is_demanded() {
    let Some(software) = Server::ProFtpd.install().await.unwrap() else {
        return skip("an empty file and ProFTPD's hash: it is not available here");
    };
    let mut delivery = Delivery::to(Partner::program(software, Options::default()).await.unwrap());
    delivery.set("SFTP_PROOF", "hash");
    delivery.put("empty.csv", 0);
    delivery.put("file.csv", 1);
    assert_eq!(delivery.delivers("empty.csv", 0).await.proof, Some(Proof::Size));
    assert_eq!(delivery.delivers("file.csv", 1).await.proof, Some(Proof::ServerHash));
}

#[tokio::test]
async fn compatibility_dropbear_with_openssh() {
    program("Dropbear with OpenSSH's sftp-server", Server::Dropbear, &[]).await;
}

#[tokio::test]
async fn compatibility_dropbear_with_green_end() {
    program("Dropbear with Green End's gesftpserver", Server::GreenEnd, &[]).await;
}

#[tokio::test]
async fn compatibility_tinyssh() {
    program("TinySSH with OpenSSH's sftp-server", Server::TinySsh, &[]).await;
}

#[tokio::test]
async fn compatibility_asyncssh() {
    program("AsyncSSH", Server::AsyncSsh, &[]).await;
}

#[tokio::test]
async fn compatibility_paramiko() {
    let differs: Differs = &[
        ("overwriting", "ok, moved aside", "it does not announce `posix-rename`"),
        ("hash", "`InvalidConfig`", "it announces `check-file`, but hashes with MD5 and SHA-1 only"),
    ];
    program("Paramiko", Server::Paramiko, differs).await;
}

/// Its answer has another form than ProFTPD's. As it comes, it knows neither SHA-256 nor the request by that name; and of
/// more than 64 KiB it makes a wrong hash.
#[tokio::test]
async fn the_hash_of_paramiko_is_understood() {
    let software = Server::ParamikoSha256.install().await.unwrap().unwrap();
    let mut delivery = Delivery::to(Partner::program(software, Options::default()).await.unwrap());
    delivery.set("SFTP_PROOF", "hash");
    delivery.put("file.bin", 50_000);
    assert_eq!(delivery.delivers("file.bin", 50_000).await.proof, Some(Proof::ServerHash));
}

#[tokio::test]
async fn compatibility_conch() {
    const NAMES: &str = "`RemoteFailure`: umlauts, emoji";
    const COLLECTED: &str = "not listed: umlauts, emoji";
    let differs: Differs = &[
        ("names", NAMES, "it accepts only names in ASCII"),
        ("collected", COLLECTED, "it does not list directories with such names; a warning names them"),
    ];
    program("Twisted Conch", Server::Conch, differs).await;
}

#[tokio::test]
async fn compatibility_ssh2() {
    let differs: Differs = &[("overwriting", "ok, moved aside", "it has no `posix-rename`")];
    program("ssh2 for Node.js", Server::Ssh2, differs).await;
}

#[tokio::test]
async fn compatibility_pkg_sftp() {
    program("Go's pkg/sftp", Server::PkgSftp, &[]).await;
}

#[tokio::test]
async fn compatibility_rclone_with_a_cache() {
    program("rclone (Go pkg/sftp) with a cache", Server::RcloneCached, &[]).await;
}

#[tokio::test]
async fn compatibility_rclone() {
    const WHY: &str = "it forwards a file while it arrives, and cannot resume in the middle";
    let differs: Differs = &[("cut and resumed", "ok, from the start", WHY)];
    program("rclone (Go pkg/sftp)", Server::Rclone, differs).await;
}
