//! The files for GitHub. Nothing here can run them; at least they are YAML, and say what they should.

use integration_tests::tools::workspace;
use regex_lite::Regex;
use saphyr::{LoadableYamlNode, Yaml};

use crate::read;

fn load(path: &str) -> Yaml<'static> {
    let text = read(path);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let [document]: [Yaml<'static>; 1] = documents.try_into().unwrap();
    document
}

fn texts<'a>(steps: &'a Yaml<'static>, field: &str) -> Vec<&'a str> {
    let steps = steps.as_sequence().unwrap();
    steps.iter().filter_map(|step| step.as_mapping_get(field)?.as_str()).collect()
}

#[test]
fn ci_runs_the_commands_of_the_readme_with_the_toolchain_of_the_workspace() {
    let workflow = load(".github/workflows/ci.yml");
    let readme = read("README.md");
    let commands = readme.lines().filter(|line| line.starts_with("cargo xtask "));
    let run = texts(&workflow["jobs"]["test"]["steps"], "run");
    let run: Vec<&str> = run.into_iter().filter(|command| command.starts_with("cargo xtask ")).collect();
    assert_eq!(run, commands.collect::<Vec<_>>());
    assert!(texts(&workflow["jobs"]["package"]["steps"], "run").contains(&"cargo xtask package --twice"));

    let toolchain = workflow["env"]["TOOLCHAIN"].as_str().unwrap();
    assert!(read("Cargo.toml").contains(&format!("\nrust-version = \"{toolchain}\"\n")), "{toolchain}");
}

/// An artifact that is made of files has no modes: the command line in a package's folder could not be run.
#[test]
fn ci_keeps_the_archives_and_their_sums_and_not_the_folders() {
    let workflow = load(".github/workflows/ci.yml");
    let steps = workflow["jobs"]["package"]["steps"].as_sequence().unwrap();
    let kept = steps.iter().filter_map(|step| step.as_mapping_get("with")?.as_mapping_get("path")?.as_str());
    let kept: Vec<&str> = kept.flat_map(str::lines).collect();
    assert_eq!(kept, ["target/package/*.zip", "target/package/*.zip.sha256"]);
}

#[test]
fn actions_are_pinned_to_a_commit() {
    let pinned = Regex::new(r"^[a-z-]+/[a-z-]+@[0-9a-f]{40}$").unwrap();
    let workflow = load(".github/workflows/ci.yml");
    let jobs = workflow["jobs"].as_mapping().unwrap();
    let used: Vec<&str> = jobs.values().flat_map(|job| texts(&job["steps"], "uses")).collect();
    assert!(used.len() >= 2 && used.iter().all(|action| pinned.is_match(action)), "{used:?}");
}

#[test]
fn a_report_of_a_problem_has_the_version_the_error_and_the_doctors_json() {
    let form = load(".github/ISSUE_TEMPLATE/problem.yml");
    let fields = form["body"].as_sequence().unwrap();
    let field = |id: &str| {
        let found = fields.iter().find(|field| field.as_mapping_get("id").and_then(Yaml::as_str) == Some(id));
        found.unwrap_or_else(|| panic!("the form has no field {id}"))
    };
    for id in ["version", "error", "doctor"] {
        assert_eq!(field(id)["validations"]["required"].as_bool(), Some(true), "{id}");
    }
    assert!(field("doctor")["attributes"]["description"].as_str().unwrap().contains("--json"));
    let first = fields[0]["attributes"]["value"].as_str().unwrap();
    assert!(first.starts_with("**Paste no private key"), "{first}");
    let files = std::fs::read_dir(workspace().join(".github/ISSUE_TEMPLATE")).unwrap();
    for file in files {
        load(&format!(".github/ISSUE_TEMPLATE/{}", file.unwrap().file_name().to_string_lossy()));
    }
}
