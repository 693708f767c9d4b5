//! The parameters and outputs of the template, read as YAML.

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Mapping, Scalar, Yaml};
use serde::{Deserialize, Serialize};

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `String`.
    Text,
    /// `Number`.
    Number,
}

/// A parameter of the template, with all its properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// What it is for.
    pub description: String,
    /// Its default. Without one, it must be given.
    pub default: Option<String>,
    /// The only values, if they are listed.
    pub allowed_values: Vec<String>,
    /// What a value looks like, if a pattern says so.
    pub allowed_pattern: Option<String>,
    /// The pattern in words.
    pub constraint: Option<String>,
    /// The smallest number.
    pub minimum: Option<u64>,
    /// The largest number.
    pub maximum: Option<u64>,
    /// The minimum number of characters.
    pub length_min: Option<u64>,
    /// The maximum number of characters.
    pub length_max: Option<u64>,
}

/// An output of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it says.
    pub description: String,
    /// Whether only some stacks have it.
    pub is_conditional: bool,
}

impl Output {
    /// Its value in the Terraform module. A missing one is null there.
    pub fn in_terraform(&self) -> String {
        let (all, name) = ("aws_cloudformation_stack.this.outputs", &self.name);
        if self.is_conditional {
            format!("lookup({all}, \"{name}\", null)")
        } else {
            format!("{all}[\"{name}\"]")
        }
    }
}

/// The parameters of the template, in its order.
pub fn parameters(template: &str) -> Result<Vec<Parameter>> {
    let template = load(template)?;
    let entries = section(&template, "Parameters")?;
    entries.iter().map(|(name, properties)| parameter(&text(name)?, properties)).collect()
}

/// The outputs of the template, in its order.
pub fn outputs(template: &str) -> Result<Vec<Output>> {
    let template = load(template)?;
    let entries = section(&template, "Outputs")?;
    let output = |(name, output): (&Yaml<'_>, &Yaml<'_>)| {
        let name = text(name)?;
        let description = output.as_mapping_get("Description");
        let description = description.with_context(|| format!("the output {name} has no Description"))?;
        let is_conditional = output.as_mapping_get("Condition").is_some();
        Ok(Output { name, description: text(description)?, is_conditional })
    };
    entries.iter().map(output).collect()
}

fn load(template: &str) -> Result<Yaml<'static>> {
    let documents = Yaml::load_from_str(template).context("the template is no YAML")?;
    documents.into_iter().next().context("the template is empty")
}

fn section<'a>(template: &'a Yaml<'static>, name: &str) -> Result<&'a Mapping<'static>> {
    let section = template.as_mapping_get(name).and_then(Yaml::as_mapping);
    section.with_context(|| format!("the template has no {name}"))
}

fn parameter(name: &str, properties: &Yaml<'_>) -> Result<Parameter> {
    let properties = properties.as_mapping().with_context(|| format!("{name} has no properties"))?;
    let mut parameter = Parameter {
        name: name.to_owned(),
        kind: Kind::Text,
        description: String::new(),
        default: None,
        allowed_values: Vec::new(),
        allowed_pattern: None,
        constraint: None,
        minimum: None,
        maximum: None,
        length_min: None,
        length_max: None,
    };
    for (property, value) in properties {
        set(&mut parameter, &text(property)?, value).with_context(|| format!("the parameter {name}"))?;
    }
    Ok(parameter)
}

fn set(parameter: &mut Parameter, property: &str, value: &Yaml<'_>) -> Result<()> {
    let number = || text(value)?.parse::<u64>().with_context(|| format!("{property} is no number"));
    match property {
        "Type" => {
            parameter.kind = match text(value)?.as_str() {
                "String" => Kind::Text,
                "Number" => Kind::Number,
                other => bail!("the type {other} is not known here"),
            };
        }
        "Description" => parameter.description = text(value)?,
        "Default" => parameter.default = Some(text(value)?),
        "AllowedValues" => {
            let values = value.as_sequence().context("AllowedValues is no list")?;
            parameter.allowed_values = values.iter().map(text).collect::<Result<_>>()?;
        }
        "AllowedPattern" => parameter.allowed_pattern = Some(text(value)?),
        "ConstraintDescription" => parameter.constraint = Some(text(value)?),
        "MinValue" => parameter.minimum = Some(number()?),
        "MaxValue" => parameter.maximum = Some(number()?),
        "MinLength" => parameter.length_min = Some(number()?),
        "MaxLength" => parameter.length_max = Some(number()?),
        other => bail!("the property {other} is not known here"),
    }
    Ok(())
}

fn text(value: &Yaml<'_>) -> Result<String> {
    Ok(match value {
        Yaml::Value(Scalar::String(text)) => text.to_string(),
        Yaml::Value(Scalar::Integer(number)) => number.to_string(),
        Yaml::Value(Scalar::Boolean(word)) => word.to_string(),
        other => bail!("{other:?} is no word and no whole number"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"
Parameters:
  Port:
    Type: Number
    Description: TCP port.
    Default: 22
    MinValue: 1
    MaxValue: 65535
  Prefix:
    Type: String
    Description: >-
      A long text that
      is folded: it has a colon.
    Default: ""
    AllowedPattern: '^[\x20-\xFF]*\\$'
    ConstraintDescription: "without * ? \\ $"
    MaxLength: 512
    AllowedValues: ["0", "off", plain]
Resources:
  Rule: { Name: !Sub "${AWS::StackName}/x" }
Outputs:
  Long:
    Description: What is delivered.
    Value: !If [A, !Ref B, !Ref C]
  Short: { Condition: E, Description: First step., Value: !Ref D }
"#;

    #[test]
    fn every_property_is_read_as_it_was_meant() {
        let [port, prefix]: [Parameter; 2] = parameters(TEMPLATE).unwrap().try_into().unwrap();
        assert_eq!((port.kind, port.default.as_deref()), (Kind::Number, Some("22")));
        assert_eq!((port.minimum, port.maximum), (Some(1), Some(65535)));
        assert_eq!(prefix.description, "A long text that is folded: it has a colon.");
        assert_eq!(prefix.default.as_deref(), Some(""));
        assert_eq!(prefix.allowed_pattern.as_deref(), Some(r"^[\x20-\xFF]*\\$"));
        assert_eq!(prefix.constraint.as_deref(), Some(r"without * ? \ $"));
        assert_eq!(
            (prefix.length_max, prefix.allowed_values),
            (Some(512), ["0", "off", "plain"].map(str::to_owned).into())
        );
        let [long, short]: [Output; 2] = outputs(TEMPLATE).unwrap().try_into().unwrap();
        assert_eq!((&*long.description, &*short.description), ("What is delivered.", "First step."));
        assert_eq!(long.in_terraform(), r#"aws_cloudformation_stack.this.outputs["Long"]"#);
        assert_eq!(short.in_terraform(), r#"lookup(aws_cloudformation_stack.this.outputs, "Short", null)"#);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let error = |from: &str, to: &str| {
            let changed = TEMPLATE.replacen(from, to, 1);
            assert_ne!(changed, TEMPLATE);
            format!("{:#}", parameters(&changed).unwrap_err())
        };
        assert_eq!(
            error("MinValue: 1", "NoEcho: 1"),
            "the parameter Port: the property NoEcho is not known here"
        );
        assert_eq!(
            error("Type: Number", "Type: List"),
            "the parameter Port: the type List is not known here"
        );
        assert!(error("Default: 22", "Default: [22]").starts_with("the parameter Port: "));
        assert_eq!(error("Parameters:", "Other:"), "the template has no Parameters");
    }
}
