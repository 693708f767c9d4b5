//! The Terraform modules and the template agree; the modules, their examples and the pages agree. No provider can be
//! reached from here, so this looks for what `terraform validate` would find in calls of modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use integration_tests::parameters::{Parameter, outputs, parameters};
use integration_tests::terraform::{MODULE, snake_case};
use integration_tests::tools::workspace;

use crate::hcl::{Folder, files, references, references_of, text};
use crate::read;

const PREDECESSOR: &str = "terraform/modules/from-py-s3-sftp-bridge";
const EXAMPLES: &str = "terraform/examples";

/// Variables of the module that are not parameters.
const OWN: [&str; 4] = ["iam_role_arn", "name", "tags", "template_url"];

/// All variables of the predecessor's module, `aws_account_id` of March 2017 included.
const VARIABLES: [&str; 13] = [
    "aws_account_id",
    "function_prefix",
    "integration_name",
    "lambda_description",
    "lambda_function_package_path",
    "retry_schedule_expression",
    "retry_scheduled_event_description",
    "sftp_host",
    "sftp_location",
    "sftp_port",
    "sftp_user",
    "ssh_key_file",
    "ssh_key_path",
];

fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace().join(EXAMPLES)).unwrap();
    let mut examples: Vec<PathBuf> =
        entries.map(|entry| Path::new(EXAMPLES).join(entry.unwrap().file_name())).collect();
    examples.sort();
    examples
}

/// Where the template and the module differ.
fn drift(template: &str, module: &Folder) -> Vec<String> {
    let parameters = parameters(template).unwrap();
    let mut wrong = variables_that_differ(&parameters, module);
    wrong.extend(parameters_that_are_not_passed_on(&parameters, module));
    wrong.extend(outputs_that_differ(template, module));
    wrong
}

fn variables_that_differ(parameters: &[Parameter], module: &Folder) -> Vec<String> {
    let mut variables = module.named("variable");
    let mut wrong = Vec::new();
    for own in OWN {
        if variables.remove(own).is_none() {
            wrong.push(format!("there is no variable {own}"));
        }
    }
    for parameter in parameters {
        let name = snake_case(&parameter.name);
        let Some(variable) = variables.remove(name.as_str()) else {
            wrong.push(format!("{} has no variable {name}", parameter.name));
            continue;
        };
        let words = text(variable, "description").unwrap_or_default();
        if !words.starts_with(&parameter.description) {
            wrong.push(format!("{name} has another description than {}", parameter.name));
        }
        let is_required = !variable.has_attribute("default");
        if is_required != parameter.default.is_none() {
            wrong.push(format!("{name} and {} differ in having a default", parameter.name));
        }
        if variable.get_blocks("validation").count() == 0 && has_rules(parameter) {
            wrong.push(format!("{name} has no validation, but {} has rules", parameter.name));
        }
    }
    wrong.extend(variables.keys().map(|name| format!("{name} is no parameter")));
    wrong
}

/// Whether the template refuses some values. Of `true` and `false`, the type says as much.
fn has_rules(parameter: &Parameter) -> bool {
    let is_boolean = parameter.allowed_values.iter().any(|value| value == "true");
    parameter.allowed_pattern.is_some()
        || parameter.length_max.is_some()
        || parameter.minimum.is_some()
        || !parameter.allowed_values.is_empty() && !is_boolean
}

fn parameters_that_are_not_passed_on(parameters: &[Parameter], module: &Folder) -> Vec<String> {
    let given = module.local("given").and_then(Expression::as_object).expect("local.given");
    let mut given: BTreeMap<String, &Expression> =
        given.iter().map(|(name, value)| (name.as_ident().unwrap().to_string(), value.expr())).collect();
    let mut wrong = Vec::new();
    for parameter in parameters {
        let expected = BTreeSet::from([snake_case(&parameter.name)]);
        match given.remove(&parameter.name) {
            Some(value) if references_of(value, "var") == expected => {}
            Some(_) => wrong.push(format!("{} is not its own variable", parameter.name)),
            None => wrong.push(format!("{} is not passed on", parameter.name)),
        }
    }
    wrong.extend(given.keys().map(|name| format!("{name} is passed on, and is no parameter")));
    let filtered = module.local("parameters").expect("local.parameters");
    let stacks: Vec<&Body> = module.blocks("resource").map(|block| &block.body).collect();
    let [stack] = stacks.as_slice() else { panic!("the module has more than a stack") };
    let passed = references_of(&stack.get_attribute("parameters").unwrap().value, "local");
    if passed != BTreeSet::from(["parameters".into()])
        || references_of(filtered, "local") != BTreeSet::from(["given".into()])
    {
        wrong.push("the stack does not get local.given by local.parameters".into());
    }
    wrong
}

fn outputs_that_differ(template: &str, module: &Folder) -> Vec<String> {
    let mut present = module.named("output");
    let mut wrong = Vec::new();
    for output in outputs(template).unwrap() {
        let name = snake_case(&output.name);
        let Some(body) = present.remove(name.as_str()) else {
            wrong.push(format!("{} has no output {name}", output.name));
            continue;
        };
        let value = body.get_attribute("value").unwrap().value.to_string();
        if value.trim() != output.in_terraform() {
            wrong.push(format!("{name} is not the output {}", output.name));
        }
        if text(body, "description") != Some(&output.description) {
            wrong.push(format!("{name} has another description than the output {}", output.name));
        }
    }
    wrong.extend(present.keys().map(|name| format!("{name} is no output of the template")));
    wrong
}

#[test]
fn every_parameter_is_a_variable_that_is_passed_on_and_every_output_is_there() {
    let drift = drift(&read("sam/template.yaml"), &Folder::read(MODULE));
    assert!(drift.is_empty(), "run `cargo xtask docs`:\n{}", drift.join("\n"));
}

#[test]
fn a_template_that_changed_is_noticed() {
    let (template, module) = (read("sam/template.yaml"), Folder::read(MODULE));
    for (from, to, expected) in [
        ("\n  SftpHost:\n    Type", "\n  SftpName:\n    Type", "SftpName has no variable sftp_name"),
        ("TCP port of", "Port of", "sftp_port has another description than SftpPort"),
        ("    Default: 22\n", "", "sftp_port and SftpPort differ in having a default"),
        ("\n  DeliverBelow:\n", "\n  Below:\n", "Below has no output below"),
        (
            "Description: First step.,",
            "Description: Step., ",
            "fetch_key_function_name has another description",
        ),
    ] {
        let changed = template.replacen(from, to, 1);
        assert_ne!(changed, template, "{from:?} is not in the template");
        let drift = drift(&changed, &module).join("\n");
        assert!(drift.contains(expected), "{expected:?} is not in {drift:?}");
    }
}

#[test]
fn a_module_that_changed_is_noticed() {
    let template = read("sam/template.yaml");
    let text = files(Path::new(MODULE));
    for (from, to, expected) in [
        ("variable \"sftp_user\"", "variable \"user\"", "SftpUser has no variable sftp_user"),
        ("variable \"tags\"", "variable \"labels\"", "there is no variable tags"),
        ("= var.sftp_user\n", "= var.sftp_host\n", "SftpUser is not its own variable"),
        ("    KeyPrefix ", "    KeyPrefixes ", "KeyPrefix is not passed on"),
        ("= local.parameters\n", "= local.given\n", "the stack does not get local.given by local.parameters"),
        ("outputs[\"BucketName\"]", "outputs[\"Bucket\"]", "bucket_name is not the output BucketName"),
    ] {
        let mut changes = 0;
        let changed: BTreeMap<&String, String> = text
            .iter()
            .map(|(name, text)| {
                let changed = text.replacen(from, to, 1);
                changes += usize::from(changed != *text);
                (name, changed)
            })
            .collect();
        assert_eq!(changes, 1, "{from:?}");
        let files = changed.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let drift = drift(&template, &Folder::parse(MODULE.into(), files)).join("\n");
        assert!(drift.contains(expected), "{expected:?} is not in {drift:?}");
    }
}

/// What is wrong with the calls of modules in a folder, and with its variables.
fn mistakes(folder: &Folder) -> Vec<String> {
    let mut wrong = Vec::new();
    let (calls, path) = (folder.calls(), folder.path.display());
    for call in &calls {
        let module = Folder::read(&call.source);
        let (variables, outputs) = (module.named("variable"), module.named("output"));
        let unknown = call.given.iter().filter(|name| !variables.contains_key(name.as_str()));
        wrong.extend(unknown.map(|name| format!("{path}: module {} has no variable {name}", call.name)));
        let missing = module.required().into_iter().filter(|name| !call.given.contains(*name));
        wrong.extend(missing.map(|name| format!("{path}: module {} is not given {name}", call.name)));
        for reference in folder.references("module") {
            let Some(output) = reference.strip_prefix(&format!("{}.", call.name)) else { continue };
            if !outputs.contains_key(output) {
                wrong.push(format!("{path}: module {} has no output {output}", call.name));
            }
        }
    }
    for reference in folder.references("module") {
        let name = reference.split('.').next().unwrap_or_default();
        if !calls.iter().any(|call| call.name == name) {
            wrong.push(format!("{path}: there is no module {name}"));
        }
    }
    let variables: BTreeSet<String> = folder.named("variable").into_keys().map(str::to_owned).collect();
    let used: BTreeSet<String> =
        folder.references("var").iter().filter_map(|name| Some(name.split('.').next()?.to_owned())).collect();
    wrong.extend(used.difference(&variables).map(|name| format!("{path}: there is no variable {name}")));
    wrong.extend(variables.difference(&used).map(|name| format!("{path}: nothing uses the variable {name}")));
    wrong
}

#[test]
fn modules_are_called_with_variables_that_they_have_and_all_that_they_need() {
    let mut called = BTreeSet::new();
    let folders = examples().into_iter().chain([MODULE.into(), PREDECESSOR.into()]);
    for folder in folders.map(Folder::read) {
        called.extend(folder.calls().into_iter().map(|call| call.source));
        assert_eq!(mistakes(&folder), Vec::<String>::new());
    }
    assert_eq!(called, [PREDECESSOR, MODULE].map(PathBuf::from).into(), "each module has an example");
}

#[test]
fn a_wrong_call_is_noticed() {
    let path = Path::new(EXAMPLES).join("one-partner");
    let text = files(&path);
    for (from, to, expected) in [
        ("  key_prefix  ", "  prefix  ", "module acme has no variable prefix"),
        ("  sftp_host  ", "  sftp_port  ", "module acme is not given sftp_host"),
        ("module.acme.deliver_below", "module.acme.below", "module acme has no output below"),
        ("module.acme.deliver_below", "module.globex.deliver_below", "there is no module globex"),
        ("= var.max_connections", "= 1", "nothing uses the variable max_connections"),
        ("= var.max_connections", "= \"${var.connections}\"", "there is no variable connections"),
    ] {
        let changed: BTreeMap<&String, String> =
            text.iter().map(|(name, text)| (name, text.replacen(from, to, 1))).collect();
        let files = changed.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let mistakes = mistakes(&Folder::parse(path.clone(), files)).join("\n");
        assert!(mistakes.contains(expected), "{expected:?} is not in {mistakes:?}");
    }
}

/// A variable of the predecessor is mapped, or its description and a warning say why it is ignored.
#[test]
fn nothing_of_the_predecessor_is_dropped_in_silence() {
    let module = Folder::read(PREDECESSOR);
    let (variables, checks) = (module.named("variable"), module.named("check"));
    let mapped: BTreeSet<String> = module
        .blocks("locals")
        .chain(module.blocks("module"))
        .flat_map(|block| references(&block.body, "var"))
        .collect();
    for name in VARIABLES {
        let variable = variables.get(name).unwrap_or_else(|| panic!("there is no variable {name}"));
        let is_ignored = text(variable, "description").unwrap().starts_with("Ignored: ");
        assert_ne!(is_ignored, mapped.contains(name), "{name}");
        assert_eq!(is_ignored, checks.contains_key(name), "{name}");
    }
}

#[test]
fn the_page_has_a_row_for_every_variable_of_the_predecessor() {
    let page = read("docs/migrating.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let modules = VARIABLES.into_iter().chain(["s3_keys_versioning"]);
    let missing: Vec<&str> =
        modules.filter(|name| !rows.iter().any(|row| row.starts_with(&format!("| `{name}` |")))).collect();
    assert!(missing.is_empty(), "docs/migrating.md has no row for {missing:?}");
}

/// Resources of the predecessor's module that a `destroy` would take away from the bridge that uses them.
#[test]
fn the_page_says_what_to_take_out_of_the_state_and_the_example_owns_the_bucket() {
    let page = read("docs/migrating.md");
    for address in [
        "aws_s3_bucket.event_bucket",
        "aws_s3_bucket_notification.bucket_notification",
        "aws_s3_bucket_object.ssh_key",
        "aws_kms_key.configuration_key",
        "aws_kms_alias.configuration_key",
    ] {
        let line = format!("terraform state rm module.s3-sftp-bridge.{address}\n");
        assert!(page.contains(&line), "{line:?} is not in docs/migrating.md");
    }
    let example = Folder::read(Path::new(EXAMPLES).join("from-py-s3-sftp-bridge"));
    let resources: Vec<&str> = example.blocks("resource").map(|block| block.labels[0].as_str()).collect();
    assert_eq!(resources, ["aws_s3_bucket", "aws_s3_bucket_notification"]);
}
