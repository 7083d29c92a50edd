//! What stands in for a machine behind the balancers: a server of TLS that is well (`GET /readyz`), as an API server is.
//!
//! Its certificate is its own: whoever checks by TLS without verifying, as HAProxy's health checks do, finds all that there is.

use super::station::listen;
use crate::base::limits::LAB_REQUEST_BYTES;
use anyhow::{Context as _, Result};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

/// Connections that wait at a stand-in at once.
const WAITING: usize = 24;
/// What it says about itself.
const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/// About everything else.
const MISSING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The certificate and key of all stand-ins of a lab, made anew for each lab and kept nowhere.
///
/// # Errors
/// When they cannot be made.
pub(in crate::lab) fn identity() -> Result<Arc<ServerConfig>> {
    let making = "making the stand-ins' certificate";
    let key = rcgen::KeyPair::generate().context(making)?;
    let parameters = rcgen::CertificateParams::new(vec!["stand-in.lab.internal".to_owned()]).context(making)?;
    let certificate = parameters.self_signed(&key).context(making)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().context(making)?;
    let mut configuration =
        versions.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).context(making)?;
    configuration.send_tls13_tickets = 0;
    Ok(Arc::new(configuration))
}

/// Connections at one port.
pub(super) struct StandIn {
    port: u16,
    identity: Arc<ServerConfig>,
    callers: Vec<Caller>,
}

/// A connection, or one that waits.
struct Caller {
    handle: SocketHandle,
    tls: Option<ServerConnection>,
    request: Vec<u8>,
    /// What the socket has not yet taken.
    unsent: Vec<u8>,
    /// Whether nothing more is said than that.
    done: bool,
}

impl Caller {
    fn waiting(sockets: &mut SocketSet<'static>, port: u16) -> Self {
        let handle = listen(sockets, port);
        Self { handle, tls: None, request: Vec::new(), unsent: Vec::new(), done: false }
    }

    fn serve(&mut self, socket: &mut tcp::Socket<'_>, identity: &Arc<ServerConfig>) {
        let mut heard = [0; 4096];
        while !self.done
            && let Ok(length @ 1..) = socket.recv_slice(&mut heard)
        {
            self.hear(&heard[..length], identity);
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && tls.write_tls(&mut self.unsent).is_ok() {}
        }
        if !self.unsent.is_empty()
            && let Ok(sent) = socket.send_slice(&self.unsent)
        {
            self.unsent.drain(..sent);
        }
        if self.unsent.is_empty() && (self.done || socket.state() == State::CloseWait) {
            socket.close();
        }
    }

    fn hear(&mut self, mut bytes: &[u8], identity: &Arc<ServerConfig>) {
        if self.tls.is_none() {
            self.tls = ServerConnection::new(identity.clone()).ok();
        }
        let Some(tls) = &mut self.tls else {
            self.done = true;
            return;
        };
        while !bytes.is_empty() {
            // What is no TLS is answered by an alert, and that was all.
            let read = tls.read_tls(&mut bytes);
            if !matches!(read, Ok(1..)) || tls.process_new_packets().is_err() {
                self.done = true;
                return;
            }
        }
        let mut text = [0; 2048];
        while let Ok(length @ 1..) = tls.reader().read(&mut text) {
            self.request.extend_from_slice(&text[..length]);
        }
        let ended = self.request.windows(4).any(|end| end == b"\r\n\r\n");
        if ended || self.request.len() > LAB_REQUEST_BYTES {
            let well = self.request.starts_with(b"GET /readyz ");
            // A buffer in memory takes it.
            let _ = tls.writer().write_all(if well { WELL } else { MISSING });
            tls.send_close_notify();
            self.done = true;
        }
    }
}

impl StandIn {
    pub(super) fn new(sockets: &mut SocketSet<'static>, port: u16, identity: Arc<ServerConfig>) -> Self {
        let callers = (0..WAITING).map(|_| Caller::waiting(sockets, port)).collect();
        Self { port, identity, callers }
    }

    /// Answers whoever said something, and waits anew where somebody has gone.
    pub(super) fn answer(&mut self, sockets: &mut SocketSet<'static>) {
        for caller in &mut self.callers {
            let socket = sockets.get_mut::<tcp::Socket>(caller.handle);
            if matches!(socket.state(), State::Closed | State::TimeWait) {
                sockets.remove(caller.handle);
                *caller = Caller::waiting(sockets, self.port);
            } else {
                caller.serve(socket, &self.identity);
            }
        }
    }
}
