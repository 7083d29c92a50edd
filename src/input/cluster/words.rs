//! Checks of single texts of a cluster: names of machines and networks, addresses, keys.

use crate::base::network::{AddressError, Cidr, Mac};
use crate::input::decode::Refusal;
use std::net::IpAddr;

/// One label of a DNS name: also a machine's or a cluster's name (RFC 1123).
pub(super) fn label(text: &str) -> Result<String, Refusal> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    let lower = text.to_ascii_lowercase().replace('_', "-");
    let meant = (lower != text && is_label(&lower)).then_some(lower);
    Err(Refusal::new(format!("`{text}` cannot be the name of a machine or a cluster"))
        .suggest(meant)
        .hint("at most 63 lower-case letters, digits or `-`, with a letter or digit at both ends"))
}

/// A DNS name of labels and dots.
pub(super) fn domain(text: &str) -> Result<String, Refusal> {
    if text.len() <= 200 && !text.is_empty() && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    let tidy = text.to_ascii_lowercase();
    let tidy = tidy.trim_matches('.');
    let meant = (tidy != text && !tidy.is_empty() && tidy.split('.').all(is_label)).then(|| tidy.to_owned());
    Err(Refusal::new(format!("`{text}` is no DNS name"))
        .suggest(meant)
        .hint("write labels of lower-case letters, digits and `-` with dots between them, such as demo.internal"))
}

fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
}

/// A network's name: the interfaces in it are named after it, and the kernel allows 15 bytes.
pub(super) fn network(text: &str) -> Result<String, Refusal> {
    /// Names that mean something else to the kernel, to sysctl or to nftables.
    const TAKEN: &[&str] = &["lo", "all", "default", "any", "none"];
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && text.len() <= 15 && text.chars().all(shape) && !TAKEN.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` cannot be the name of a network and of the interfaces in it"))
        .hint("at most 15 lower-case letters, digits, `-` or `_`, with a letter first, and not lo, all or default"))
}

/// A word that joins nodes: a failure domain, a listener, a volume.
pub(super) fn word(text: &str) -> Result<String, Refusal> {
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 63 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no name"))
        .hint("at most 63 letters, digits, `-`, `_` or `.`, with a letter or digit first"))
}

/// A path in Vault: words with `/` between them.
pub(super) fn vault_path(text: &str) -> Result<String, Refusal> {
    if text.len() <= 200 && text.split('/').all(|part| word(part).is_ok()) {
        return Ok(text.to_owned());
    }
    let tidy = text.trim_matches('/').to_owned();
    let meant = (tidy != text && tidy.split('/').all(|part| word(part).is_ok())).then_some(tidy);
    Err(Refusal::new(format!("`{text}` is no path in Vault"))
        .suggest(meant)
        .hint("write it without `data/`, as `vault kv get` takes it: imgbuild/demo"))
}

/// A path that is asked for by HTTP: what balancers take as one word, whatever their quotes and comments are.
pub(super) fn url_path(text: &str) -> Result<String, Refusal> {
    let shape = |c: char| c.is_ascii_alphanumeric() || "-._~/?=&".contains(c);
    if text.starts_with('/') && text.len() <= 200 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    let meant = (!text.starts_with('/') && !text.contains(':')).then(|| format!("/{text}"));
    let meant = meant.filter(|path| path.len() > 1 && url_path(path).is_ok());
    Err(Refusal::new(format!("`{text}` is no path to ask for"))
        .suggest(meant)
        .hint("begin with `/`; letters, digits and -._~/?=& are known, at most 200"))
}

/// An address of a machine.
pub(super) fn address(text: &str) -> Result<IpAddr, Refusal> {
    let refuse = |message: String| Refusal::new(message);
    let address: IpAddr = match text.parse() {
        Ok(address) => address,
        Err(_) => {
            let bare = text.split_once('/').map(|(address, _)| address.to_owned());
            let meant = bare.filter(|address| address.parse::<IpAddr>().is_ok());
            let hint = "write it as 192.168.4.21 or fd00:4::21; the prefix is the network's";
            return Err(refuse(format!("`{text}` is no address")).suggest(meant).hint(hint));
        }
    };
    let odd = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local(),
    };
    if odd {
        let hint = "loopback, link-local, multicast and broadcast addresses mean something else on every machine";
        return Err(refuse(format!("no machine can be reached at `{text}`")).hint(hint));
    }
    Ok(address)
}

/// A network with its prefix; bits of a machine are a mistake.
pub(super) fn cidr(text: &str) -> Result<Cidr, Refusal> {
    let cidr: Cidr = text.parse().map_err(|error: AddressError| {
        Refusal::new(error.to_string()).hint("write the network's address, `/` and the length of its prefix in bits")
    })?;
    if cidr.network() != cidr {
        let message = format!("`{text}` has bits beyond its prefix: it is an address in a network");
        return Err(Refusal::new(message).suggest(Some(cidr.network().to_string())));
    }
    Ok(cidr)
}

/// A network card's address.
pub(super) fn mac(text: &str) -> Result<Mac, Refusal> {
    text.parse().map_err(|error: AddressError| {
        let local = "52:54:00:00:04:15";
        Refusal::new(error.to_string()).hint(format!("write six pairs of hexadecimal digits, such as \"{local}\""))
    })
}

/// A public key as it stands in `authorized_keys`, without options.
pub(super) fn public_key(text: &str) -> Result<String, Refusal> {
    /// What OpenSSH 9 still accepts by default; ssh-dss and RSA below 2048 bits are refused there.
    const KINDS: &[&str] = &[
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    if text.contains("PRIVATE KEY") {
        let refusal = Refusal::new("this is a private key, where the public one is wanted").hide();
        return Err(refusal
            .hint("write the contents of the file that ends in .pub, and make a new pair: this one is known now"));
    }
    let mut words = text.split(' ');
    let (kind, body) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let base64 = body.len() >= 64
        && body.len() <= 4096
        && body.trim_end_matches('=').bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'));
    let plain = !text.chars().any(char::is_control);
    if KINDS.contains(&kind) && base64 && plain && begins_with_kind(body, kind) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(24).collect();
    Err(Refusal::new(format!("`{shown}` is no public key"))
        .hint("write one line of a .pub file: `ssh-ed25519 AAAA... comment`"))
}

/// Whether the key's body says the same kind as the word before it (a length of four bytes, then the word).
fn begins_with_kind(body: &str, kind: &str) -> bool {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in body.bytes() {
        let Some(value) = ALPHABET.iter().position(|known| *known == letter) else { break };
        bits = (bits << 6) | u32::try_from(value).unwrap_or(0);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or(0));
        }
        if bytes.len() == 4 + kind.len() {
            break;
        }
    }
    bytes.get(4..) == Some(kind.as_bytes()) && bytes[..4] == u32::try_from(kind.len()).unwrap_or(0).to_be_bytes()
}

/// A time zone by its name in the database.
pub(super) fn time_zone(text: &str) -> Result<String, Refusal> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    if text.len() <= 64 && text.split('/').all(part) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no time zone")).hint("write its name in the database: UTC, Europe/Berlin"))
}

/// A locale such as `en_US.UTF-8`.
pub(super) fn locale(text: &str) -> Result<String, Refusal> {
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@');
    if text.len() <= 64 && (text.ends_with(".UTF-8") || text == "C") && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    let meant = (!text.contains('.') && text.chars().all(shape) && !text.is_empty()).then(|| format!("{text}.UTF-8"));
    Err(Refusal::new(format!("`{text}` is no locale in UTF-8"))
        .suggest(meant)
        .hint("write it as en_US.UTF-8 or C.UTF-8"))
}

/// A machine by name or by address.
pub(super) fn host(text: &str) -> Result<String, Refusal> {
    if text.parse::<IpAddr>().is_ok() || domain(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is neither a name nor an address")).hint("write time.example or 192.168.4.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJGgFnTqpV9Yzv5dGyNfLkQrXzHcUJZ3FVfjgMBWq5x me@laptop";

    #[test]
    fn texts_of_the_wanted_shape_are_taken() {
        assert!(public_key(KEY).is_ok());
        for text in ["a", "worker1", "k8s-node-01"] {
            assert!(label(text).is_ok(), "{text}");
        }
        for text in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(time_zone(text).is_ok(), "{text}");
        }
        assert!(locale("de_DE.UTF-8").is_ok() && host("fd00::1").is_ok() && domain("demo.internal").is_ok());
    }

    #[test]
    fn texts_of_another_shape_are_refused() {
        for text in ["", "-a", "a-", "A", "a_b", "a.b"] {
            assert!(label(text).is_err(), "{text}");
        }
        for text in ["lo", "Lan", "0net", "a-very-long-network", ""] {
            assert!(network(text).is_err(), "{text}");
        }
        for text in ["127.0.0.1", "fe80::1", "224.0.0.1", "0.0.0.0", "192.168.4.21/24", "192.168.4"] {
            assert!(address(text).is_err(), "{text}");
        }
        let other = KEY.replacen("ssh-ed25519", "ssh-rsa", 1);
        for text in ["", "ssh-ed25519", "ssh-dss AAAA", other.as_str(), "from=\"x\" ssh-ed25519 AAAA"] {
            assert!(public_key(text).is_err(), "{text}");
        }
        for text in ["utc", "", "../etc/passwd", "Europe/"] {
            assert!(time_zone(text).is_err(), "{text}");
        }
    }
}
