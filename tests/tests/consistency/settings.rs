//! What is said about the settings outside of their table.

use std::time::Duration;

use bridge::SETTINGS;
use integration_tests::settings_documents::documents;

#[test]
fn generated_documents_are_current() {
    for document in documents().unwrap() {
        assert!(document.is_current(), "{} is not current: run `cargo xtask docs`", document.path);
    }
}

/// `LoginSettings` leaves these out if they are not set.
#[test]
fn the_sftp_client_has_the_same_time_limits() {
    let default = |name: &str| {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        Duration::from_secs(setting.default.unwrap().parse().unwrap())
    };
    let options = sftp::Options::default();
    assert_eq!(options.connect_timeout, default("SFTP_CONNECT_TIMEOUT"));
    assert_eq!(options.login_timeout, default("SFTP_LOGIN_TIMEOUT"));
}
