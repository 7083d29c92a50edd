//! OpenSSH's public keys and its signatures over files (SSHSIG), Ed25519 with SHA-512 alone.
//!
//! <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>

use super::base64;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};

const KIND: &[u8] = b"ssh-ed25519";
const MAGIC: &[u8] = b"SSHSIG";
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----";

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// As it stands in a line: kind and key, each with its length.
    blob: Vec<u8>,
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads one line `ssh-ed25519 AAAA... [comment]`.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let wrong = || "is no line `ssh-ed25519 AAAA...`".to_owned();
        let line = line.strip_suffix('\n').unwrap_or(line);
        let mut words = line.splitn(3, ' ');
        if line.contains('\n') || words.next().map(str::as_bytes) != Some(KIND) {
            return Err(wrong());
        }
        let blob = words.next().and_then(base64::decode).ok_or_else(wrong)?;
        let key = key(&blob).ok_or_else(wrong)?;
        Ok(Self { blob, key })
    }

    /// The line without a comment.
    pub(crate) fn fingerprint(&self) -> String {
        format!("SHA256:{}", base64::encode_unpadded(&Sha256::digest(&self.blob)))
    }

    /// Verifies an armoured signature of this key over these bytes, made for this purpose.
    pub(crate) fn verify(&self, armoured: &str, namespace: &str, bytes: &[u8]) -> Result<(), String> {
        let parts = read(armoured)?;
        if parts.key != self.blob {
            return Err("its signature was made by another key".to_owned());
        }
        if parts.namespace != namespace.as_bytes() {
            return Err(format!("its signature was made for another purpose than `{namespace}`"));
        }
        let mut signed = MAGIC.to_vec();
        for field in [namespace.as_bytes(), b"", HASH, &Sha512::digest(bytes)] {
            signed.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            signed.extend(field);
        }
        let wrong = |_| "its signature does not fit: it was changed or damaged".to_owned();
        self.key.verify_strict(&signed, &parts.signature).map_err(wrong)
    }
}

struct Parts {
    key: Vec<u8>,
    namespace: Vec<u8>,
    signature: Signature,
}

fn read(armoured: &str) -> Result<Parts, String> {
    let wrong = || "its signature is malformed".to_owned();
    let text = armoured.strip_suffix('\n').unwrap_or(armoured);
    let body = text.strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END)).ok_or_else(wrong)?;
    let letters: String = body.split('\n').collect();
    let blob = base64::decode(&letters).ok_or_else(wrong)?;
    let mut rest =
        blob.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&1_u32.to_be_bytes())).ok_or_else(wrong)?;
    let mut next = || field(&mut rest);
    let (key, namespace) = (next().ok_or_else(wrong)?, next().ok_or_else(wrong)?);
    let (reserved, hash, signature) = (next().ok_or_else(wrong)?, next().ok_or_else(wrong)?, next().ok_or_else(wrong)?);
    if !rest.is_empty() || !reserved.is_empty() {
        return Err(wrong());
    }
    if hash != HASH {
        return Err("its signature is not over SHA-512".to_owned());
    }
    let mut inner = signature.as_slice();
    let (kind, value) = (field(&mut inner).ok_or_else(wrong)?, field(&mut inner).ok_or_else(wrong)?);
    if kind != KIND || !inner.is_empty() {
        return Err("its signature is not one of Ed25519".to_owned());
    }
    let signature = Signature::from_slice(&value).map_err(|_| wrong())?;
    Ok(Parts { key, namespace, signature })
}

fn key(blob: &[u8]) -> Option<VerifyingKey> {
    let mut rest = blob;
    if field(&mut rest)? != KIND {
        return None;
    }
    let bytes: [u8; 32] = field(&mut rest)?.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    (rest.is_empty() && !key.is_weak()).then_some(key)
}

/// Takes one length and as many bytes from the front.
fn field(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (bytes, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    Some(bytes.to_vec())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seed::example::Signer;
    use proptest::prelude::*;

    #[test]
    fn signature_counts_for_its_key_bytes_and_purpose_alone() {
        let (signer, other) = (Signer::new(1), Signer::new(2));
        let key = PublicKey::parse(&signer.line()).unwrap();
        let armoured = signer.sign("imgbuild-seed", b"bytes");
        key.verify(&armoured, "imgbuild-seed", b"bytes").unwrap();
        let said = |result: Result<(), String>| result.unwrap_err();
        assert!(said(key.verify(&armoured, "imgbuild-seed", b"byteS")).contains("does not fit"));
        assert!(said(key.verify(&armoured, "imgbuild-cluster", b"bytes")).contains("another purpose"));
        assert!(
            said(key.verify(&other.sign("imgbuild-seed", b"bytes"), "imgbuild-seed", b"bytes")).contains("another key")
        );
    }

    #[test]
    fn lines_that_are_no_ed25519_keys_are_refused() {
        let line = Signer::new(1).line();
        PublicKey::parse(&line).unwrap();
        PublicKey::parse(&format!("{} somebody@somewhere\n", line.trim_end())).unwrap();
        let zeros = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for wrong in [
            "",
            "ssh-ed25519",
            "ssh-rsa AAAA",
            &line.replace("AAAA", "AAAB"),
            &line[..40],
            zeros,
            &format!("{line}{line}"),
        ] {
            assert!(PublicKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn readers_never_panic(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PublicKey::parse(&text);
            let _ = read(&text);
            let _ = read(&format!("{BEGIN}{}\n{END}\n", base64::encode_unpadded(&bytes)));
            let _ = key(&bytes);
        }

        #[test]
        fn every_flipped_bit_of_a_signature_is_refused(at in 0_usize..400, bit in 0_u8..8) {
            let signer = Signer::new(1);
            let key = PublicKey::parse(&signer.line()).unwrap();
            let armoured = signer.sign("imgbuild-seed", b"bytes");
            let mut bytes = armoured.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                // The armour's line breaks say nothing.
                prop_assume!(text.replace('\n', "") != armoured.replace('\n', ""));
                prop_assert!(key.verify(&text, "imgbuild-seed", b"bytes").is_err());
            }
        }
    }
}
