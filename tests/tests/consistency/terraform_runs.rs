//! What Terraform itself makes of the modules, as far as it gets without a provider: the format, the validations, and the
//! parameters that are passed on. The stack and what asks AWS are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hcl_edit::structure::Body;
use integration_tests::parameters::{Parameter, parameters};
use integration_tests::skip;
use integration_tests::terraform::{MODULE, Type, snake_case};
use integration_tests::tools::{self, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hcl::{Folder, files};
use crate::{HOST_KEY, VALUES, parameter_of, read};

const PREDECESSOR: &str = "terraform/modules/from-py-s3-sftp-bridge";

/// Terraform, without the user's settings.
fn terraform(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("terraform");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
    command.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1");
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn is_there() -> bool {
    let is_there = tools::runs("terraform", "version");
    if !is_there {
        skip("what Terraform makes of its modules: there is no terraform on the PATH");
    }
    is_there
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// Applies a folder that needs no provider. Returns its outputs and what Terraform said, or only that if it failed.
fn apply(folder: &Path, variables: &Value) -> Result<(Value, String), String> {
    std::fs::write(folder.join("values.auto.tfvars.json"), variables.to_string()).unwrap();
    let init = terraform(folder, &["init", "-input=false", "-no-color"]);
    assert!(init.status.success(), "{}", said(&init));
    let applied = terraform(folder, &["apply", "-auto-approve", "-input=false", "-no-color"]);
    // Terraform wraps its messages.
    let words = said(&applied).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    if !applied.status.success() {
        return Err(words);
    }
    let outputs = terraform(folder, &["output", "-json"]);
    let outputs: Value = serde_json::from_slice(&outputs.stdout).unwrap();
    let values =
        outputs.as_object().unwrap().iter().map(|(name, output)| (name.clone(), output["value"].clone()));
    Ok((values.collect(), words))
}

/// The module without its stack: its outputs are those parameters that the predecessor's module asks for.
fn without_a_stack(into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    for (name, text) in files(Path::new(MODULE)) {
        let mut body: Body = text.parse().unwrap();
        body.remove_blocks("resource");
        body.remove_blocks("terraform");
        if name != "outputs.tf" {
            std::fs::write(into.join(name), body.to_string()).unwrap();
        }
    }
    let outputs = "output \"parameters\" { value = local.parameters }\n\
                   output \"bucket_name\" { value = try(local.parameters[\"BucketName\"], \"\") }\n\
                   output \"state_machine_arn\" { value = var.name }\n\
                   output \"record_bucket_name\" { value = var.template_url }\n";
    std::fs::write(into.join("outputs.tf"), outputs).unwrap();
}

#[test]
fn the_files_have_terraforms_format() {
    if !is_there() {
        return;
    }
    let home = TempDir::new().unwrap();
    let folder = workspace().join("terraform");
    let checked = terraform(home.path(), &["fmt", "-check", "-diff", "-recursive", folder.to_str().unwrap()]);
    assert!(checked.status.success(), "run `terraform fmt -recursive terraform`:\n{}", said(&checked));
}

fn required() -> Value {
    json!({
        "name": "sftp-acme", "template_url": "https://b.s3.eu-central-1.amazonaws.com/template.yaml",
        "sftp_host": "sftp.partner.example", "sftp_trusted_host_keys": [HOST_KEY],
    })
}

fn with(more: &Value) -> Value {
    merged(required(), more)
}

fn merged(mut all: Value, more: &Value) -> Value {
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[test]
fn only_what_is_given_is_passed_on_and_all_of_it_as_text() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    without_a_stack(folder.path());
    let least = json!({"SftpHost": "sftp.partner.example", "SftpTrustedHostKeys": HOST_KEY});
    assert_eq!(apply(folder.path(), &required()).unwrap().0["parameters"], least);

    let given = json!({
        "sftp_port": 2222, "dashboard": false, "max_connections": 1, "key_prefix": "räksmörgås/", "sftp_user": "",
        "s3_exclude": ["**/*.tmp", "**/*.part"], "sftp_algorithms": ["legacy", "+ssh-dss"], "kms_key_arns": [],
    });
    let as_text = json!({
        "SftpPort": "2222", "Dashboard": "false", "MaxConnections": "1", "KeyPrefix": "räksmörgås/", "SftpUser": "",
        "S3Exclude": "**/*.tmp,**/*.part", "SftpAlgorithms": "legacy,+ssh-dss", "KmsKeyArns": "",
    });
    let passed = merged(least, &as_text);
    assert_eq!(apply(folder.path(), &with(&given)).unwrap().0["parameters"], passed);
}

#[test]
fn a_wrong_value_is_refused_with_its_name_and_what_it_must_be() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    without_a_stack(folder.path());
    for (wrong, expected) in [
        (
            json!({"sftp_host": "sftp://h"}),
            "sftp_host does not match the template's pattern. It must be: a host name",
        ),
        (json!({"sftp_port": 0}), "sftp_port must be a whole number from 1 to 65535."),
        (json!({"sftp_port": 22.5}), "sftp_port must be a whole number from 1 to 65535."),
        (json!({"max_connections": 7}), "max_connections must be one of 0, 1, 2,"),
        (json!({"sftp_proof": "maybe"}), "sftp_proof must be one of auto, hash, read-back, size, none."),
        (json!({"subnet_ids": ["subnet-1", "vpc-2"]}), "subnet_ids does not match the template's pattern."),
        (json!({"sftp_user": "u".repeat(129)}), "sftp_user has more than 128 characters."),
        (json!({"template_url": "s3://b/t.yaml"}), "template_url must begin with https://."),
        (json!({"name": "sftp_acme"}), "name must begin with a letter"),
        (json!({"sftp_host": null}), "sftp_host"),
    ] {
        let refused = apply(folder.path(), &with(&wrong)).expect_err(&wrong.to_string());
        assert!(refused.contains(expected), "{wrong}: {expected:?} is not in {refused}");
    }
}

/// The conditions of a parameter's validations, with this value in place of the variable.
fn conditions(module: &Folder, parameter: &Parameter, value: &str) -> Option<Vec<String>> {
    let name = snake_case(&parameter.name);
    let literal = match Type::of(parameter) {
        Type::Text => json!(value).to_string(),
        Type::List => json!([value]).to_string(),
        // Terraform refuses another word by itself.
        Type::Number => value.parse::<u64>().ok()?.to_string(),
        Type::Boolean => return None,
    };
    let literal = literal.replace("${", "$${").replace("%{", "%%{");
    let validations = module.named("variable")[name.as_str()].get_blocks("validation");
    let condition = |body: &Body| {
        let condition = body.get_attribute("condition").unwrap().value.to_string();
        condition.trim().replace(&format!("var.{name}"), &literal)
    };
    Some(validations.map(|block| condition(&block.body)).collect())
}

/// The template's patterns mean the same in Terraform's language of patterns.
#[test]
fn the_validations_take_and_refuse_what_the_template_does() {
    if !is_there() {
        return;
    }
    let (parameters, module) = (parameters(&read("sam/template.yaml")).unwrap(), Folder::read(MODULE));
    let mut results = String::from("output \"results\" {\n  value = {\n");
    let mut expected = BTreeMap::new();
    for (setting, taken, refused) in VALUES {
        let Some(parameter) = parameters.iter().find(|parameter| parameter.name == parameter_of(setting))
        else {
            continue;
        };
        let values =
            taken.iter().map(|value| (value, true)).chain(refused.iter().map(|value| (value, false)));
        for (value, is_taken) in values {
            let Some(conditions) = conditions(&module, parameter, value) else { continue };
            let number = format!("{:04}", expected.len());
            results += &format!("    \"{number}\" = alltrue([{}])\n", conditions.join(", "));
            expected.insert(number, (setting, value, is_taken));
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("main.tf"), results + "  }\n}\n").unwrap();
    let (outputs, _) = apply(folder.path(), &json!({})).unwrap();
    for (number, (setting, value, is_taken)) in expected {
        assert_eq!(outputs["results"][&number], is_taken, "{setting} {value:?}");
    }
}

/// The predecessor's module, without what asks AWS.
fn predecessor(folder: &Path) -> PathBuf {
    without_a_stack(&folder.join("s3-sftp-bridge"));
    let into = folder.join("from-py-s3-sftp-bridge");
    std::fs::create_dir(&into).unwrap();
    for (name, text) in files(Path::new(PREDECESSOR)) {
        let mut body: Body = text.parse().unwrap();
        body.remove_blocks("data");
        body.remove_blocks("terraform");
        let text = body.to_string();
        let text = text.replace("data.aws_caller_identity.current.account_id", "\"111122223333\"");
        let text = text
            .replace("data.aws_kms_alias.configuration_key[*].target_key_arn", &format!("[\"{KMS_KEY}\"]"));
        std::fs::write(into.join(name), text).unwrap();
    }
    std::fs::write(into.join("probe.tf"), "output \"parameters\" { value = module.bridge.parameters }\n")
        .unwrap();
    into
}

const KMS_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn the_predecessors_variables_become_parameters_for_the_same_bucket_key_and_server() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let module = predecessor(folder.path());
    let new = json!({"template_url": "https://b/t.yaml", "sftp_trusted_host_keys": [HOST_KEY]});
    let mut given = json!({
        "integration_name": "acme-2", "ssh_key_path": "secrets", "ssh_key_file": "mykey.pem", "sftp_host": "sftp.example.com",
        "sftp_port": "2222", "sftp_user": "user", "sftp_location": "share", "lambda_function_package_path": "x.zip",
    });
    given.as_object_mut().unwrap().extend(new.as_object().unwrap().clone());
    let (outputs, said) = apply(&module, &given).unwrap();
    let expected = json!({
        "SftpHost": "sftp.example.com", "SftpPort": "2222", "SftpUser": "user", "SftpLocation": "share",
        "SftpTrustedHostKeys": HOST_KEY, "KmsKeyArns": KMS_KEY,
        "SftpS3SshKey": "s3-sftp-bridge-ssh-keys-111122223333/acme-2/mykey.pem",
        "BucketName": "s3-sftp-bridge-acme-2-111122223333",
    });
    assert_eq!(outputs["parameters"], expected);
    assert_eq!(outputs["name"], "s3-sftp-bridge-acme-2");
    for ignored in ["ssh_key_path is ignored", "lambda_function_package_path is ignored"] {
        assert!(said.contains(ignored), "{ignored:?} is not in {said}");
    }
    assert!(!said.contains("lambda_description is ignored"), "{said}");

    // Buckets of such names are older than S3's rules, and the template does not take them.
    let mut old = given.clone();
    old["integration_name"] = json!("Acme_2");
    let refused = apply(&module, &old).unwrap_err();
    assert!(refused.contains("bucket_name does not match the template's pattern"), "{refused}");

    // A secret takes the place of the key object and its KMS key.
    let more = json!({"sftp_secret_id": "acme", "function_prefix": "out", "aws_account_id": "444455556666", "sftp_port": null});
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (outputs, _) = apply(&module, &given).unwrap();
    let parameters = &outputs["parameters"];
    assert_eq!(parameters["SftpSecretId"], "acme");
    assert_eq!((parameters.get("SftpS3SshKey"), parameters.get("KmsKeyArns")), (None, None), "{parameters}");
    assert_eq!(parameters["BucketName"], "out-acme-2-444455556666");
    assert_eq!(parameters["SftpPort"], "22");
}
