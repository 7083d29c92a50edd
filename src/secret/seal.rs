//! All secrets as one file that only some people can open: a tar archive in age's armored form, by the crate `age`, so that
//! `age -d -i IDENTITY secrets.age | tar x` reads it as well. Format: <https://age-encryption.org/v1>.

use crate::base::digest::Digest;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::limits::{SEALED_BYTES, SECRET_BYTES, SECRET_FILES};
use crate::base::private::PrivateFiles;
use crate::base::secret::{Secret, SecretBytes};
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::x25519::Recipient;
use age::{DecryptError, Decryptor, Encryptor, IdentityFile};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::path::{Component, Path};

/// Seals files to recipients (`age1...`).
///
/// # Errors
/// When there is none, or one of them is none.
pub fn seal(files: &PrivateFiles, recipients: &[String]) -> Result<Vec<u8>> {
    let parsed: Vec<Recipient> = recipients.iter().map(|text| recipient(text)).collect::<Result<_>>()?;
    let encryptor = Encryptor::with_recipients(parsed.iter().map(|recipient| recipient as _));
    let encryptor = encryptor.ok().context("nobody is named who may open the file")?;
    let mut sealed = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor).context("sealing")?;
    let mut writer = encryptor.wrap_output(armor).context("sealing")?;
    writer.write_all(archive(files)?.reveal()).context("sealing")?;
    writer.finish().and_then(ArmoredWriter::finish).context("sealing")?;
    Ok(sealed)
}

/// Opens what was sealed, with the identities of a file as `age-keygen` writes it.
///
/// # Errors
/// When it is sealed to others, or damaged.
pub fn unseal(sealed: &[u8], identity: &Secret) -> Result<PrivateFiles> {
    let identities = identities(identity)?.into_identities().ok().context("reading the identity")?;
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed)).map_err(refusal)?;
    let mut reader = decryptor.decrypt(identities.iter().map(|one| &**one as _)).map_err(refusal)?;
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(SEALED_BYTES + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    read.ok().context("it is damaged: its contents are not those that were sealed")?;
    ensure!(bytes.reveal().len() as u64 <= SEALED_BYTES, "it holds more than the {SEALED_BYTES} bytes allowed for it");
    unpack(bytes.reveal())
}

/// Tells one content from another.
///
/// # Errors
/// Never for secrets made here.
pub fn digest(files: &PrivateFiles) -> Result<Digest> {
    Ok(Digest::of(archive(files)?.reveal()))
}

/// The recipients that stand for a file of identities.
///
/// # Errors
/// When it is none.
pub fn recipients_of(identity: &Secret) -> Result<Vec<String>> {
    let mut text = Vec::new();
    identities(identity)?.write_recipients_file(&mut text).ok().context("there is no identity in it")?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Makes sure that a text is a recipient.
fn recipient(text: &str) -> Result<Recipient> {
    let parsed: Result<Recipient, &str> = text.parse();
    // What was given by mistake may be the identity itself: it is not repeated.
    let shown = if text.starts_with("age1") { format!("`{text}`") } else { "what is given".to_owned() };
    parsed.ok().with_context(|| format!("{shown} is no recipient of age")).hint(
        "a recipient begins with `age1`: `age-keygen -y IDENTITY` prints the one that stands for an identity; never \
         give the identity (`AGE-SECRET-KEY-...`) itself",
    )
}

fn identities(text: &Secret) -> Result<IdentityFile<age::NoCallbacks>> {
    if text.reveal().starts_with("age-encryption.org/") || text.reveal().starts_with("-----BEGIN AGE") {
        return Err(hinted(
            "the identity is protected by a password",
            "open it first: `age -d -o plain.txt IDENTITY`, and give that file for the moment",
        ));
    }
    let read = IdentityFile::from_buffer(text.reveal().as_bytes());
    read.ok().context("this is no file of age's identities").hint("make one: `age-keygen -o identity.txt`")
}

fn refusal(error: DecryptError) -> anyhow::Error {
    match error {
        DecryptError::NoMatchingKeys => hinted(
            "it is sealed to others, not to this identity",
            "ask somebody who can open it to seal it to you as well: `imgbuild secrets seal CLUSTER --to RECIPIENT...`",
        ),
        DecryptError::ExcessiveWork { .. } | DecryptError::KeyDecryptionFailed => {
            anyhow::anyhow!("it is sealed by a password, not to recipients")
        }
        DecryptError::InvalidMac | DecryptError::DecryptionFailed => {
            anyhow::anyhow!("it is damaged: its head is not the one that was sealed")
        }
        _ => anyhow::anyhow!("it is no file of age"),
    }
}

/// A tar archive that depends on nothing but names and contents.
fn archive(files: &PrivateFiles) -> Result<SecretBytes> {
    let room = files.values().map(|bytes| bytes.reveal().len() + 1024).sum::<usize>() + 1024;
    // Room enough from the start: nothing secret is left behind where a growing buffer was.
    let mut builder = tar::Builder::new(Vec::with_capacity(room));
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.reveal().len() as u64);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, path, bytes.reveal()).with_context(|| format!("packing {path}"))?;
    }
    Ok(SecretBytes::new(builder.into_inner().context("packing secrets")?))
}

fn unpack(bytes: &[u8]) -> Result<PrivateFiles> {
    let mut files = PrivateFiles::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().context("its contents are no tar archive")? {
        let mut entry = entry.context("its contents are no tar archive")?;
        let path = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
        let path = path.context("it holds a name that is not UTF-8")?;
        ensure!(entry.header().entry_type().is_file(), "it holds `{path}`, which is no file");
        let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(plain && !path.is_empty(), "it holds `{path}`, which leads elsewhere");
        ensure!(entry.size() <= SECRET_BYTES, "it holds `{path}`, which is longer than {SECRET_BYTES} bytes");
        ensure!(files.len() < SECRET_FILES, "it holds more than {SECRET_FILES} files");
        let mut content = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or_default());
        entry.read_to_end(&mut content).with_context(|| format!("unpacking {path}"))?;
        ensure!(files.insert(path.clone(), SecretBytes::new(content)).is_none(), "it holds `{path}` twice");
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;

    fn files() -> PrivateFiles {
        let file = |path: &str, bytes: &[u8]| (path.to_owned(), SecretBytes::new(bytes.to_vec()));
        [file("corosync.key", &[0xff; 256]), file("nodes/a/key", b"text\n")].into()
    }

    fn person() -> (Secret, String) {
        let identity = age::x25519::Identity::generate();
        let text = format!("# created: today\n{}\n", identity.to_string().expose_secret());
        (Secret::new(text), identity.to_public().to_string())
    }

    #[test]
    fn what_is_sealed_opens_for_each_recipient_and_nobody_else() {
        let ((one, to_one), (two, to_two), (stranger, _)) = (person(), person(), person());
        assert_eq!(recipients_of(&one).unwrap().join(" "), to_one);
        let sealed = seal(&files(), &[to_one, to_two]).unwrap();
        assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert_eq!(unseal(&sealed, &one).unwrap(), files());
        assert_eq!(unseal(&sealed, &two).unwrap(), files());
        let error = unseal(&sealed, &stranger).unwrap_err();
        assert_eq!(error.to_string(), "it is sealed to others, not to this identity");
        assert_eq!(digest(&files()).unwrap(), digest(&unseal(&sealed, &one).unwrap()).unwrap());
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (identity, recipient) = person();
        let sealed = seal(&files(), &[recipient]).unwrap();
        for at in (0..sealed.len()).step_by(11) {
            let mut changed = sealed.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let message = unseal(&changed, &identity).expect_err(&format!("byte {at}")).to_string();
            assert!(message.starts_with("it is "), "{message}");
            assert!(unseal(&sealed[..at], &identity).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn people_who_give_the_wrong_thing_are_told() {
        let (identity, _) = person();
        let secret = identity.reveal().lines().nth(1).unwrap().to_owned();
        let error = seal(&files(), &["age1".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "`age1` is no recipient of age");
        assert_eq!(seal(&files(), &[]).unwrap_err().to_string(), "nobody is named who may open the file");
        let error = format!("{:#}", seal(&files(), std::slice::from_ref(&secret)).unwrap_err());
        assert!(!error.contains(&secret), "{error}");
        let error = unseal(b"", &Secret::new("-----BEGIN AGE ENCRYPTED FILE-----".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "the identity is protected by a password");
    }

    #[test]
    fn archives_that_lead_elsewhere_are_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_cksum();
        header.as_ustar_mut().unwrap().name[..1].copy_from_slice(b"x");
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        let error = unpack(&builder.into_inner().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "it holds `x`, which is no file");
    }
}
