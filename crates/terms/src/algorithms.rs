//! The SSH algorithms to offer: a preset and changes to it.

/// Algorithms by their names in SSH, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    /// Key exchange.
    pub key_exchanges: Vec<&'static str>,
    /// Signatures of host keys and of a user's RSA key.
    pub host_keys: Vec<&'static str>,
    /// Ciphers.
    pub ciphers: Vec<&'static str>,
    /// Message authentication codes.
    pub macs: Vec<&'static str>,
}

/// A predefined list of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Algorithms that are considered safe.
    Modern,
    /// Those of `Modern`, then what old servers need.
    Legacy,
}

impl Preset {
    /// All presets, the safest one first.
    pub const ALL: [Self; 2] = [Self::Modern, Self::Legacy];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// The algorithms of one kind: those of `modern`, and those that `legacy` appends.
struct Known {
    kind: &'static str,
    modern: &'static [&'static str],
    legacy: &'static [&'static str],
}

/// In the order of the fields of [`Algorithms`]. No name occurs in two lists, so a name determines its kind.
const KNOWN: [Known; 4] = [
    Known {
        kind: "key exchange",
        // Post-quantum first. The NIST curves are for appliances that offer nothing else.
        modern: &[
            "mlkem768x25519-sha256",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group-exchange-sha256",
            "diffie-hellman-group18-sha512",
            "diffie-hellman-group17-sha512",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group15-sha512",
            "diffie-hellman-group14-sha256",
        ],
        legacy: &[
            "diffie-hellman-group-exchange-sha1",
            "diffie-hellman-group14-sha1",
            "diffie-hellman-group1-sha1",
        ],
    },
    Known {
        kind: "host key algorithm",
        modern: &[
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp384",
            "ecdsa-sha2-nistp521",
            "rsa-sha2-512",
            "rsa-sha2-256",
        ],
        legacy: &["ssh-rsa", "ssh-dss"],
    },
    Known {
        kind: "cipher",
        // AES-GCM first, because every CPU of Lambda has AES instructions.
        modern: &[
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "chacha20-poly1305@openssh.com",
            "aes256-ctr",
            "aes192-ctr",
            "aes128-ctr",
        ],
        legacy: &["aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"],
    },
    Known {
        kind: "MAC",
        modern: &[
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512",
            "hmac-sha2-256",
        ],
        legacy: &["hmac-sha1-etm@openssh.com", "hmac-sha1"],
    },
];

impl Default for Algorithms {
    fn default() -> Self {
        Self::preset(Preset::Modern)
    }
}

impl Algorithms {
    /// The algorithms of a preset.
    pub fn preset(preset: Preset) -> Self {
        let [key_exchanges, host_keys, ciphers, macs] = KNOWN.map(|known| match preset {
            Preset::Modern => known.modern.to_vec(),
            Preset::Legacy => [known.modern, known.legacy].concat(),
        });
        Self { key_exchanges, host_keys, ciphers, macs }
    }

    /// Parses `modern` or `legacy`, then changes, separated by commas or white space: `+name` appends an algorithm, `^name`
    /// prepends it, `-name` removes it, and `-name*` removes all whose names begin with `name`.
    ///
    /// # Errors
    /// What is expected, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let mut words = text.split(is_separator).filter(|word| !word.is_empty()).peekable();
        let named = words.peek().and_then(|word| Preset::ALL.into_iter().find(|it| it.as_str() == *word));
        if named.is_some() {
            words.next();
        }
        let mut algorithms = Self::preset(named.unwrap_or(Preset::Modern));
        for word in words {
            algorithms.change(word)?;
        }
        for (known, list) in KNOWN.iter().zip(algorithms.lists()) {
            if list.is_empty() {
                let all = [known.modern, known.legacy].concat();
                return Err(format!("leaves no {}, expected at least one of {}", known.kind, all.join(", ")));
            }
        }
        Ok(algorithms)
    }

    fn change(&mut self, word: &str) -> Result<(), String> {
        let expected = "expected modern or legacy, then +name, -name or ^name";
        let (sign, name) = word.split_at_checked(1).ok_or(expected)?;
        if !matches!(sign, "+" | "-" | "^") {
            return Err(format!("for {word:?}, {expected}"));
        }
        let prefix = name.strip_suffix('*').filter(|_| sign == "-");
        let is_meant = |it: &str| prefix.map_or(it == name, |prefix| it.starts_with(prefix));
        let mut found = false;
        for (known, list) in KNOWN.iter().zip(self.lists()) {
            for meant in known.modern.iter().chain(known.legacy).filter(|it| is_meant(it)) {
                found = true;
                match sign {
                    "+" if list.contains(meant) => {}
                    "+" => list.push(meant),
                    "^" => {
                        list.retain(|it| it != meant);
                        list.insert(0, meant);
                    }
                    _ => list.retain(|it| it != meant),
                }
            }
        }
        if found {
            return Ok(());
        }
        let all = KNOWN.iter().flat_map(|known| known.modern.iter().chain(known.legacy)).copied();
        Err(format!("for {word:?}, expected one of {}", all.collect::<Vec<_>>().join(", ")))
    }

    fn lists(&mut self) -> [&mut Vec<&'static str>; 4] {
        [&mut self.key_exchanges, &mut self.host_keys, &mut self.ciphers, &mut self.macs]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_and_changes_to_it() {
        assert_eq!(Algorithms::parse("").unwrap(), Algorithms::default());
        assert_eq!(Algorithms::parse("modern").unwrap(), Algorithms::preset(Preset::Modern));
        assert_eq!(Algorithms::parse("legacy").unwrap(), Algorithms::preset(Preset::Legacy));
        let changed = Algorithms::parse("modern, +aes128-cbc ^aes256-ctr,-hmac-sha2-512*,+ssh-rsa").unwrap();
        assert_eq!(changed.ciphers.first(), Some(&"aes256-ctr"));
        assert_eq!(changed.ciphers.last(), Some(&"aes128-cbc"));
        assert_eq!(changed.ciphers.len(), Algorithms::default().ciphers.len() + 1, "one was only moved");
        assert_eq!(changed.macs, ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"]);
        assert_eq!(changed.host_keys.last(), Some(&"ssh-rsa"));
        assert_eq!(Algorithms::parse("+aes128-cbc").unwrap().ciphers.last(), Some(&"aes128-cbc"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("old", "\"old\", expected modern or legacy"),
            ("modern aes128-cbc", "+name"),
            ("modern,legacy", "\"legacy\""),
            ("+rot13", "expected one of mlkem768x25519-sha256"),
            ("+aes*", "\"+aes*\""),
            ("-", "\"-\""),
            ("-aes*,-chacha20*", "leaves no cipher, expected at least one of aes128-gcm@openssh.com"),
        ] {
            let problem = Algorithms::parse(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn a_name_tells_its_kind() {
        let all = || KNOWN.iter().flat_map(|known| known.modern.iter().chain(known.legacy));
        assert_eq!(all().collect::<std::collections::BTreeSet<_>>().len(), all().count());
    }
}
