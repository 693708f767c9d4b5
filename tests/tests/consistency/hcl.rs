//! Folders of Terraform files: what they declare, and what they call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hcl_edit::expr::{Expression, Traversal, TraversalOperator};
use hcl_edit::structure::{Block, Body};
use hcl_edit::visit::{Visit, visit_traversal};
use integration_tests::tools::workspace;

use crate::documents::normal;

/// What Terraform itself understands in a `module` block.
const META: [&str; 5] = ["source", "for_each", "count", "depends_on", "providers"];

/// A folder of Terraform files.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    bodies: Vec<Body>,
}

/// A `module` block.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The folder of the module, relative to the workspace.
    pub(crate) source: PathBuf,
    /// The variables that it is given.
    pub(crate) given: BTreeSet<String>,
}

/// The name and the text of each Terraform file in a folder.
pub(crate) fn files(path: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(workspace().join(path)).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "tf") {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(file).unwrap());
        }
    }
    files
}

impl Folder {
    pub(crate) fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let files = files(&path);
        Self::parse(path, files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    pub(crate) fn parse<'a>(path: PathBuf, files: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let parse = |(name, text): (&str, &str)| {
            let parsed: Result<Body, _> = text.parse();
            parsed.unwrap_or_else(|error| panic!("{}/{name}: {error}", path.display()))
        };
        let bodies: Vec<Body> = files.map(parse).collect();
        assert!(!bodies.is_empty(), "{} has no Terraform files", path.display());
        Self { path, bodies }
    }

    /// The blocks of a kind.
    pub(crate) fn blocks<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Block> {
        self.bodies.iter().flat_map(|body| body.blocks()).filter(move |block| block.has_ident(kind))
    }

    /// The blocks of a kind that have one label, by this.
    pub(crate) fn named<'a>(&'a self, kind: &'a str) -> BTreeMap<&'a str, &'a Body> {
        self.blocks(kind).map(|block| (block.labels[0].as_str(), &block.body)).collect()
    }

    /// The value of a local value.
    pub(crate) fn local(&self, name: &str) -> Option<&Expression> {
        self.blocks("locals").find_map(|block| Some(&block.body.get_attribute(name)?.value))
    }

    /// The variables that have no default.
    pub(crate) fn required(&self) -> BTreeSet<&str> {
        let variables = self.named("variable").into_iter();
        variables.filter(|(_, body)| !body.has_attribute("default")).map(|(name, _)| name).collect()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        let call = |(name, body): (&str, &Body)| {
            let source = text(body, "source").unwrap_or_else(|| panic!("the module {name} has no source"));
            let given = body.attributes().map(|attribute| attribute.key.as_str().to_owned());
            Call {
                name: name.to_owned(),
                source: normal(&self.path.join(source)),
                given: given.filter(|name| !META.contains(&name.as_str())).collect(),
            }
        };
        self.named("module").into_iter().map(call).collect()
    }

    /// Everything of this kind that is referred to: the names behind `var.`, or `module.`, with the dots. A variable that
    /// only its own validation names counts as not used.
    pub(crate) fn references(&self, root: &str) -> BTreeSet<String> {
        let blocks = self.bodies.iter().flat_map(|body| body.blocks());
        let blocks = blocks.filter(|block| !block.has_ident("variable"));
        blocks.flat_map(|block| references(&block.body, root)).collect()
    }
}

/// A text attribute.
pub(crate) fn text<'a>(body: &'a Body, name: &str) -> Option<&'a str> {
    body.get_attribute(name)?.value.as_str()
}

/// What a part of a file refers to below this name.
pub(crate) fn references(part: &Body, root: &str) -> BTreeSet<String> {
    let mut found = References { root, names: BTreeSet::new() };
    found.visit_body(part);
    found.names
}

/// What an expression refers to below this name.
pub(crate) fn references_of(expression: &Expression, root: &str) -> BTreeSet<String> {
    let mut found = References { root, names: BTreeSet::new() };
    found.visit_expr(expression);
    found.names
}

struct References<'a> {
    root: &'a str,
    names: BTreeSet<String>,
}

impl Visit for References<'_> {
    fn visit_traversal(&mut self, traversal: &Traversal) {
        let is_root = matches!(&traversal.expr, Expression::Variable(name) if name.as_str() == self.root);
        if is_root {
            // An index, as of a module with for_each, is not part of the name.
            let names = traversal.operators.iter().filter_map(|operator| match operator.value() {
                TraversalOperator::GetAttr(name) => Some(name.as_str()),
                _ => None,
            });
            self.names.insert(names.collect::<Vec<_>>().join("."));
        }
        visit_traversal(self, traversal);
    }
}
