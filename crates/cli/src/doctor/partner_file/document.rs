//! The text of the file: of a new one, or the present one with other parameters.

use toml_edit::{DocumentMut, Item, Table, Value, value};

use super::file::{Parameters, as_text};
use super::{parameters, sam};

/// The first line of every file that this command has written.
pub(super) const MARK: &str = "# Written by s3-sftp-bridge doctor --write";

/// What a new file says.
pub(super) struct New<'a> {
    pub(super) file_name: String,
    pub(super) stack_name: &'a str,
    /// Without it, the SAM CLI takes the region of its environment.
    pub(super) region: Option<&'a str>,
    pub(super) parameters: &'a Parameters,
}

impl New<'_> {
    pub(super) fn text(&self) -> String {
        let (name, stack) = (&self.file_name, self.stack_name);
        let head = format!(
            "{MARK}, for the stack {stack}.\n\
             # One partner has one file and one stack. To go back to a default, write the default: a stack keeps the value\n\
             # of a parameter that is not named here. After a change, check the file again before you deploy it:\n\
             #   s3-sftp-bridge doctor --config-file {name}\n\
             #   sam deploy --config-file {name}\n",
        );
        let mut default = Table::new();
        default.set_implicit(true);
        for (command, table) in [("global", self.global()), ("deploy", self.deploy())] {
            let mut section = Table::new();
            section.set_implicit(true);
            section.insert("parameters", Item::Table(table));
            default.insert(command, Item::Table(section));
        }
        let mut document = DocumentMut::new();
        document.insert("version", value(0.1));
        document.insert("default", Item::Table(default));
        head + &document.to_string()
    }

    fn global(&self) -> Table {
        let mut global = Table::new();
        global.insert("stack_name", value(self.stack_name));
        if let Some(region) = self.region {
            global.insert("region", value(region));
        }
        global
    }

    fn deploy(&self) -> Table {
        let mut overrides = Table::new();
        for (name, text) in in_order(self.parameters) {
            overrides.insert(name, value(sam::write(text)));
        }
        let mut deploy = Table::new();
        for (name, item) in [
            ("capabilities", value("CAPABILITY_IAM")),
            ("confirm_changeset", value(true)),
            ("fail_on_empty_changeset", value(false)),
            ("resolve_s3", value(true)),
            ("s3_prefix", value(self.stack_name)),
        ] {
            deploy.insert(name, item);
        }
        deploy.insert("parameter_overrides", Item::Table(overrides));
        deploy
    }
}

/// The present file with these parameters. Everything else in it may be a person's, and stays.
pub(super) fn edited(present: &str, parameters: &Parameters) -> Option<String> {
    let mut document: DocumentMut = present.parse().ok()?;
    let path = ["default", "deploy", "parameters", "parameter_overrides"];
    let overrides = path.iter().try_fold(document.as_item_mut(), |item, name| item.get_mut(name))?;
    let overrides = overrides.as_table_like_mut()?;
    for (name, text) in in_order(parameters) {
        match overrides.get_mut(name).and_then(Item::as_value_mut) {
            Some(present) => set(present, text),
            None => {
                overrides.insert(name, value(sam::write(text)));
            }
        }
    }
    Some(document.to_string())
}

/// Only a value that differs is written, and a comment after it stays.
fn set(present: &mut Value, text: &str) {
    if as_text(present).is_some_and(|present| sam::read(&present) == text) {
        return;
    }
    let decor = present.decor().clone();
    *present = Value::from(sam::write(text));
    *present.decor_mut() = decor;
}

/// In the template's order, so that what most people look for comes first.
fn in_order(parameters: &Parameters) -> impl Iterator<Item = (&'static str, &String)> {
    parameters::all().iter().filter_map(|it| Some((it.name, parameters.get(it.name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: &str = r#"# Written by s3-sftp-bridge doctor --write, for the stack sftp-acme.
# Ours: ask Jo before a change.
version = 0.1
[default.global.parameters]
stack_name = "sftp-acme"
region = "eu-west-1"

[default.validate.parameters]
lint = true

[default.deploy.parameters]
resolve_s3 = false
s3_bucket = "ours" # audited
role_arn = "arn:aws:iam::123456789012:role/deploy"
tags = ["team=files"]

[default.deploy.parameters.parameter_overrides]
# The old name is kept until May.
SftpHost = "h" # ticket 7
SftpPort = 22
SftpUnknown = "x"

[staging.deploy.parameters]
stack_name = "other"
"#;

    #[test]
    fn only_values_that_differ_change_in_a_file_that_a_person_has_edited() {
        let parameters = [("SftpHost", "new"), ("SftpPort", "22"), ("MaxConnections", "4")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = PRESENT
            .replace("SftpHost = \"h\" #", "SftpHost = \"new\" #")
            .replace("SftpUnknown = \"x\"\n", "SftpUnknown = \"x\"\nMaxConnections = \"4\"\n");
        assert_eq!(edited(PRESENT, &parameters).unwrap(), expected);
        assert_eq!(edited(&expected, &parameters).unwrap(), expected);
    }

    #[test]
    fn a_table_in_one_line_is_edited_too() {
        let (start, _) = PRESENT.split_once("\n[default.deploy.parameters.parameter_overrides]").unwrap();
        let text = format!("{start}parameter_overrides = {{ SftpHost = \"h\" }}\n");
        let parameters = [("SftpHost".to_owned(), "new".to_owned())].into();
        assert_eq!(edited(&text, &parameters).unwrap(), text.replace("\"h\"", "\"new\""));
    }
}
