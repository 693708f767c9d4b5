//! Private keys in the old encryption of OpenSSL, and of OpenSSH before 7.8: the PEM has a line `DEK-Info`.
//! russh reads such keys only if they are RSA keys, and knows only one of the ciphers. Here they are decrypted first.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cbc::Decryptor;
use md5::{Digest, Md5};
use secrecy::zeroize::Zeroizing;

/// Whether the PEM is encrypted in this way.
pub(crate) fn is_encrypted(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(DEK_INFO))
}

const DEK_INFO: &str = "DEK-Info:";

/// The PEM without its encryption. `None` if the passphrase is wrong, the text is damaged, or the cipher is unknown.
pub(crate) fn decrypt(text: &str, passphrase: &str) -> Option<Zeroizing<String>> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let begin = lines.find(|line| line.ends_with("PRIVATE KEY-----"))?;
    let inside: Vec<&str> = lines.take_while(|line| !line.starts_with("-----END ")).collect();
    let (cipher, iv) = inside.iter().find_map(|line| line.strip_prefix(DEK_INFO)?.split_once(','))?;
    let body: String = inside.iter().filter(|line| !line.contains(':')).copied().collect();
    let mut data = Zeroizing::new(BASE64_STANDARD.decode(body).ok()?);
    let iv = hex::decode(iv.trim()).ok()?;
    let plain = match cipher.trim() {
        "AES-128-CBC" => decrypt_cbc::<aes::Aes128>(&mut data, passphrase, &iv, 16),
        "AES-192-CBC" => decrypt_cbc::<aes::Aes192>(&mut data, passphrase, &iv, 24),
        "AES-256-CBC" => decrypt_cbc::<aes::Aes256>(&mut data, passphrase, &iv, 32),
        "DES-EDE3-CBC" => decrypt_cbc::<des::TdesEde3>(&mut data, passphrase, &iv, 24),
        "DES-CBC" => decrypt_cbc::<des::Des>(&mut data, passphrase, &iv, 8),
        _ => None,
    }?;
    let end = begin.replacen("BEGIN", "END", 1);
    let body = Zeroizing::new(BASE64_STANDARD.encode(plain));
    Some(Zeroizing::new(format!("{begin}\n{}\n{end}\n", body.as_str())))
}

fn decrypt_cbc<'d, C>(data: &'d mut [u8], passphrase: &str, iv: &[u8], length: usize) -> Option<&'d [u8]>
where
    C: aes::cipher::BlockCipherDecrypt + aes::cipher::KeyInit,
    Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let key = key(passphrase, iv.get(..8)?, length);
    Decryptor::<C>::new_from_slices(&key, iv).ok()?.decrypt_padded::<Pkcs7>(data).ok()
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one iteration.
fn key(passphrase: &str, salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(48));
    let mut last = Vec::new();
    while key.len() < length {
        last = Md5::new().chain_update(&last).chain_update(passphrase).chain_update(salt).finalize().to_vec();
        key.extend(&last);
    }
    key.truncate(length);
    key
}
