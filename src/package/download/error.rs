//! Why a download failed, and what a person can do about it.

use crate::base::digest::Digest;
use std::path::PathBuf;

/// Why a file could not be had. URLs are shown without passwords.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server does not have it.
    #[error("{url} does not exist")]
    NotFound {
        /// Where it was looked for.
        url: String,
    },
    /// The server, or a proxy, wants to know who asks.
    #[error("{url} is not given to us: the server answers with status {status}")]
    Denied {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The server failed, again and again.
    #[error("{url} cannot be had: the server answers with status {status} ({attempts} attempts)")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
    },
    /// The connection failed, again and again.
    #[error("{url} cannot be had: {reason}")]
    Failed {
        /// What was asked for.
        url: String,
        /// What the network said last.
        reason: String,
    },
    /// A web page came instead: a login page or a proxy's message.
    #[error("{url} gives a web page instead of the file")]
    WebPage {
        /// What was asked for.
        url: String,
    },
    /// It is longer than allowed.
    #[error("{url} is longer than the {limit} bytes allowed for it")]
    TooLong {
        /// What was asked for.
        url: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// It is of another size than promised.
    #[error("{url} has {found} bytes, {wanted} were promised")]
    Size {
        /// What was asked for.
        url: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// It is another file than promised.
    #[error("{url} has digest {found}, {wanted} was promised")]
    Digest {
        /// What was asked for.
        url: String,
        /// Its digest.
        found: Digest,
        /// The promised one.
        wanted: Digest,
    },
    /// Our own disk failed.
    #[error("writing {}: {source}", path.display())]
    Disk {
        /// The file that was written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The proxy of the environment is none.
    #[error("proxy `{proxy}` (from the environment or apt's settings) is not a URL such as http://proxy.example:3128")]
    Proxy {
        /// As it stands there, without password.
        proxy: String,
    },
}

impl DownloadError {
    /// What to do next; `other` says how another source can be named, such as `--repository debian=URL`.
    #[must_use]
    pub fn remedy(&self, other: Option<&str>) -> String {
        let remedy = self.advice();
        match other {
            Some(other) if self.is_elsewhere_better() => format!("{remedy}, or name another mirror with `{other}`"),
            _ => remedy.to_owned(),
        }
    }

    /// Whether another source could help.
    fn is_elsewhere_better(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Status { .. } | Self::Failed { .. }) || self.is_mismatch()
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check the URL",
            Self::Denied { status: 407, .. } => "the proxy wants a login: set http_proxy and https_proxy",
            Self::Denied { .. } => "check the URL and whether this machine may read it",
            Self::Status { .. } => "try again later",
            Self::Failed { .. } => "check the network and the proxy (http_proxy, https_proxy, no_proxy)",
            Self::WebPage { .. } => "log in to this network first, or set the proxy (http_proxy, https_proxy)",
            Self::TooLong { .. } | Self::Size { .. } | Self::Digest { .. } => {
                "the server may be half updated: try again"
            }
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "the disk that holds the cache is full: `imgbuild cache prune`, or `--cache DIR`"
            }
            Self::Disk { .. } => "check that the cache folder can be written, or name another with `--cache DIR`",
            Self::Proxy { .. } => "correct http_proxy or https_proxy, or Acquire::http::Proxy in /etc/apt/apt.conf.d",
        }
    }

    /// Whether the file was found to differ from what was promised, as while a mirror is being updated.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Digest { .. } | Self::TooLong { .. })
    }

    /// Whether it is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
