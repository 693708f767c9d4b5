//! The server, from the command line.

use sftp::{Endpoint, Login, Options, PrivateKey, Session};

pub(crate) struct Partner {
    endpoint: Endpoint,
    login: Login,
    trusted: sftp::TrustedHostKeys,
}

/// Parses `HOST PORT USER KEY_FILE HOST_KEY`. Returns the remaining arguments as well.
pub(crate) fn parse() -> Result<(Partner, Vec<String>), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("missing argument {name}"));
    let endpoint = Endpoint { host: next("HOST")?, port: next("PORT")?.parse()? };
    let user_name = next("USER")?;
    let private_key = PrivateKey::parse(&std::fs::read_to_string(next("KEY_FILE")?)?.into(), None)?;
    let login = Login { user_name, private_key: Some(private_key), ..Login::default() };
    let trusted = sftp::TrustedHostKeys::parse(&next("HOST_KEY")?)?;
    Ok((Partner { endpoint, login, trusted }, arguments.collect()))
}

impl Partner {
    pub(crate) async fn connect(&self) -> sftp::Result<Session> {
        Session::connect(&self.endpoint, &self.login, &self.trusted, &Options::default()).await
    }
}
