//! The template of a package: `sam/template.yaml` with the code where the package has it. Lines are replaced, so that
//! comments and order stay; decision 0024 says why.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::parts::{Architecture, DEFINITIONS, FUNCTIONS, zip_of};

/// The name of the file.
pub const FILE: &str = "template.yaml";

/// A template in which lines are replaced.
struct Edited(String);

impl Edited {
    /// Replaces lines that must be there once.
    fn replace(&mut self, lines: &str, by: &str) -> Result<()> {
        let (lines, by) = (format!("\n{lines}"), format!("\n{by}"));
        let found = self.0.matches(&lines).count();
        ensure!(found == 1, "the template should have these lines once, and has them {found} times:{lines}");
        self.0 = self.0.replace(&lines, &by);
        Ok(())
    }
}

/// The packaged form of `sam/template.yaml`. `zips` are the sums of the functions' archives.
pub fn packaged(
    source: &str,
    version: &str,
    architecture: Architecture,
    zips: &BTreeMap<String, String>,
) -> Result<String> {
    let mut template = Edited(source.to_owned());
    for function in FUNCTIONS {
        let build = format!(
            "    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties: {{ Binary: {function} }}\n"
        );
        template.replace(&build, "")?;
        template.replace(&code(&format!("../functions/{function}")), &code(&zip_of(function)))?;
    }
    for file in DEFINITIONS {
        template.replace(&definition(&format!("../statemachine/{file}")), &definition(file))?;
    }
    // Only tests make packages of another version.
    let own = env!("CARGO_PKG_VERSION");
    let output = |version| {
        format!(
            "  Version:\n    Description: The release of the bridge. The command `status` compares it with that of the \
             command line.\n    Value: \"{version}\"\n"
        )
    };
    template.replace(&output(own), &output(version))?;
    template.replace(&format!("  S3 SFTP Bridge {own}: "), &format!("  S3 SFTP Bridge {version}: "))?;
    let name = architecture.name();
    template.replace(
        "    Description: Processor of the functions. Use the same value for sam build and sam deploy.\n    \
         Default: x86_64\n    AllowedValues: [x86_64, arm64]\n",
        &format!(
            "    Description: Processor of the functions. This package is for {name}.\n    Default: {name}\n    \
             AllowedValues: [{name}]\n    \
             ConstraintDescription: {name}, because this package is for it; there is a package for each processor\n"
        ),
    )?;
    let sums: String = zips.iter().map(|(file, sum)| format!("      {file}: {sum}\n")).collect();
    let facts = format!("Metadata:\n{OURS}{VERSION}\"{version}\"\n{ARCHITECTURE}{name}\n    Sha256:\n{sums}");
    template.replace("Metadata:\n", &facts)?;
    Ok(template.0)
}

const OURS: &str = "  S3SftpBridge:\n";
const VERSION: &str = "    Version: ";
const ARCHITECTURE: &str = "    Architecture: ";

/// A packaged template with its code in a bucket. `uri` says where a file of the package is.
pub fn hosted(packaged: &str, uri: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut template = Edited(packaged.to_owned());
    for function in FUNCTIONS {
        let zip = zip_of(function);
        template.replace(&code(&zip), &code(&uri(&zip)?))?;
    }
    for file in DEFINITIONS {
        template.replace(&definition(file), &definition(&uri(file)?))?;
    }
    Ok(template.0)
}

/// Version and processor of a packaged template.
pub fn facts(packaged: &str) -> Result<(String, Architecture)> {
    let (_, ours) =
        packaged.split_once(OURS).context("the template is no package's: build a package first")?;
    let value = |name| ours.lines().find_map(|line| line.strip_prefix(name));
    let version = value(VERSION).context("the template's Metadata has no Version")?;
    let architecture = value(ARCHITECTURE).context("the template's Metadata has no Architecture")?;
    Ok((version.trim_matches('"').to_owned(), Architecture::parse(architecture)?))
}

fn code(uri: &str) -> String {
    format!("      CodeUri: {uri}\n")
}

fn definition(uri: &str) -> String {
    format!("      DefinitionUri: {uri}\n")
}
