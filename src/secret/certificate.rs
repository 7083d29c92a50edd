//! X.509 (RFC 5280): authorities and leaves, made by `rcgen` and read by `x509-parser`; what they say is decided here.

use super::key::{self, EcKey};
use super::source::Source;
use super::values::Certified;
use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
    SerialNumber,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Seconds of a day.
pub(super) const DAY: i64 = 24 * 3600;
/// How long authorities count.
const AUTHORITY_DAYS: i64 = 3652;
/// How long leaves count: machines are built anew more often than that.
const LEAF_DAYS: i64 = 730;
/// From when on certificates count whose machine may not know the time yet: 2000-01-01. A guest's clock stands at the
/// build of its systemd at the earliest.
const EPOCH: i64 = 946_684_800;
/// The kubelet asks for the next certificate after a part of the whole period: it must not begin long ago.
const BACKDATED_DAYS: i64 = 30;

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// How it is called here.
    pub(super) name: &'static str,
    /// The authority's name.
    pub(super) authority: &'static str,
    pub(super) common_name: String,
    pub(super) organization: Option<&'static str>,
    /// DNS names and addresses; none for a client's.
    pub(super) names: BTreeSet<String>,
    pub(super) server: bool,
    pub(super) client: bool,
    /// Whether it counts only from about now.
    pub(super) recent: bool,
}

/// What a certificate says, as far as it is of interest here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) names: BTreeSet<String>,
    /// Hexadecimal.
    pub(super) serial: String,
    /// Seconds since 1970.
    pub(super) until: i64,
    point: Vec<u8>,
}

/// An authority with this key, or a new one.
pub(super) fn authority(common_name: &str, key: Option<EcKey>, source: &mut Source) -> Result<Certified> {
    let failed = || format!("making the authority {common_name}");
    let key = match key {
        Some(key) => key,
        None => EcKey::make(source)?,
    };
    let mut params = parameters(common_name, EPOCH, source.now() + AUTHORITY_DAYS * DAY, source)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).with_context(failed)?;
    Ok(Certified { certificate: key::encode("CERTIFICATE", certificate.der()), key: key.private() })
}

/// A leaf by an authority, with this key or a new one.
pub(super) fn leaf(wanted: &Leaf, authority: &Certified, key: Option<EcKey>, source: &mut Source) -> Result<Certified> {
    let failed = || format!("making the certificate of {}", wanted.common_name);
    let key = match key {
        Some(key) => key,
        None => EcKey::make(source)?,
    };
    let from = if wanted.recent { source.now() - BACKDATED_DAYS * DAY } else { EPOCH };
    // No leaf outlives its authority: it would not be believed, and the calendar would promise too much.
    let until = (source.now() + LEAF_DAYS * DAY).min(facts(&authority.certificate)?.until);
    let mut params = parameters(&wanted.common_name, from, until, source)?;
    if let Some(organization) = wanted.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    for name in &wanted.names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().with_context(failed)?),
        });
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usages =
        [(wanted.server, ExtendedKeyUsagePurpose::ServerAuth), (wanted.client, ExtendedKeyUsagePurpose::ClientAuth)];
    params.extended_key_usages = usages.into_iter().filter(|(is, _)| *is).map(|(_, usage)| usage).collect();
    params.use_authority_key_identifier_extension = true;
    let signer = EcKey::read(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signer).with_context(failed)?;
    let certificate = params.signed_by(&key, &issuer).with_context(failed)?;
    Ok(Certified { certificate: key::encode("CERTIFICATE", certificate.der()), key: key.private() })
}

fn parameters(common_name: &str, from: i64, until: i64, source: &mut Source) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::from_unix_timestamp(from).context("reading the clock")?;
    params.not_after = OffsetDateTime::from_unix_timestamp(until).context("reading the clock")?;
    // Positive, and never shortened by leading zeros.
    let mut serial = *source.bytes::<16>()?;
    serial[0] = (serial[0] & 0x3f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

/// Reads a certificate.
pub(super) fn facts(pem: &str) -> Result<Facts> {
    with(pem, |certificate| {
        let tbs = &certificate.tbs_certificate;
        let first = |mut found: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            found.take().and_then(|value| value.as_str().ok()).map(str::to_owned)
        };
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
        Ok(Facts {
            common_name: first(tbs.subject.iter_common_name().next()).unwrap_or_default(),
            organization: first(tbs.subject.iter_organization().next()),
            names,
            serial: tbs.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            until: tbs.validity.not_after.timestamp(),
            point: tbs.subject_pki.subject_public_key.data.to_vec(),
        })
    })
}

/// Makes sure that a certificate is of its key and signed by an authority (itself, when none is given).
pub(super) fn check(certified: &Certified, authority: Option<&Certified>) -> Result<Facts> {
    let facts = facts(&certified.certificate)?;
    ensure!(EcKey::read(&certified.key)?.is_of(&facts.point), "it is of another key");
    let signer = match authority {
        Some(authority) => self::facts(&authority.certificate)?.point,
        None => facts.point.clone(),
    };
    with(&certified.certificate, |certificate| {
        let tbs = &certificate.tbs_certificate;
        // The outer name of the algorithm is not signed; it must be the inner one (RFC 5280, 4.1.1.2).
        ensure!(certificate.signature_algorithm == tbs.signature, "it names two kinds of signatures");
        ensure!(authority.is_some() || tbs.is_ca(), "it is no authority's");
        key::verify(&signer, tbs.as_ref(), &certificate.signature_value.data)
    })?;
    Ok(facts)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn with<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> Result<T>) -> Result<T> {
    let wanted = "this is no X.509 certificate in PEM";
    let pem = pem::parse(pem).ok().filter(|pem| pem.tag() == "CERTIFICATE").context(wanted)?;
    let (rest, certificate) = X509Certificate::from_der(pem.contents()).ok().context(wanted)?;
    ensure!(rest.is_empty(), "something follows the certificate");
    look(&certificate)
}
