//! One version, in every place that says it; and the SFTP client as a crate of its own.

use bridge::VERSION;
use integration_tests::cli;
use integration_tests::template::template;
use regex_lite::Regex;
use serde_json::Value;

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

/// What a registry needs of a package. `cargo publish --dry-run` also builds it, which takes too long here.
#[test]
fn the_sftp_client_and_its_terms_can_be_published_and_nothing_else() {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(integration_tests::tools::workspace()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let published: Vec<&Value> = packages.filter(|package| package["publish"].is_null()).collect();
    let mut names: Vec<&str> = published.iter().map(|package| package["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["pinned-sftp", "pinned-sftp-terms"]);
    for package in published {
        let name = &package["name"];
        for field in ["description", "documentation", "license", "readme", "rust_version"] {
            assert!(package[field].as_str().is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        let words = |field: &str| package[field].as_array().unwrap().len();
        assert!((1..=5).contains(&words("keywords")) && (1..=5).contains(&words("categories")), "{name}");
        for dependency in package["dependencies"].as_array().unwrap() {
            let of_us = dependency["path"].is_string();
            assert!(!of_us || names.contains(&dependency["name"].as_str().unwrap()), "{name}: {dependency}");
            assert_ne!(dependency["req"], "*", "{name}: {dependency}");
        }
    }
    let manifest = read("Cargo.toml");
    let of_us = manifest.lines().filter(|line| line.contains("package = \"pinned-sftp"));
    assert!(
        of_us.clone().count() == 2
            && of_us.clone().all(|line| line.contains(&format!("version = \"{VERSION}\"")))
    );
}

#[tokio::test]
async fn the_command_line_says_its_version() {
    let ran = cli::run(cli::operate(Vec::new(), &["--version"]).await).await;
    assert_eq!((ran.status, ran.stdout), (0, format!("s3-sftp-bridge {VERSION}\n")));
}
