//! Compares JSON with the schemas in `docs/schemas`. The validator is that of the SAM CLI's own environment.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::output;
use crate::tools::{self, workspace};

/// Prints what is wrong, a line each.
const VALIDATE: &str = "\
import json, sys
from jsonschema import Draft202012Validator as Validator
schema, document = json.load(open(sys.argv[1])), json.loads(sys.argv[2])
Validator.check_schema(schema)
for error in Validator(schema).iter_errors(document):
    print(error.json_path, error.message.replace('\\n', ' '))
";

/// What is wrong with a document: where it breaks the schema of this name, and fields that the schema does not describe.
pub async fn problems(schema: &str, document: &Value) -> Result<Vec<String>> {
    let path = workspace().join(format!("docs/schemas/{schema}.schema.json"));
    let sam = tools::sam().await?;
    let mut command = Command::new(sam.program("python"));
    command.arg("-c").arg(VALIDATE).arg(&path).arg(document.to_string());
    let validated = output(&command).await?;
    let said = String::from_utf8_lossy(&validated.stdout);
    let mut problems: Vec<String> = said.lines().map(str::to_owned).collect();
    if !validated.status.success() {
        problems.push(String::from_utf8_lossy(&validated.stderr).into_owned());
    }
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    for field in document.as_object().context("no JSON object")?.keys() {
        if schema["properties"].get(field).is_none() {
            problems.push(format!("{} does not describe {field}", path.display()));
        }
    }
    Ok(problems)
}
