//! Proxies of the environment, and of single servers.
//!
//! `https` goes through a tunnel (CONNECT), which the client library does by itself. Plain `http` is handed to the
//! proxy whole, as a request with the full URL: proxies forbid tunnels to port 80, and caching ones (the reason to
//! have one for packages) could not see into them. <https://www.rfc-editor.org/rfc/rfc9112.html#section-3.2.2>

use std::fmt::Write as _;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, Either, NextTimeout, Transport,
};
use ureq::{Agent, Error, Proxy, ProxyProtocol};

/// An agent for one scheme that goes through this proxy, or directly.
pub(super) fn agent(
    scheme: &str,
    proxy: Option<Proxy>,
    config: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
) -> Agent {
    match proxy {
        Some(proxy) if scheme == "http" && proxy.protocol() == ProxyProtocol::Http => {
            let forward = Forward { proxy };
            let connector = DefaultConnector::new().chain(forward.clone());
            Agent::with_parts(config.proxy(None).build(), connector, forward)
        }
        proxy => Agent::new_with_config(config.proxy(proxy).build()),
    }
}

/// The proxy that the environment names for this scheme, as curl reads it.
///
/// # Errors
/// The proxy as it stands there, without password, when it is no URL.
pub(super) fn from_environment(scheme: &str) -> Result<Option<Proxy>, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
    let Some(value) = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy")) else { return Ok(None) };
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let bad = |_| super::shown(&url);
    let parsed = Proxy::new(&url).map_err(bad)?;
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(name) = parsed.username() {
        builder = builder.username(name);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in either("no_proxy").unwrap_or_default().split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
        if !host.starts_with(['*', '.']) {
            // A domain stands for the hosts in it.
            builder = builder.no_proxy(&format!(".{host}"));
        }
    }
    builder.build().map(Some).map_err(bad)
}

/// A proxy that is named elsewhere, such as in apt's settings.
///
/// # Errors
/// The proxy as it stands there, without password, when it is no URL.
pub(super) fn named(value: &str) -> Result<Proxy, String> {
    let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    Proxy::new(url.trim_end_matches('/')).map_err(|_| super::shown(&url))
}

/// Connects to the proxy instead of the server, and asks it for full URLs.
#[derive(Clone, Debug)]
struct Forward {
    proxy: Proxy,
}

impl Resolver for Forward {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let target = if self.proxy.is_no_proxy(uri) { uri } else { self.proxy.uri() };
        DefaultResolver::default().resolve(target, config, timeout)
    }
}

impl<In: Transport> Connector<In> for Forward {
    type Out = Either<In, Forwarded<In>>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(inner) = chained else { return Ok(None) };
        let authority = details.uri.authority().filter(|_| !self.proxy.is_no_proxy(details.uri));
        let Some(authority) = authority else { return Ok(Some(Either::A(inner))) };
        let server = authority.as_str().rsplit('@').next().unwrap_or_default();
        let login = self.proxy.username().map(|name| {
            let login = base64(format!("{name}:{}", self.proxy.password().unwrap_or_default()).as_bytes());
            format!("Proxy-Authorization: Basic {login}\r\n")
        });
        let base = format!("http://{server}");
        Ok(Some(Either::B(Forwarded { inner, base, login: login.unwrap_or_default(), within_head: false })))
    }
}

/// A connection to the proxy for one server.
struct Forwarded<In> {
    inner: In,
    /// `http://server:port`.
    base: String,
    /// A whole header line, or nothing.
    login: String,
    within_head: bool,
}

impl<In> std::fmt::Debug for Forwarded<In> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded").field("base", &self.base).finish_non_exhaustive()
    }
}

impl<In: Transport> Transport for Forwarded<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut bytes = self.inner.buffers().output()[..amount].to_vec();
        // Our requests have no body: whatever follows the end of a head is the next head.
        if !self.within_head {
            bytes = rewritten(&bytes, &self.base, &self.login);
        }
        self.within_head = !bytes.ends_with(b"\r\n\r\n");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(output.len()));
            output[..now.len()].copy_from_slice(now);
            self.inner.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// `GET /path HTTP/1.1` with the server put before the path, and the login as the first header.
fn rewritten(head: &[u8], base: &str, login: &str) -> Vec<u8> {
    let line = head.windows(2).position(|pair| pair == b"\r\n").map(|end| end + 2);
    let target = head.iter().position(|byte| *byte == b' ').map(|space| space + 1);
    let (Some(line), Some(target)) = (line, target) else { return head.to_vec() };
    if target > line {
        return head.to_vec();
    }
    [&head[..target], base.as_bytes(), &head[target..line], login.as_bytes(), &head[line..]].concat()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = match place <= three.len() {
                true => char::from(DIGITS[(number >> (18 - 6 * place) & 63) as usize]),
                false => '=',
            };
            let _ = text.write_char(digit);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_examples_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn request_line_gets_the_full_url() {
        let head = b"GET /a/b HTTP/1.1\r\nhost: m.example\r\n\r\n";
        assert_eq!(
            String::from_utf8(rewritten(head, "http://m.example", "Proxy-Authorization: Basic x\r\n")).unwrap(),
            "GET http://m.example/a/b HTTP/1.1\r\nProxy-Authorization: Basic x\r\nhost: m.example\r\n\r\n"
        );
    }
}
