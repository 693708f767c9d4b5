//! The algorithms of SSH, in russh's terms.

use std::borrow::Cow;

use russh::keys::Algorithm;
use russh::{Names, Preferred, cipher, client, kex, mac};
use terms::Algorithms;

/// The host key algorithms to ask for, in order of preference.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostKeyAlgorithms {
    pub(crate) keys: Vec<Algorithm>,
    /// Asked for before the plain keys.
    pub(crate) certificates: Vec<Algorithm>,
}

/// The algorithms that a connection uses, under their SSH names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Key exchange.
    pub key_exchange: String,
    /// Signature of the host key.
    pub host_key: String,
    /// Cipher, in both directions.
    pub cipher: String,
    /// Message authentication code of our packets; `None` if the cipher authenticates them.
    pub mac: Option<String>,
    /// The server's identification, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub identification: String,
}

impl Negotiated {
    pub(crate) fn new(names: &Names, identification: &[u8]) -> Self {
        let cipher = names.cipher.as_ref().to_owned();
        Self {
            key_exchange: names.kex.as_ref().to_owned(),
            host_key: names.key.as_str().to_owned(),
            mac: (!authenticates(&cipher)).then(|| names.client_mac.as_ref().to_owned()),
            cipher,
            identification: String::from_utf8_lossy(identification).trim().to_owned(),
        }
    }
}

/// Whether a cipher needs no message authentication code.
pub(crate) fn authenticates(cipher: &str) -> bool {
    cipher.contains("gcm") || cipher.contains("poly1305")
}

/// russh's preferences.
pub(crate) fn preferred(algorithms: &Algorithms, host_keys: HostKeyAlgorithms) -> Preferred {
    let mut key_exchanges: Vec<kex::Name> = names(&algorithms.key_exchanges);
    // These are not algorithms. They ask for the list of signatures that the server accepts, and for strict key exchange.
    key_exchanges.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
    Preferred {
        kex: Cow::Owned(key_exchanges),
        key: Cow::Owned(host_keys.keys),
        host_key_certificates: Cow::Owned(host_keys.certificates),
        cipher: Cow::Owned(names::<cipher::Name>(&algorithms.ciphers)),
        mac: Cow::Owned(names::<mac::Name>(&algorithms.macs)),
        compression: Preferred::DEFAULT.compression,
    }
}

/// Sizes of the groups to ask for. As with OpenSSH, 2048 bits are accepted from a server that has no larger group.
pub(crate) fn group_sizes() -> client::GexParams {
    client::GexParams::new(2048, 3072, 8192).unwrap_or_default()
}

fn names<'n, T: TryFrom<&'n str>>(names: &[&'n str]) -> Vec<T> {
    names.iter().filter_map(|name| T::try_from(name).ok()).collect()
}

/// The type of a key that signs with this algorithm. The type of an RSA key is `ssh-rsa`, whatever the hash.
pub(crate) fn key_type(algorithm: &str) -> &str {
    if algorithm.starts_with("rsa-sha2-") { "ssh-rsa" } else { algorithm }
}

#[cfg(test)]
mod tests {
    use terms::Preset;

    use super::*;

    #[test]
    fn russh_has_every_algorithm_that_a_setting_may_name() {
        let all = Algorithms::preset(Preset::Legacy);
        assert_eq!(names::<kex::Name>(&all.key_exchanges).len(), all.key_exchanges.len());
        assert_eq!(names::<cipher::Name>(&all.ciphers).len(), all.ciphers.len());
        assert_eq!(names::<mac::Name>(&all.macs).len(), all.macs.len());
        for name in &all.host_keys {
            assert!(!matches!(Algorithm::new(name).unwrap(), Algorithm::Other(_)), "{name}");
        }
        // Otherwise a default of russh would be lost unnoticed.
        for name in Preferred::DEFAULT.kex.iter().filter(|name| !name.as_ref().contains("ext-info")) {
            let known = all.key_exchanges.contains(&name.as_ref()) || name.as_ref().contains("strict");
            assert!(known, "{name:?}");
        }
        for name in Preferred::DEFAULT.cipher.iter() {
            assert!(all.ciphers.contains(&name.as_ref()), "{name:?}");
        }
    }
}
