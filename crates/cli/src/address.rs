//! Addresses of files on the partner's server.

use bridge::Settings;

/// The partner's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { host: settings.host.clone(), port: settings.port }
    }

    /// `sftp://HOST/PATH`, with the port unless it is 22.
    pub(crate) fn address(&self, path: &str) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            22 => format!("sftp://{host}/{path}"),
            port => format!("sftp://{host}:{port}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_47_the_address_has_its_port() {
        let address = |host: &str, port, path| Server { host: host.into(), port }.address(path);
        assert_eq!(address("h", 22, "in/x"), "sftp://h/in/x");
        assert_eq!(address("h", 2222, "in/x"), "sftp://h:2222/in/x");
        assert_eq!(address("2001:db8::1", 2222, "x"), "sftp://[2001:db8::1]:2222/x");
    }
}
