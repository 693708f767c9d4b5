//! The Markdown files: every relative link leads to a file and a heading that exist, files that are named exist, prose
//! is wrapped, and the README stays short.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use integration_tests::tools::workspace;
use regex_lite::Regex;

/// Maximum length of `README.md`, in lines.
const README_LINES_MAX: usize = 120;

/// Maximum width of prose, in characters.
const WIDTH_MAX: usize = 120;

/// Written by `cargo xtask`, a line for each fact.
const GENERATED: [&str; 3] = ["docs/compatibility.md", "docs/settings.md", "crates/sftp/README.md"];

/// The Markdown files of the repository, relative to its root.
fn documents() -> Vec<PathBuf> {
    files_that_end_in("md")
}

/// The Rust files of the repository, relative to its root.
fn sources() -> Vec<PathBuf> {
    files_that_end_in("rs")
}

fn files_that_end_in(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_generated = name.starts_with('.') || name == "target" || name == "node_modules";
            if path.is_dir() && !is_generated {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(workspace()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let marker = line.trim_start().get(..3).filter(|start| ["```", "~~~"].contains(start));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => lines.push((index + 1, line)),
            _ => {}
        }
    }
    lines
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap();
    let mut seen = BTreeMap::<String, u32>::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let words = link.replace_all(heading.trim(), "$1").to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// The targets of the links in a document, with the lines on which they begin.
fn links(text: &str) -> Vec<(usize, String)> {
    let inline = Regex::new(r"\]\(\s*<?([^)\s>]+)").unwrap();
    let reference = Regex::new(r"^\[[^\]]+\]:\s*(\S+)").unwrap();
    let code = Regex::new(r"`[^`]*`").unwrap();
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = code.replace_all(line, "code");
        let targets = inline.captures_iter(&line).chain(reference.captures_iter(&line));
        found.extend(targets.map(|target| (number, target[1].to_owned())));
    }
    found
}

/// Not a web page. A link to an item in rustdoc's form counts as relative: crates.io cannot follow it.
fn is_relative(target: &str) -> bool {
    !["http:", "https:", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// `docs/../README.md` is `README.md`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Why the target of a link in this document does not exist.
fn broken(document: &Path, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match path {
        "" => document.to_owned(),
        path => normal(&document.parent().unwrap().join(path)),
    };
    let file = workspace().join(&path);
    if !file.exists() {
        return Some(format!("{} does not exist", path.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    (!anchors(&text).contains(anchor)).then(|| format!("{} has no heading #{anchor}", path.display()))
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in documents() {
        let text = std::fs::read_to_string(workspace().join(&document)).unwrap();
        for (line, target) in links(&text).into_iter().filter(|(_, target)| is_relative(target)) {
            count += 1;
            if let Some(why) = broken(&document, &target) {
                wrong.push(format!("{}:{line}: ({target}): {why}", document.display()));
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    assert!(wrong.is_empty(), "broken links:\n{}", wrong.join("\n"));
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text = "# A, b & `c_d`\n```sh\n# no heading\n```\n## [Linked](x.md) e-f\n## Twice\n## Twice\n";
    let expected = ["a-b--c_d", "linked-e-f", "twice", "twice-1"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
}

#[test]
fn links_are_found_and_code_is_not_searched() {
    let text = "a [b](c.md#d), [e](<f.md>)\n`[g](h.md)`\n```\n[i](j.md)\n```\n[k]: l.md\n![m](n.svg)\n";
    let found: Vec<(usize, String)> = [(1, "c.md#d"), (1, "f.md"), (6, "l.md"), (7, "n.svg")]
        .map(|(line, target)| (line, target.into()))
        .into();
    assert_eq!(links(text), found);
}

/// Rustdoc does not check the addresses of its own pages.
#[test]
fn the_front_page_of_the_sftp_client_leads_to_what_it_exports() {
    let source = |folder: &str| {
        let files = sources().into_iter().filter(|path| path.starts_with(folder));
        files.map(|path| std::fs::read_to_string(workspace().join(path)).unwrap()).collect::<String>()
    };
    let (sftp, terms) = (source("crates/sftp/src"), source("crates/terms/src"));
    let exports = std::fs::read_to_string(workspace().join("crates/sftp/src/lib.rs")).unwrap();
    let page = Regex::new(
        r"^https://docs\.rs/pinned-sftp/latest/sftp/([a-z]+)[./]([A-Za-z_]+)\.html(?:#([a-z]+)\.([A-Za-z_]+))?$",
    );
    let page = page.unwrap();
    let readme = std::fs::read_to_string(workspace().join("crates/sftp/README.md")).unwrap();
    let targets: Vec<String> = links(&readme).into_iter().map(|(_, target)| target).collect();
    let found: Vec<_> = targets.iter().filter_map(|target| page.captures(target)).collect();
    let of_docs_rs = targets.iter().filter(|target| target.contains("docs.rs/pinned-sftp")).count();
    assert!(found.len() > 10 && found.len() == of_docs_rs, "{targets:#?}");
    // Rustdoc finds an item for a name without an address. Other pages do not.
    for name in Regex::new(r"\[`[^`]+`\]").unwrap().find_iter(&readme).map(|name| name.as_str()) {
        assert!(readme.contains(&format!("\n{name}: https://")), "{name} has no address");
    }
    for link in found {
        let (kind, name) = (&link[1], &link[2]);
        let declared = match kind {
            "constant" => format!("pub const {name}:"),
            "struct" | "enum" | "trait" => format!("pub {kind} {name}"),
            module => format!("pub mod {module};"),
        };
        assert!(sftp.contains(&declared) || terms.contains(&declared), "{}: no {declared}", &link[0]);
        let exported = if name == "index" { kind } else { name };
        let exported = Regex::new(&format!(r"\b{exported}\b")).unwrap();
        assert!(exported.is_match(&exports), "{} is not exported", &link[0]);
        if let (Some(part), Some(of)) = (link.get(3), link.get(4)) {
            let start = if part.as_str() == "method" { r"pub (?:async )?fn " } else { r"(?m)^    " };
            let part = Regex::new(&format!(r"{start}{}\b", of.as_str())).unwrap();
            assert!(part.is_match(&sftp), "{}: no {part}", &link[0]);
        }
    }
}

#[test]
fn the_readme_fits_on_two_screens() {
    let lines = std::fs::read_to_string(workspace().join("README.md")).unwrap().lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, and may have {README_LINES_MAX}");
}

/// Tables, headings, code, and a line that is one long link or path may be wider.
#[test]
fn prose_is_wrapped() {
    let mut wrong = Vec::new();
    for document in documents().into_iter().filter(|path| !GENERATED.iter().any(|name| path.ends_with(name)))
    {
        let text = std::fs::read_to_string(workspace().join(&document)).unwrap();
        for (number, line) in prose(&text) {
            let is_free = line.trim_start().starts_with(['|', '#']) || line.split_whitespace().count() < 4;
            if !is_free && line.chars().count() > WIDTH_MAX {
                wrong.push(format!("{}:{number}: {} characters", document.display(), line.chars().count()));
            }
        }
    }
    assert!(wrong.is_empty(), "prose wider than {WIDTH_MAX} characters:\n{}", wrong.join("\n"));
}

/// Decision records tell how it was when they were written; everything else must name what is there.
#[test]
fn files_and_folders_that_documents_name_exist() {
    let sources = sources();
    let folders =
        ["crates/", "functions/", "tests/", "xtask/", "docs/", "sam/", "statemachine/", "terraform/"];
    let code = Regex::new(r"`([A-Za-z0-9_./-]+)`").unwrap();
    let mut wrong = Vec::new();
    for document in documents().into_iter().filter(|path| !path.starts_with("docs/decisions")) {
        let text = std::fs::read_to_string(workspace().join(&document)).unwrap();
        for (number, line) in prose(&text) {
            for name in code.captures_iter(line).map(|found| found[1].to_owned()) {
                let in_tree = folders.iter().any(|folder| name.starts_with(folder));
                let is_source = name.ends_with(".rs");
                let exists = in_tree && workspace().join(&name).exists()
                    || is_source && sources.iter().any(|path| path.ends_with(&name));
                if (in_tree || is_source) && !exists {
                    wrong.push(format!("{}:{number}: `{name}` does not exist", document.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
