//! SSH keys for tests. `ssh-keygen` makes all of them except Ed25519 keys without a passphrase, so their encodings are
//! the real ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{HashAlg, PrivateKey, PublicKey};

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ssh-ed25519`
    Ed25519,
    /// `ecdsa-sha2-nistp256`
    Ecdsa,
    /// `ecdsa-sha2-nistp384`, `ecdsa-sha2-nistp521`, by the bits of the curve
    EcdsaOf(u32),
    /// `ssh-rsa` with this many bits
    Rsa(u32),
    /// `ssh-dss`; newer releases of OpenSSH cannot make it
    Dsa,
}

/// How the private key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `BEGIN OPENSSH PRIVATE KEY`
    OpenSsh,
    /// `BEGIN RSA PRIVATE KEY`, `BEGIN EC PRIVATE KEY`
    Pem,
    /// `BEGIN PRIVATE KEY`, `BEGIN ENCRYPTED PRIVATE KEY`
    Pkcs8,
}

/// A key pair as text.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The private key file's contents.
    pub private: String,
    /// `ssh-ed25519 AAAA...`, without a comment.
    pub public: String,
}

impl KeyPair {
    /// An Ed25519 pair in OpenSSH's encoding, without a passphrase, as most partners use it. Made without `ssh-keygen`, so
    /// that the embedded partner does not need OpenSSH.
    pub fn ed25519() -> Result<Self> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let private = key.to_openssh(LineEnding::LF)?.to_string();
        Ok(Self { private, public: key.public_key().to_openssh()? })
    }

    /// Any pair; an empty passphrase means none.
    pub fn generate(kind: Kind, encoding: Encoding, passphrase: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        let bits;
        let mut arguments = match kind {
            Kind::Ed25519 => vec!["-t", "ed25519"],
            Kind::Ecdsa => vec!["-t", "ecdsa", "-b", "256"],
            Kind::EcdsaOf(size) => {
                bits = size.to_string();
                vec!["-t", "ecdsa", "-b", &bits]
            }
            Kind::Rsa(size) => {
                bits = size.to_string();
                vec!["-t", "rsa", "-b", &bits]
            }
            Kind::Dsa => vec!["-t", "dsa"],
        };
        ssh_keygen(&path, &[&arguments[..], &["-q", "-C", "", "-N", passphrase]].concat())?;
        // ssh-keygen makes the key in OpenSSH's encoding and then rewrites it. It has no other way for all kinds.
        let format = match encoding {
            Encoding::OpenSsh => None,
            Encoding::Pem => Some("PEM"),
            Encoding::Pkcs8 => Some("PKCS8"),
        };
        if let Some(format) = format {
            arguments = vec!["-q", "-p", "-m", format, "-P", passphrase, "-N", passphrase];
            ssh_keygen(&path, &arguments)?;
        }
        let public = std::fs::read_to_string(path.with_extension("pub"))?;
        Ok(Self { private: std::fs::read_to_string(&path)?, public: public.trim().to_owned() })
    }

    /// A certificate of this pair's public half, signed by an authority; `arguments` are those of `ssh-keygen -s`.
    pub fn certificate(&self, authority: &KeyPair, arguments: &[&str]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let (signer, subject) = (folder.path().join("ca"), folder.path().join("subject.pub"));
        authority.write_private(&signer)?;
        std::fs::write(&subject, &self.public)?;
        let signer = signer.display().to_string();
        let arguments = [&["-q", "-s", &signer, "-I", "test"], arguments].concat();
        let output = Command::new("ssh-keygen").args(arguments).arg(&subject).output()?;
        if !output.status.success() {
            bail!("ssh-keygen failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(std::fs::read_to_string(folder.path().join("subject-cert.pub"))?.trim().to_owned())
    }

    /// Writes the private key so that other users cannot read it, as OpenSSH requires.
    pub fn write_private(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, &self.private)?;
        Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
    }

    /// `SHA256:...`
    pub fn fingerprint(&self) -> Result<String> {
        Ok(PublicKey::from_openssh(&self.public)?.fingerprint(HashAlg::Sha256).to_string())
    }
}

fn ssh_keygen(path: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(path).output();
    let output = output.context("ssh-keygen is needed: install OpenSSH's client (openssh-client)")?;
    if !output.status.success() {
        bail!("ssh-keygen failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
