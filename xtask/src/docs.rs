//! `cargo xtask docs`: generates what the settings' table says once more elsewhere.

use anyhow::{Result, ensure};
use integration_tests::settings_documents::documents;

/// Writes the generated files. With `check`, only says whether they are current.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut outdated = Vec::new();
    for document in documents()? {
        if document.is_current() {
            println!("{} is current", document.path);
        } else if check {
            outdated.push(document.path);
        } else {
            std::fs::write(document.location(), &document.generated)?;
            println!("{} was written", document.path);
        }
    }
    ensure!(
        outdated.is_empty(),
        "run `cargo xtask docs`, because these are not current: {}",
        outdated.join(", ")
    );
    Ok(())
}
