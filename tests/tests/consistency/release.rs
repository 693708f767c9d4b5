//! One version, in every place that says it; and the SFTP client as a crate of its own.

use bridge::VERSION;
use integration_tests::cli;
use integration_tests::template::template;
use regex_lite::Regex;

use crate::read;

#[test]
fn every_place_says_the_version_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let (_, package) = manifest.split_once("\n[workspace.package]\n").unwrap();
    assert!(package.starts_with(&format!("version = \"{VERSION}\"\n")), "Cargo.toml: {VERSION}");
    let template = template();
    for line in [format!("\n  S3 SFTP Bridge {VERSION}: "), format!("\n    Value: \"{VERSION}\"\n")] {
        assert_eq!(template.matches(&line).count(), 1, "sam/template.yaml: {line:?}");
    }
    let (_, outputs) = template.split_once("\nOutputs:\n").unwrap();
    assert!(outputs.starts_with("  Version:\n"), "the output `Version`");
    let release = Regex::new(r"(?m)^## \[([0-9.]+)\]").unwrap();
    let changelog = read("CHANGELOG.md");
    assert_eq!(&release.captures(&changelog).unwrap()[1], VERSION, "CHANGELOG.md: the newest release");
}

#[test]
fn no_package_has_a_version_of_its_own() {
    for folder in ["crates", "functions"] {
        let entries = std::fs::read_dir(integration_tests::tools::workspace().join(folder)).unwrap();
        for path in entries.map(|entry| entry.unwrap().path().join("Cargo.toml")) {
            let manifest = std::fs::read_to_string(&path).unwrap();
            assert!(manifest.contains("\nversion.workspace = true\n"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn the_command_line_says_its_version() {
    let ran = cli::run(cli::operate(Vec::new(), &["--version"]).await).await;
    assert_eq!((ran.status, ran.stdout), (0, format!("s3-sftp-bridge {VERSION}\n")));
}
