//! HTTP: attempts, ranges, time limits, proxies.

use super::error::DownloadError;
use super::landing::Landing;
use super::{Patience, Request, proxy, shown};
use crate::base::limits::{DOWNLOAD_ATTEMPTS, DOWNLOAD_REDIRECTIONS, DOWNLOAD_RETRY_AFTER_TIME};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// Bytes read at a time.
const CHUNK: usize = 1 << 18;
/// Bytes that count as progress, so that a server that cuts every connection is left eventually.
const PROGRESS: u64 = 1 << 16;

/// One agent for each scheme, because each has its own proxy in the environment.
#[derive(Debug)]
pub(super) struct Agents {
    http: Result<Agent, String>,
    https: Result<Agent, String>,
    /// For servers that have a proxy of their own, by [`super::origin`].
    own: BTreeMap<String, Result<Agent, String>>,
}

/// Why one attempt ended early.
pub(super) enum Stop {
    /// Nothing will change by trying again.
    Final(DownloadError),
    /// Trying again may help: what happened, the status if there was one, a pause that the server asks for.
    Again { reason: String, status: Option<u16>, pause: Option<Duration> },
}

impl Stop {
    pub(super) fn into_error(self, request: &Request<'_>) -> DownloadError {
        match self {
            Self::Final(error) => error,
            Self::Again { reason, .. } => DownloadError::Failed { url: shown(request.url), reason },
        }
    }

    fn again(reason: impl Into<String>) -> Self {
        Self::Again { reason: reason.into(), status: None, pause: None }
    }
}

impl From<DownloadError> for Stop {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl Agents {
    pub(super) fn new(connections: usize, patience: &Patience, proxies: &BTreeMap<String, String>) -> Self {
        let agent = |scheme: &str, proxy: Option<Proxy>| -> Agent {
            let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
            let config = Agent::config_builder()
                .tls_config(tls)
                .http_status_as_error(false)
                .user_agent(concat!("imgbuild/", env!("CARGO_PKG_VERSION")))
                .timeout_resolve(Some(patience.connect))
                .timeout_connect(Some(patience.connect))
                .timeout_recv_response(Some(patience.stall))
                .timeout_per_read(Some(patience.stall))
                .max_idle_connections(connections.max(1) * 4)
                .max_idle_connections_per_host(connections.max(1))
                .max_redirects(0)
                .max_redirects_will_error(false);
            proxy::agent(scheme, proxy, config)
        };
        let environment = |scheme: &str| Ok(agent(scheme, proxy::from_environment(scheme)?));
        let own = proxies.iter().filter_map(|(origin, named)| {
            let scheme = origin.split(':').next()?;
            match proxy::from_environment(scheme) {
                Ok(None) => Some((origin.clone(), proxy::named(named).map(|proxy| agent(scheme, Some(proxy))))),
                // That of the environment, or the complaint about it, is found under the scheme.
                _ => None,
            }
        });
        Self { own: own.collect(), http: environment("http"), https: environment("https") }
    }

    /// Fetches into the landing until all is there and is what was promised.
    pub(super) fn fetch(
        &self,
        request: &Request<'_>,
        landing: &mut Landing,
        patience: &Patience,
        progress: &dyn Fn(u64),
    ) -> Result<(), DownloadError> {
        let url = || shown(request.url);
        let mut watch = Watch::begin(patience);
        let mut failures = 0;
        let mut mismatches = 0;
        let mut validator = None;
        // Bytes already told of: what is fetched a second time does not count again.
        let mut told = landing.length();
        progress(told);
        for attempt in 1.. {
            let before = landing.length();
            let outcome = match landing.inherited() && request.size == Some(before) {
                true => Ok(()),
                false => self.attempt(request, landing, &mut validator, &mut watch, &mut told, progress),
            };
            let (reason, status, pause) = match outcome {
                Ok(()) => match landing.check(request) {
                    Ok(()) => return Ok(()),
                    // A beginning of unknown origin, or one bad transfer, earns a second one from the start.
                    Err(DownloadError::Digest { .. }) if mismatches == 0 => {
                        mismatches += 1;
                        landing.restart()?;
                        continue;
                    }
                    Err(error) => {
                        landing.restart()?;
                        return Err(error);
                    }
                },
                Err(Stop::Final(error)) => return Err(error),
                Err(Stop::Again { reason, status, pause }) => (reason, status, pause),
            };
            failures = if landing.length() >= before + PROGRESS { 1 } else { failures + 1 };
            if failures >= patience.attempts || attempt >= DOWNLOAD_ATTEMPTS {
                return Err(match status {
                    Some(status) => DownloadError::Status { url: url(), status, attempts: attempt },
                    None => DownloadError::Failed { url: url(), reason: format!("{reason} ({attempt} attempts)") },
                });
            }
            let wait = patience.wait.saturating_mul(1 << (failures - 1).min(10)).min(patience.longest_wait);
            std::thread::sleep(pause.map_or(wait, |pause| pause.min(DOWNLOAD_RETRY_AFTER_TIME).max(wait)));
        }
        Ok(())
    }

    /// One request, from where the landing stands.
    fn attempt(
        &self,
        request: &Request<'_>,
        landing: &mut Landing,
        validator: &mut Option<String>,
        watch: &mut Watch,
        told: &mut u64,
        progress: &dyn Fn(u64),
    ) -> Result<(), Stop> {
        let start = landing.length();
        let response = self.ask(request, start, validator.as_deref())?;
        let status = response.status().as_u16();
        match status {
            206 if start > 0 && range_start(&response) == Some(start) => {}
            200 | 206 => landing.restart()?,
            416 => {
                landing.restart()?;
                return Err(Stop::again("the server refuses to continue it"));
            }
            404 | 410 => return Err(DownloadError::NotFound { url: shown(request.url) }.into()),
            401 | 402 | 403 | 407 | 451 => return Err(DownloadError::Denied { url: shown(request.url), status }.into()),
            408 | 425 | 429 | 500..=599 => {
                let pause = text(&response, header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
                let reason = format!("the server answers with status {status}");
                return Err(Stop::Again { reason, status: Some(status), pause: pause.map(Duration::from_secs) });
            }
            _ => return Err(DownloadError::Status { url: shown(request.url), status, attempts: 1 }.into()),
        }
        if status == 206 && landing.length() == 0 {
            return Err(Stop::again("the server continues it at another place than asked for"));
        }
        if text(&response, header::CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html")) {
            return Err(DownloadError::WebPage { url: shown(request.url) }.into());
        }
        let promised = response.body().content_length().map(|length| landing.length().saturating_add(length));
        if let (Some(found), Some(wanted)) = (promised, request.size)
            && found != wanted
        {
            return Err(DownloadError::Size { url: shown(request.url), found, wanted }.into());
        }
        *validator = strong_validator(&response);
        receive(request, response.into_body().into_reader(), landing, watch, told, progress)?;
        let wanted = request.size.or(promised);
        match wanted.filter(|wanted| landing.length() < *wanted) {
            Some(wanted) => {
                Err(Stop::again(format!("the connection ended after {} of {wanted} bytes", landing.length())))
            }
            None => Ok(()),
        }
    }

    /// One request from this byte on, and those that redirections lead to: each may be another scheme's affair.
    fn ask(&self, request: &Request<'_>, start: u64, validator: Option<&str>) -> Result<Response<Body>, Stop> {
        let failed = |reason: &str| DownloadError::Failed { url: shown(request.url), reason: reason.to_owned() };
        let mut url = request.url.to_owned();
        for _ in 0..DOWNLOAD_REDIRECTIONS {
            let own = super::origin(&url).and_then(|origin| self.own.get(&origin));
            let agent = own.unwrap_or(if url.starts_with("https:") { &self.https } else { &self.http });
            let agent = agent.as_ref().map_err(|proxy| DownloadError::Proxy { proxy: proxy.clone() })?;
            let mut call = agent.get(&url);
            if request.fresh {
                call = call.header(header::CACHE_CONTROL, "no-cache");
            }
            if start > 0 {
                call = call.header(header::RANGE, format!("bytes={start}-"));
                if let Some(validator) = validator {
                    call = call.header(header::IF_RANGE, validator);
                }
            }
            let response = call.call().map_err(|error| refused(request, error))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = text(&response, header::LOCATION).and_then(|location| redirected(&url, &location));
            url = next.ok_or_else(|| failed("the server redirects to nowhere"))?;
        }
        Err(failed("the server redirects in circles").into())
    }
}

/// Looks at how fast a server is: one that gives a byte before every silence grows too long would hold us for ever.
pub(super) struct Watch {
    limits: Option<Patience>,
    begun: Instant,
    /// When the time began over which the speed is judged now, and what came in it.
    since: Instant,
    came: u64,
}

impl Watch {
    fn begin(patience: &Patience) -> Self {
        Self { limits: Some(*patience), ..Self::idle() }
    }

    /// For what comes from no server.
    pub(super) fn idle() -> Self {
        Self { limits: None, begun: Instant::now(), since: Instant::now(), came: 0 }
    }

    /// A new answer is judged anew.
    fn again(&mut self) {
        (self.since, self.came) = (Instant::now(), 0);
    }

    fn see(&mut self, request: &Request<'_>, came: u64) -> Result<(), Stop> {
        let Some(limits) = &self.limits else { return Ok(()) };
        self.came += came;
        if self.begun.elapsed() > limits.whole {
            let reason = format!("it has not come within {} s", limits.whole.as_secs());
            return Err(DownloadError::Failed { url: shown(request.url), reason }.into());
        }
        let time = self.since.elapsed();
        if time < limits.pace {
            return Ok(());
        }
        let least = limits.slowest.saturating_mul(limits.pace.as_secs().max(1));
        if self.came < least {
            let seconds = limits.pace.as_secs().max(1);
            return Err(Stop::again(format!(
                "the server gives {} bytes in {seconds} s, fewer than {least}",
                self.came
            )));
        }
        self.again();
        Ok(())
    }
}

/// Moves bytes from the reader to the landing, within the request's bounds.
pub(super) fn receive(
    request: &Request<'_>,
    mut reader: impl Read,
    landing: &mut Landing,
    watch: &mut Watch,
    told: &mut u64,
    progress: &dyn Fn(u64),
) -> Result<(), Stop> {
    let limit = request.size.unwrap_or(request.limit);
    let mut buffer = vec![0; CHUNK];
    watch.again();
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::again(spoken(&error))),
        };
        if landing.length() + read as u64 > limit {
            landing.restart()?;
            return Err(DownloadError::TooLong { url: shown(request.url), limit }.into());
        }
        landing.write(&buffer[..read])?;
        watch.see(request, read as u64)?;
        if landing.length() > *told {
            progress(landing.length() - *told);
            *told = landing.length();
        }
    }
}

fn refused(request: &Request<'_>, error: ureq::Error) -> Stop {
    let url = shown(request.url);
    match error {
        // A name that does not resolve or a certificate that does not fit stays so for the next seconds.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            DownloadError::Failed { url, reason: "it is not a URL that can be asked for".to_owned() }.into()
        }
        ureq::Error::Rustls(error) => DownloadError::Failed { url, reason: format!("TLS: {error}") }.into(),
        ureq::Error::Tls(error) => DownloadError::Failed { url, reason: format!("TLS: {error}") }.into(),
        ureq::Error::HostNotFound => Stop::again("the server's name cannot be resolved"),
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            Stop::again("the server cannot be reached in time")
        }
        ureq::Error::Timeout(_) => Stop::again("the server fell silent"),
        ureq::Error::Io(error) => Stop::again(spoken(&error)),
        other => Stop::again(other.to_string()),
    }
}

fn spoken(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match error.kind() {
        _ if matches!(inner, Some(ureq::Error::Timeout(_))) => "the server fell silent".to_owned(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "the server fell silent".to_owned(),
        std::io::ErrorKind::UnexpectedEof => "the connection ended too early".to_owned(),
        std::io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        _ => error.to_string(),
    }
}

/// Where a redirection leads: a full URL, or a path on the same server.
fn redirected(from: &str, location: &str) -> Option<String> {
    if ["http://", "https://"].iter().any(|scheme| location.starts_with(scheme)) {
        return Some(location.to_owned());
    }
    let (scheme, rest) = from.split_once("://")?;
    if let Some(other) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{other}"));
    }
    if location.contains("://") || location.is_empty() {
        return None;
    }
    let server = rest.split('/').next()?;
    match location.strip_prefix('/') {
        Some(path) => Some(format!("{scheme}://{server}/{path}")),
        None => {
            let path = rest.strip_prefix(server).unwrap_or_default().trim_start_matches('/');
            let mut parts: Vec<&str> = path.split('/').collect();
            parts.pop();
            for part in location.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            Some(format!("{scheme}://{server}/{}", parts.join("/")))
        }
    }
}

/// Where a partial answer begins: `bytes 100-199/200`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = text(response, header::CONTENT_RANGE)?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// What a later `If-Range` may name: a strong ETag, else the time of change.
fn strong_validator(response: &Response<Body>) -> Option<String> {
    let tag = text(response, header::ETAG).filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| text(response, header::LAST_MODIFIED))
}

fn text(response: &Response<Body>, name: header::HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}
