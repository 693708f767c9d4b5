//! No file of a crate imports another one in a circle: neither two files each other, nor a longer circle.
//!
//! The source is read with a small parser. A name is followed through re-exports to the file that defines it, so a module
//! that re-exports the items of its children is not a part of a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

/// The module path below the crate root.
type ModulePath = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    children: BTreeSet<String>,
    /// Names that `use` brings into the module, with their paths.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths that the code of the module names.
    references: BTreeSet<Vec<String>>,
}

/// What a path leads to.
enum Target {
    Module(ModulePath),
    /// An item that this module defines.
    Item(ModulePath),
    /// An item of another crate, or a name that was not found.
    Elsewhere,
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let roots = crate_roots(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    assert!(roots.len() > 8, "{roots:?}");
    let circles: Vec<String> = roots
        .iter()
        .flat_map(|root| {
            let modules = modules_of(root);
            let circles = circles(&edges(&modules));
            circles.into_iter().map(|circle| format!("{}: {circle}", root.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(circles.is_empty(), "files that import each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let source = |text: &str| parse(text).1;
    let modules = BTreeMap::from([
        (
            vec![],
            Module { children: names(&["a", "b", "c"]), ..source("pub use a::A; pub use c::C; struct R;") },
        ),
        (vec!["a".into()], source("use crate::{b::{self, B as Other}}; // use crate::d;")),
        (
            vec!["b".into()],
            source("fn f() -> crate::A { \"crate::R\" } #[cfg(test)] mod tests { use crate::C; }"),
        ),
        (vec!["c".into()], source("use bridge::X; use super::R;")),
    ]);
    assert_eq!(circles(&edges(&modules)), ["a, b", "the root, c"]);
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The root files of all crates of the workspace.
fn crate_roots(workspace: &Path) -> Vec<PathBuf> {
    let mut packages = vec![workspace.join("xtask"), workspace.join("tests")];
    for folder in ["crates", "functions"] {
        let entries = std::fs::read_dir(workspace.join(folder)).unwrap();
        packages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let roots =
        packages.iter().flat_map(|package| ["src/lib.rs", "src/main.rs"].map(|root| package.join(root)));
    roots.filter(|root| root.is_file()).collect()
}

fn modules_of(root: &Path) -> BTreeMap<ModulePath, Module> {
    let mut modules = BTreeMap::new();
    let mut left: Vec<(ModulePath, PathBuf)> = vec![(Vec::new(), root.to_owned())];
    while let Some((path, file)) = left.pop() {
        let (declared, mut module) = parse(&std::fs::read_to_string(&file).unwrap());
        let is_root = file.ends_with("mod.rs") || path.is_empty();
        let folder = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        for name in declared {
            let files = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
            if let Some(file) = files.into_iter().find(|file| file.is_file()) {
                left.push(([path.clone(), vec![name.clone()]].concat(), file));
                module.children.insert(name);
            }
        }
        modules.insert(path, module);
    }
    modules
}

/// The modules that a file declares, and what it imports and names.
fn parse(source: &str) -> (Vec<String>, Module) {
    let code = without_tests(&without_comments_and_strings(source));
    // A restricted visibility names a module, and imports nothing.
    let visibility = Regex::new(r"\bpub\s*\(\s*in\s+[\w:]+\s*\)").unwrap();
    let code = visibility.replace_all(&code, "pub");
    let declaration = Regex::new(r"\bmod\s+(\w+)\s*;").unwrap();
    let declared = declaration.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    let mut module = Module::default();
    let import = Regex::new(r"\buse\s+([^;<]+);").unwrap();
    for found in import.captures_iter(&code) {
        for (name, path) in expand(&[], &found[1]) {
            module.references.insert(path.clone());
            module.imports.insert(name, path);
        }
    }
    let reference = Regex::new(r"\b\w+(::\w+)+").unwrap();
    let rest = import.replace_all(&code, "");
    for found in reference.find_iter(&rest) {
        module.references.insert(found.as_str().split("::").map(str::to_owned).collect());
    }
    (declared, module)
}

/// The names and paths of a `use` tree.
fn expand(prefix: &[String], tree: &str) -> Vec<(String, Vec<String>)> {
    let tree = tree.trim();
    if let Some((head, inside)) = tree.split_once('{') {
        let head = head.split("::").map(str::trim).filter(|part| !part.is_empty());
        let prefix: Vec<String> = prefix.iter().cloned().chain(head.map(str::to_owned)).collect();
        let inside = inside.trim_end().strip_suffix('}').unwrap();
        return split_outside_braces(inside).iter().flat_map(|part| expand(&prefix, part)).collect();
    }
    let (path, alias) =
        tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let parts = path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
    let mut path: Vec<String> = prefix.iter().cloned().chain(parts).collect();
    if path.len() > 1 {
        path.pop_if(|last| last == "self" || last == "*");
    }
    let Some(last) = path.last() else { return Vec::new() };
    vec![(alias.unwrap_or(last).to_owned(), path)]
}

fn split_outside_braces(text: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if character == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn without_comments_and_strings(source: &str) -> String {
    let pattern = concat!(
        r"(?s)//[^\n]*|/\*.*?\*/",
        r###"|r##".*?"##|r#".*?"#|\br".*?""###,
        r#"|"(\\.|[^"\\])*""#,
        r"|'(\\.[^']*|[^'\\])'",
    );
    Regex::new(pattern).unwrap().replace_all(source, " ").into_owned()
}

fn without_tests(code: &str) -> String {
    let test =
        Regex::new(r"#\[cfg\((test|all\(test[^\]]*)\)\]\s*(pub(\(\w+\))?\s+)?(mod|fn|use|impl)\b").unwrap();
    let mut rest = code;
    let mut kept = String::new();
    while let Some(found) = test.find(rest) {
        kept.push_str(&rest[..found.start()]);
        let body = &rest[found.end()..];
        let mut depth = 0;
        let end = body.char_indices().find(|(_, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(character, '}' | ';')
        });
        rest = end.map_or("", |(at, _)| &body[at + 1..]);
    }
    kept + rest
}

/// Which modules name items of which other ones.
fn edges(modules: &BTreeMap<ModulePath, Module>) -> BTreeMap<ModulePath, BTreeSet<ModulePath>> {
    let edges_of = |(path, module): (&ModulePath, &Module)| {
        let targets =
            module.references.iter().filter_map(|reference| match follow(modules, path, reference, 0) {
                Target::Module(target) | Target::Item(target) if target != *path => Some(target),
                _ => None,
            });
        (path.clone(), targets.collect())
    };
    modules.iter().map(edges_of).collect()
}

/// Follows a path from a module, through re-exports, to what it names.
fn follow(
    modules: &BTreeMap<ModulePath, Module>,
    from: &ModulePath,
    path: &[String],
    depth: usize,
) -> Target {
    let mut here = from.clone();
    for (index, part) in path.iter().enumerate() {
        let module = &modules[&here];
        match part.as_str() {
            "crate" => here.clear(),
            "self" => {}
            "super" => drop(here.pop()),
            name if module.children.contains(name) => here.push(name.to_owned()),
            // A chain of re-exports is short. A longer one is an import of a name under the same name.
            name if module.imports.contains_key(name) && depth < 8 && module.imports[name] != path => {
                match follow(modules, &here, &module.imports[name], depth + 1) {
                    Target::Module(target) => here = target,
                    other => return other,
                }
            }
            _ if index == 0 => return Target::Elsewhere,
            _ => return Target::Item(here),
        }
    }
    Target::Module(here)
}

/// The groups of modules that reach each other.
fn circles(edges: &BTreeMap<ModulePath, BTreeSet<ModulePath>>) -> Vec<String> {
    let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = edges
        .keys()
        .map(|start| {
            let (mut reached, mut left) = (BTreeSet::new(), vec![start]);
            while let Some(module) = left.pop() {
                left.extend(edges[module].iter().filter(|target| reached.insert(*target)));
            }
            (start, reached)
        })
        .collect();
    let groups: BTreeSet<Vec<String>> = edges
        .keys()
        .filter(|module| reached[module].contains(module))
        .map(|module| {
            let group = reached[module].iter().filter(|other| reached[*other].contains(module));
            group
                .map(|other| if other.is_empty() { "the root".to_owned() } else { other.join("::") })
                .collect()
        })
        .collect();
    groups.into_iter().map(|group| group.join(", ")).collect()
}
