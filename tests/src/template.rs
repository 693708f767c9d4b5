//! Parts of the template that are written in another language: the dashboard's body, the saved queries.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::tools::workspace;

/// `sam/template.yaml`.
pub fn template() -> String {
    std::fs::read_to_string(workspace().join("sam/template.yaml")).unwrap()
}

/// The dashboard's body of a stack that also collects, with the place of each `${NAME}` taken by what `value` says of the
/// name.
pub fn dashboard(template: &str, value: impl Fn(&str) -> String) -> String {
    let (_, rest) = template.split_once("      DashboardBody: !Sub\n        - |\n").unwrap();
    let (_, collecting) = rest.split_once("\n            - Collects\n            - !Sub |\n").unwrap();
    let body = block(rest, 10).replace("${Collecting}", &block(collecting, 14));
    let name = Regex::new(r"\$\{([A-Za-z0-9:.]+)\}").unwrap();
    name.replace_all(&body, |found: &regex_lite::Captures<'_>| value(&found[1])).into_owned()
}

/// A saved query of CloudWatch Logs Insights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name, without the folder.
    pub name: String,
    /// What it searches for.
    pub text: String,
    /// Only stacks that collect have it.
    pub is_of_collections: bool,
}

/// The saved queries.
pub fn queries(template: &str) -> Vec<Query> {
    let parts = template.split("\n    Type: AWS::Logs::QueryDefinition\n").skip(1);
    let query = |part: &str| {
        let name = part.split_once("${AWS::StackName}/").unwrap().1.split('"').next().unwrap().to_owned();
        let text = block(part.split_once("      QueryString: |\n").unwrap().1, 8);
        let is_of_collections = part.contains("Condition: ShowsCollections\n");
        Query { name, text, is_of_collections }
    };
    parts.map(query).collect()
}

/// The queries in code blocks of the runbook, for those who have no saved ones.
pub fn runbook_queries() -> Vec<Query> {
    let runbook = std::fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    let starts = ["fields ", "filter "];
    let blocks = runbook.split("```").filter_map(|part| part.split_once('\n')).map(|(_, text)| text.trim());
    let texts = blocks.filter(|text| starts.iter().any(|start| text.starts_with(start)));
    let query =
        |text: &str| Query { name: "docs/errors.md".into(), text: text.to_owned(), is_of_collections: false };
    texts.map(query).collect()
}

/// The lines that are indented by at least this number of spaces, without them.
fn block(text: &str, indent: usize) -> String {
    let spaces = " ".repeat(indent);
    let lines = text.lines().map_while(|line| line.strip_prefix(&spaces));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What the language of the queries brings with it.
const WORDS: [&str; 19] = [
    "and",
    "as",
    "asc",
    "by",
    "count",
    "count_distinct",
    "desc",
    "fields",
    "filter",
    "ispresent",
    "latest",
    "like",
    "limit",
    "max",
    "min",
    "or",
    "sort",
    "stats",
    "sum",
];

impl Query {
    /// The fields of log lines that it names. CloudWatch itself adds those that begin with `@`.
    pub fn fields(&self) -> BTreeSet<String> {
        let text = Regex::new(r#""[^"]*""#).unwrap().replace_all(&self.text, "").into_owned();
        let aliases = Regex::new(r"\bas ([a-z_]+)").unwrap();
        let aliases: BTreeSet<&str> =
            aliases.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
        let word = Regex::new(r"@?[A-Za-z_][A-Za-z0-9_.]*").unwrap();
        let words = word.find_iter(&text).map(|found| found.as_str());
        let is_field =
            |word: &&str| !word.starts_with('@') && !WORDS.contains(word) && !aliases.contains(word);
        words.filter(is_field).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_from_words_of_the_language() {
        let text = "fields @timestamp, a.b\n| filter c = \"not this\" and ispresent(d)\n| stats count(*) as e by f\n| sort e desc";
        let query = Query { name: String::new(), text: text.into(), is_of_collections: false };
        assert_eq!(query.fields(), ["a.b", "c", "d", "f"].map(str::to_owned).into());
    }
}
