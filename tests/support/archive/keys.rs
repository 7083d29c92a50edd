//! Certificates of any shape and signatures by them, made from the fixture keys.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedKeyDetails, SignedPublicKey,
    SignedPublicSubKey, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Notation, PublicSubkey, SecretKey, SecretSubkey, Signature, SignatureConfig, SignatureType, Subpacket,
    SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails, PacketHeaderVersion, Password, SignedUser, SigningKey, Tag, Timestamp};

/// 2024-01-01, when the fixture keys were made.
pub const KEYS_MADE: u32 = 1_704_067_200;
/// 2024-06-01, when most signatures are made.
pub const SIGNED: u32 = 1_717_200_000;
/// 2024-07-01, what the tests call now.
pub const NOW: i64 = 1_719_792_000;
/// One day in seconds.
pub const DAY: u32 = 86_400;

/// A fixture's secret keys.
#[derive(Clone)]
pub struct Keys {
    pub primary: SecretKey,
    pub subkey: Option<SecretSubkey>,
    pub shape: Shape,
}

/// How the certificate is put together.
#[derive(Clone)]
pub struct Shape {
    pub self_hash: HashAlgorithm,
    pub primary_flags: Option<bool>,
    pub primary_lifetime: Option<u32>,
    pub primary_revoked: bool,
    pub subkey_flags: Option<bool>,
    pub subkey_lifetime: Option<u32>,
    pub subkey_revoked: bool,
    pub back_signature: bool,
    pub certified_by: Option<Box<Keys>>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            self_hash: HashAlgorithm::Sha512,
            primary_flags: Some(true),
            primary_lifetime: None,
            primary_revoked: false,
            subkey_flags: Some(true),
            subkey_lifetime: None,
            subkey_revoked: false,
            back_signature: true,
            certified_by: None,
        }
    }
}

/// One signature over a text.
#[derive(Clone)]
pub struct Signing {
    pub by_subkey: bool,
    pub hash: HashAlgorithm,
    pub time: u32,
    pub lifetime: Option<u32>,
    pub critical_notation: bool,
    pub kind: SignatureType,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            by_subkey: true,
            hash: HashAlgorithm::Sha512,
            time: SIGNED,
            lifetime: None,
            critical_notation: false,
            kind: SignatureType::Text,
        }
    }
}

impl Keys {
    /// Reads `tests/fixtures/openpgp/NAME.asc`.
    pub fn fixture(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/openpgp/{name}.asc", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let (key, _) = SignedSecretKey::from_string(&text).unwrap();
        let subkey = key.secret_subkeys.first().map(|subkey| subkey.key.clone());
        Self { primary: key.primary_key, subkey, shape: Shape::default() }
    }

    pub fn shaped(mut self, change: impl FnOnce(&mut Shape)) -> Self {
        change(&mut self.shape);
        self
    }

    pub fn primary_fingerprint(&self) -> String {
        format!("{:X}", self.primary.fingerprint())
    }

    pub fn subkey_fingerprint(&self) -> String {
        format!("{:X}", self.subkey.as_ref().unwrap().fingerprint())
    }

    /// The certificate in binary form.
    pub fn binary(&self) -> Vec<u8> {
        self.certificate().to_bytes().unwrap()
    }

    /// The certificate as an armoured block.
    pub fn armoured(&self) -> String {
        self.certificate().to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub fn certificate(&self) -> SignedPublicKey {
        let shape = &self.shape;
        let public = self.primary.public_key().clone();
        let none = Password::empty();
        let id = UserId::from_str(PacketHeaderVersion::New, "imgbuild test (worth nothing)").unwrap();
        let mut parts = vec![];
        parts.extend(shape.primary_flags.map(|sign| flags(true, sign)));
        parts.extend(shape.primary_lifetime.map(|s| SubpacketData::KeyExpirationTime(Duration::from_secs(s))));
        let config = configure(&self.primary, SignatureType::CertPositive, shape.self_hash, KEYS_MADE, parts);
        let mut signatures = vec![config.sign_certification(&self.primary, &public, &none, Tag::UserId, &id).unwrap()];
        if let Some(other) = &shape.certified_by {
            let config = configure(&other.primary, SignatureType::CertGeneric, HashAlgorithm::Sha512, SIGNED, vec![]);
            signatures.insert(
                0,
                config.sign_certification_third_party(&other.primary, &none, &public, Tag::UserId, &id).unwrap(),
            );
        }
        let mut revocations = vec![];
        if shape.primary_revoked {
            let kind = SignatureType::KeyRevocation;
            let config = configure(&self.primary, kind, HashAlgorithm::Sha512, SIGNED - DAY, vec![]);
            revocations.push(config.sign_key(&self.primary, &none, &public).unwrap());
        }
        let subkeys = self.subkey.iter().map(|subkey| self.bound(subkey)).collect();
        let details = SignedKeyDetails::new(revocations, vec![], vec![SignedUser::new(id, signatures)], vec![]);
        SignedPublicKey::new(public, details, subkeys)
    }

    fn bound(&self, subkey: &SecretSubkey) -> SignedPublicSubKey {
        let shape = &self.shape;
        let none = Password::empty();
        let public: PublicSubkey = subkey.public_key().clone();
        let mut parts = vec![];
        parts.extend(shape.subkey_flags.map(|sign| flags(false, sign)));
        parts.extend(shape.subkey_lifetime.map(|s| SubpacketData::KeyExpirationTime(Duration::from_secs(s))));
        if shape.back_signature {
            let config = configure(subkey, SignatureType::KeyBinding, HashAlgorithm::Sha512, KEYS_MADE, vec![]);
            let back = config.sign_primary_key_binding(subkey, &public, &none, self.primary.public_key()).unwrap();
            parts.push(SubpacketData::EmbeddedSignature(Box::new(back)));
        }
        let config = configure(&self.primary, SignatureType::SubkeyBinding, HashAlgorithm::Sha512, KEYS_MADE, parts);
        let owner = self.primary.public_key();
        let mut signatures = vec![config.sign_subkey_binding(&self.primary, owner, &none, &public).unwrap()];
        if shape.subkey_revoked {
            let kind = SignatureType::SubkeyRevocation;
            let config = configure(&self.primary, kind, HashAlgorithm::Sha512, SIGNED - DAY, vec![]);
            signatures.insert(0, config.sign_subkey_binding(&self.primary, owner, &none, &public).unwrap());
        }
        SignedPublicSubKey::new(public, signatures)
    }

    fn sign_bytes(&self, signing: &Signing, bytes: &[u8]) -> Signature {
        let none = Password::empty();
        let mut parts = vec![];
        parts.extend(signing.lifetime.map(|s| SubpacketData::SignatureExpirationTime(Duration::from_secs(s))));
        match self.subkey.as_ref().filter(|_| signing.by_subkey) {
            Some(key) => signing.configured(key, parts).sign(key, &none, bytes).unwrap(),
            None => signing.configured(&self.primary, parts).sign(&self.primary, &none, bytes).unwrap(),
        }
    }

    /// The text, clear-signed.
    pub fn clear_sign(&self, signing: &Signing, text: &str) -> String {
        clear_sign_by_all(&[(self, signing.clone())], text)
    }

    /// A signature beside the bytes.
    pub fn detached(&self, signing: &Signing, bytes: &[u8]) -> DetachedSignature {
        DetachedSignature::new(self.sign_bytes(signing, bytes))
    }
}

/// The text, clear-signed by several keys.
pub fn clear_sign_by_all(signers: &[(&Keys, Signing)], text: &str) -> String {
    // The newline before the signature's header is not part of the signed text.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let message = CleartextSignedMessage::new_many(text, |canonical| {
        // Blanks at the end of a line are not signed.
        let lines: Vec<&str> = canonical.split("\r\n").map(|line| line.trim_end_matches([' ', '\t'])).collect();
        let canonical = lines.join("\r\n");
        Ok(signers.iter().map(|(keys, signing)| keys.sign_bytes(signing, canonical.as_bytes())).collect())
    });
    message.unwrap().to_armored_string(ArmorOptions::default()).unwrap()
}

impl Signing {
    fn configured(&self, key: &impl SigningKey, parts: Vec<SubpacketData>) -> SignatureConfig {
        let mut config = configure(key, self.kind, self.hash, self.time, parts);
        if self.critical_notation {
            let notation = Notation { readable: true, name: "a@example".into(), value: "b".into() };
            config.hashed_subpackets.push(Subpacket::critical(SubpacketData::Notation(notation)).unwrap());
        }
        config
    }
}

fn configure(
    key: &impl SigningKey,
    kind: SignatureType,
    hash: HashAlgorithm,
    time: u32,
    parts: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    let mut all = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(time)),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ];
    all.extend(parts);
    config.hashed_subpackets = all.into_iter().map(|part| Subpacket::regular(part).unwrap()).collect();
    let id = SubpacketData::IssuerKeyId(key.legacy_key_id());
    config.unhashed_subpackets = vec![Subpacket::regular(id).unwrap()];
    config
}

fn flags(certify: bool, sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(certify);
    flags.set_sign(sign);
    flags.set_encrypt_storage(!certify && !sign);
    SubpacketData::KeyFlags(flags)
}
