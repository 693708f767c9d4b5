//! What a partner's file says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bridge::{ErrorName, Result};
use toml_edit::{Document, Item, Table, Value};

use super::{parameters, sam};

/// Parameters of the template, by name.
pub(in crate::doctor) type Parameters = BTreeMap<String, String>;

/// What a partner's file says.
#[derive(Debug)]
pub(in crate::doctor) struct PartnerFile {
    pub(in crate::doctor) path: PathBuf,
    pub(in crate::doctor) stack_name: String,
    pub(in crate::doctor) parameters: Parameters,
}

impl PartnerFile {
    /// # Errors
    /// `InvalidConfig` with everything in the file that `sam deploy` or the template would not take.
    pub(in crate::doctor) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ErrorName::InvalidConfig.error(format!("reading {}: {error}", path.display()))
        })?;
        let file = Self::parse(path, &text)?;
        file.check()?;
        Ok(file)
    }

    /// Without a look at names and values of the parameters.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong =
            |problem: String| ErrorName::InvalidConfig.error(format!("{}: {problem}", path.display()));
        // The parser's message shows the line, and a private key may have been pasted there.
        let document = Document::parse(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            wrong(format!("line {} is no TOML", before.matches('\n').count() + 1))
        })?;
        let root = document.as_table();
        let named = ["deploy", "global"].iter().find_map(|command| {
            section(root, command)?.get("stack_name")?.as_str().filter(|name| !name.is_empty())
        });
        let Some(stack_name) = named else {
            return Err(wrong("it names no stack: write stack_name into [default.global.parameters]".into()));
        };
        let overrides = section(root, "deploy").and_then(|deploy| deploy.get("parameter_overrides"));
        let Some(overrides) = overrides.and_then(Item::as_table_like) else {
            let problem = "it has no table [default.deploy.parameters.parameter_overrides]: write the parameters there, each as NAME = \"VALUE\"";
            return Err(wrong(problem.into()));
        };
        let parameters = overrides.iter().map(|(name, value)| match value.as_value().and_then(as_text) {
            Some(text) => Ok((name.to_owned(), sam::read(&text))),
            None => Err(wrong(format!("{}: expected a text in quotes", shown(name)))),
        });
        let (path, stack_name) = (path.to_owned(), stack_name.to_owned());
        Ok(Self { path, stack_name, parameters: parameters.collect::<Result<_>>()? })
    }

    fn check(&self) -> Result<()> {
        let problems = problems(&self.parameters);
        if problems.is_empty() {
            return Ok(());
        }
        let name = self.path.display();
        let problems: Vec<String> = problems.iter().map(|problem| format!("{name}: {problem}")).collect();
        Err(ErrorName::InvalidConfig.error(problems.join("; ")))
    }
}

/// What the template would refuse or `sam deploy` would drop.
pub(super) fn problems(parameters: &Parameters) -> Vec<String> {
    let given = parameters.iter().filter_map(|(name, value)| {
        let checked = parameters::find(name).and_then(|parameter| parameter.check(value));
        checked.err()
    });
    let is_missing = |name: &str| {
        parameters::find(name).is_ok_and(|it| it.default.is_none()) && !parameters.contains_key(name)
    };
    let missing = parameters::all().iter().map(|parameter| parameter.name).filter(|name| is_missing(name));
    given.chain(missing.map(|name| format!("{name} is missing: it has no default"))).collect()
}

/// The parameters of a command of the SAM CLI.
fn section<'a>(root: &'a Table, command: &str) -> Option<&'a dyn toml_edit::TableLike> {
    let default = root.get("default")?.as_table_like()?;
    default.get(command)?.as_table_like()?.get("parameters")?.as_table_like()
}

/// The text that the SAM CLI makes of a value. It is written in Python.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(is_true) => Some(if *is_true.value() { "True" } else { "False" }.into()),
        _ => None,
    }
}

fn shown(name: &str) -> &str {
    if bridge::may_be_secret(name) { "a parameter" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version = 0.1\n[default.global.parameters]\nstack_name = \"sftp-acme\"\n\
        [default.deploy.parameters]\nresolve_s3 = true\n[default.deploy.parameters.parameter_overrides]\n\
        SftpHost = \"h\"\nSftpPort = 2222\nSftpTrustedHostKeys = \"SHA256:x\"\n";

    fn read(text: &str) -> Result<PartnerFile> {
        let file = PartnerFile::parse(Path::new("acme.toml"), text)?;
        file.check().map(|()| file)
    }

    #[test]
    fn stack_and_parameters_are_read() {
        let file = read(GOOD).unwrap();
        assert_eq!(file.stack_name, "sftp-acme");
        let parameters = [("SftpHost", "h"), ("SftpPort", "2222"), ("SftpTrustedHostKeys", "SHA256:x")];
        assert_eq!(file.parameters, parameters.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_what_to_write() {
        let list = GOOD.split("[default.deploy.parameters.parameter_overrides]").next().unwrap().to_owned();
        let list = list + "parameter_overrides = [\"SftpHost=h\"]\n";
        for (text, words) in [
            (
                GOOD.replace("SftpHost", "SftpHots"),
                "acme.toml: SftpHots is no parameter of the template: the nearest one is SftpHost; acme.toml: SftpHost is missing: it has no default",
            ),
            (GOOD.replace("2222", "\"ssh\""), "acme.toml: SftpPort is \"ssh\": expected a number"),
            (
                GOOD.replace("SftpPort = 2222", "Dashboard = true"),
                "Dashboard is \"True\": expected one of true, false (with quotes in TOML)",
            ),
            (GOOD.replace("2222", "[22]"), "SftpPort: expected a text in quotes"),
            (GOOD.replace("stack_name", "stack"), "it names no stack"),
            (list, "it has no table [default.deploy.parameters.parameter_overrides]"),
            (GOOD.replace("2222", "-----BEGIN OPENSSH PRIVATE KEY-----"), "acme.toml: line 8 is no TOML"),
        ] {
            let error = read(&text).unwrap_err();
            assert_eq!(error.name, ErrorName::InvalidConfig);
            assert!(error.message().contains(words), "{words}\n{error}");
            assert!(!error.message().contains("BEGIN"), "{error}");
        }
    }
}
