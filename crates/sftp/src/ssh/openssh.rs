//! ECDSA keys of the curve P-256 whose private number begins with a zero byte, in OpenSSH's encoding.
//!
//! OpenSSH writes the number without leading zeros. One key in 512 is therefore shorter than 32 bytes, and
//! `ssh-key` refuses a shorter number. This reader adds the zeros.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::cipher::Tag;
use russh::keys::ssh_key::encoding::{Decode, Reader};
use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData};
use russh::keys::ssh_key::public::EcdsaPublicKey;
use russh::keys::ssh_key::{Cipher, Error, Kdf};
use secrecy::zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The key. `None` if it is another kind of key, is damaged, or the passphrase is wrong.
pub(crate) fn decode_p256(text: &str, passphrase: Option<&str>) -> Option<PrivateKey> {
    let body = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?.1;
    let body = body.split_once("-----END OPENSSH PRIVATE KEY-----")?.0;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let container = Zeroizing::new(BASE64_STANDARD.decode(body.as_str()).ok()?);
    let plain = private_part(container.strip_prefix(MAGIC)?, passphrase).ok()?;
    let keypair = keypair(&mut plain.as_slice()).ok()?;
    PrivateKey::new(KeypairData::Ecdsa(keypair), "").ok()
}

/// Decrypts what the container holds of the private key.
fn private_part(mut container: &[u8], passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let reader = &mut container;
    let cipher = Cipher::decode(reader)?;
    let kdf = Kdf::decode(reader)?;
    if u32::decode(reader)? != 1 {
        return Err(Error::FormatEncoding);
    }
    Vec::<u8>::decode(reader)?; // The public key, which the private part repeats.
    let mut part = Zeroizing::new(Vec::<u8>::decode(reader)?);
    if cipher.is_some() {
        let (key, iv) = kdf.derive_key_and_iv(cipher, passphrase.unwrap_or_default())?;
        let tag = if cipher.has_tag() { Some(tag(reader)?) } else { None };
        cipher.decrypt(&key, &iv, &mut part, tag)?;
    }
    Ok(part)
}

fn tag(reader: &mut &[u8]) -> Result<Tag, Error> {
    let mut tag = [0; 16];
    reader.read(&mut tag)?;
    Ok(tag.into())
}

fn keypair(part: &mut &[u8]) -> Result<EcdsaKeypair, Error> {
    // Two equal numbers show that the passphrase was right.
    if u32::decode(part)? != u32::decode(part)? {
        return Err(Error::Crypto);
    }
    if String::decode(part)? != "ecdsa-sha2-nistp256" {
        return Err(Error::AlgorithmUnknown);
    }
    let EcdsaPublicKey::NistP256(public) = EcdsaPublicKey::decode(part)? else {
        return Err(Error::AlgorithmUnknown);
    };
    let number = Zeroizing::new(Vec::<u8>::decode(part)?);
    let mut private = [0; 32];
    let zeros = private.len().checked_sub(number.len()).ok_or(Error::FormatEncoding)?;
    private[zeros..].copy_from_slice(&number);
    Ok(EcdsaKeypair::NistP256 { public, private: EcdsaPrivateKey::from(private) })
}
