//! What is offered to a server, in russh's terms; and whether a server has its like.

use std::borrow::Cow;

use bridge::{Algorithms, Preset};
use russh::keys::Algorithm;
use russh::{Preferred, cipher, client, kex, mac};

use crate::probe::Offer;

/// What russh is to prefer. `host_keys` are asked for in this order, certificates of them first.
pub(crate) fn preferred(
    algorithms: &Algorithms,
    host_keys: Vec<Algorithm>,
    certificates: Vec<Algorithm>,
) -> Preferred {
    let mut key_exchanges: Vec<kex::Name> = names(&algorithms.key_exchanges);
    // These are no algorithms: they ask for the list of signatures that the server takes, and for strict key exchange.
    key_exchanges.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
    Preferred {
        kex: Cow::Owned(key_exchanges),
        key: Cow::Owned(host_keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(names::<cipher::Name>(&algorithms.ciphers)),
        mac: Cow::Owned(names::<mac::Name>(&algorithms.macs)),
        compression: Preferred::DEFAULT.compression,
    }
}

/// The sizes of groups to ask for: as OpenSSH does, 2048 bits are enough where a server has no larger ones.
pub(crate) fn group_sizes() -> client::GexParams {
    client::GexParams::new(2048, 3072, 8192).unwrap_or_default()
}

fn names<'n, T: TryFrom<&'n str>>(names: &[&'n str]) -> Vec<T> {
    names.iter().filter_map(|name| T::try_from(name).ok()).collect()
}

/// The type of a key that signs with this algorithm: RSA keys are `ssh-rsa` whatever hash signs.
pub(crate) fn key_type(algorithm: &str) -> &str {
    if algorithm.starts_with("rsa-sha2-") { "ssh-rsa" } else { algorithm }
}

/// The first preset that has something in common with the server in everything.
pub(crate) fn connecting_preset(offer: &Offer) -> Option<Preset> {
    Preset::ALL.into_iter().find(|preset| connects(&Algorithms::preset(*preset), offer))
}

fn connects(ours: &Algorithms, theirs: &Offer) -> bool {
    let first = |ours: &[&'static str], theirs: &[String]| -> Option<&'static str> {
        ours.iter().copied().find(|name| theirs.iter().any(|it| it == name))
    };
    let cipher = first(&ours.ciphers, &theirs.ciphers);
    // These authenticate by themselves.
    let needs_mac = cipher.is_none_or(|name| !name.contains("gcm") && !name.contains("poly1305"));
    cipher.is_some()
        && first(&ours.key_exchanges, &theirs.key_exchanges).is_some()
        && first(&ours.host_keys, &theirs.host_keys).is_some()
        && (!needs_mac || first(&ours.macs, &theirs.macs).is_some())
}

#[cfg(test)]
mod tests {
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
        // A default of russh that is missing here would be lost unnoticed.
        for name in Preferred::DEFAULT.kex.iter().filter(|name| !name.as_ref().contains("ext-info")) {
            let known = all.key_exchanges.contains(&name.as_ref()) || name.as_ref().contains("strict");
            assert!(known, "{name:?}");
        }
        for name in Preferred::DEFAULT.cipher.iter() {
            assert!(all.ciphers.contains(&name.as_ref()), "{name:?}");
        }
    }

    #[test]
    fn the_safer_preset_that_connects() {
        let offer = |kex: &str, host_key: &str, cipher: &str, mac: &str| Offer {
            identification: "SSH-2.0-test".into(),
            key_exchanges: vec![kex.into()],
            host_keys: vec![host_key.into()],
            ciphers: vec![cipher.into()],
            macs: vec![mac.into()],
        };
        let modern = offer("curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", "none");
        assert_eq!(connecting_preset(&modern), Some(Preset::Modern));
        let old = offer("diffie-hellman-group1-sha1", "ssh-dss", "3des-cbc", "hmac-sha1");
        assert_eq!(connecting_preset(&old), Some(Preset::Legacy));
        let mac = offer("curve25519-sha256", "ssh-ed25519", "aes256-ctr", "hmac-md5");
        assert_eq!(connecting_preset(&mac), None);
    }
}
