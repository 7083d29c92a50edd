//! What a cluster's plan says. No secret is in it.

use crate::base::network::{Cidr, Mac};
use crate::base::size::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A cluster, complete: all that its seeds say, but for secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPlan {
    /// Its name.
    pub name: String,
    /// The DNS domain of its machines.
    pub domain: String,
    /// The recipe of its images.
    pub recipe: String,
    /// What all machines share.
    pub site: SitePlan,
    /// In the order of the document.
    pub networks: Vec<NetworkPlan>,
    /// Who holds the floating addresses, if anybody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balancers: Option<BalancersPlan>,
    /// Where the API is reached, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiPlan>,
    /// What the balancers listen on, the API first.
    pub services: Vec<ServicePlan>,
    /// Kubernetes, if the cluster runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesPlan>,
    /// Replicated storage, if the cluster has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gluster: Option<GlusterPlan>,
    /// Where its secrets are kept, when it is not beside its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultPlan>,
    /// In the order of the document, rows counted up.
    pub nodes: Vec<NodePlan>,
}

/// What all machines share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePlan {
    /// People's accounts.
    pub users: Vec<UserPlan>,
    /// Whether the cluster's own authority signs the host keys.
    pub host_certificates: bool,
    /// Authorities whose signature on a user's key is enough.
    pub user_authorities: Vec<String>,
    /// Name in the time zone database.
    pub time_zone: String,
    /// Whom the machines ask for the time; the gateway when the document names none.
    pub time_servers: Vec<String>,
    /// Language and character set.
    pub locale: String,
    /// Domains that short names are looked up in, the cluster's own first.
    pub search: Vec<String>,
    /// Name servers that the gateway asks.
    pub forwarders: Vec<IpAddr>,
    /// Further names that the gateway answers.
    pub hosts: BTreeMap<String, IpAddr>,
    /// The way to the web.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyPlan>,
    /// Certificates that are trusted beside the distribution's, in PEM.
    pub certificate_authorities: Vec<String>,
    /// Mirrors of container registries.
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    /// Where logs go, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<SyslogPlan>,
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPlan {
    /// Its name.
    pub name: String,
    /// Public keys that may log in.
    pub authorized_keys: Vec<String>,
    /// Further groups.
    pub groups: Vec<String>,
    /// Whether it may do everything, without a password (it has none).
    pub sudo: bool,
    /// The login shell.
    pub shell: String,
}

/// The way to the web.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPlan {
    /// For http.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// For https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// What is reached directly: the cluster itself, and what the document adds.
    pub except: Vec<String>,
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogPlan {
    /// Name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is kept (TCP) or datagrams are sent (UDP).
    pub tcp: bool,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Interfaces in it bear the same name.
    pub name: String,
    /// One of each version at most; none where somebody else gives the addresses.
    pub ranges: Vec<Cidr>,
    /// Ways out, one of each version at most.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Its number, if it is a VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The network that carries the VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Longest packet (bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// First and last address that the gateway lends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<(IpAddr, IpAddr)>,
    /// Whether somebody else's server gives the addresses.
    pub foreign: bool,
}

/// Who holds the floating addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancersPlan {
    /// What decides about the owner.
    pub kind: BalancerKind,
    /// The machines, by name, most preferred first.
    pub nodes: Vec<String>,
    /// All of them move together.
    pub addresses: Vec<FloatingAddress>,
    /// VRRP's number of the group, for keepalived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_id: Option<u8>,
    /// Whether balancers that are started want to see all others before they act, for Pacemaker.
    pub wait_for_all: bool,
    /// How long Corosync waits for the token (milliseconds), for Pacemaker.
    pub token: u32,
}

/// What decides about the owner of floating addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BalancerKind {
    /// Corosync and Pacemaker.
    Pacemaker,
    /// VRRP.
    Keepalived,
    /// Somebody else's machines.
    External,
}

/// An address that one of the balancers has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingAddress {
    /// With the prefix of its network.
    pub address: Cidr,
    /// The network, and so the interface that gets it.
    pub network: String,
}

/// Where the API is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiPlan {
    /// Its DNS name.
    pub name: String,
    /// Its addresses within the cluster.
    pub addresses: Vec<IpAddr>,
    /// Its addresses for the outside.
    pub public: Vec<IpAddr>,
    /// Its port at these addresses.
    pub port: u16,
}

/// Something that balancers pass on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// Where it is listened on.
    pub addresses: Vec<IpAddr>,
    /// The port there.
    pub port: u16,
    /// Who answers.
    pub backends: Vec<Backend>,
    /// What shows that one of them is well.
    pub health: HealthPlan,
}

/// What shows that somebody is well who stands behind balancers; that a connection comes about when neither is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPlan {
    /// The path that is asked for by HTTP, and must be answered with 200.
    pub get: Option<String>,
    /// Whether all that is said by TLS.
    pub tls: bool,
}

/// A machine that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub node: String,
    /// Where it listens.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
}

/// Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesPlan {
    /// `1.36` or `1.36.1`.
    pub version: String,
    /// Machines with the control plane.
    pub masters: Vec<String>,
    /// Machines with etcd: the masters, or others.
    pub etcd: Vec<String>,
    /// Ranges of pods.
    pub pods: Vec<Cidr>,
    /// Ranges of services.
    pub services: Vec<Cidr>,
    /// `containerd` or `docker`.
    pub runtime: String,
}

/// Replicated storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlusterPlan {
    /// The volume's name.
    pub volume: String,
    /// How many machines hold each file.
    pub replica: u32,
    /// The machines, in the order in which bricks are grouped.
    pub nodes: Vec<String>,
    /// Where it is mounted.
    pub mount: String,
}

/// A path in Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultPlan {
    /// Where the key-value store is mounted.
    pub mount: String,
    /// Below that.
    pub path: String,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name: one label.
    pub name: String,
    /// In the order of the document.
    pub roles: Vec<String>,
    /// The image that it starts from.
    pub image: String,
    /// What it needs.
    pub size: NodeSize,
    /// What fails together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// The first one with a gateway is the way out.
    pub interfaces: Vec<InterfacePlan>,
    /// Disks beside the one with the system.
    pub data_disks: Vec<DataDisk>,
}

/// What a machine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSize {
    /// Processors.
    pub processors: u32,
    /// Main memory.
    pub memory: Bytes,
    /// The disk with the system.
    pub disk: Bytes,
}

/// An interface, named after its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePlan {
    /// The network.
    pub network: String,
    /// What it is made of.
    pub link: Link,
    /// With the prefix of the network; reservations where `dhcp` is set.
    pub addresses: Vec<Cidr>,
    /// Whether the machine asks for its address.
    pub dhcp: bool,
}

/// What an interface is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A network card.
    Card(Mac),
    /// Several as one.
    Bond {
        /// The cards.
        members: Vec<Mac>,
        /// How they share the work.
        mode: String,
    },
    /// A VLAN upon another interface of the machine.
    Vlan {
        /// The network of that interface.
        parent: String,
        /// The VLAN's number.
        id: u16,
    },
}

/// A disk whose contents survive another image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDisk {
    /// What the hypervisor says of it.
    pub serial: String,
    /// What it is for: `etcd`, `gluster`, `containers`, `data`.
    pub purpose: String,
    /// Its size, where imgbuild makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
}

impl ClusterPlan {
    /// The machines with a role, in the order of the document.
    pub fn with_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a NodePlan> {
        self.nodes.iter().filter(move |node| node.has(role))
    }

    /// A network by name.
    #[must_use]
    pub fn network(&self, name: &str) -> Option<&NetworkPlan> {
        self.networks.iter().find(|network| network.name == name)
    }

    /// The images that the machines start from, each once, sorted.
    #[must_use]
    pub fn images(&self) -> Vec<&str> {
        let mut images: Vec<&str> = self.nodes.iter().map(|node| node.image.as_str()).collect();
        images.sort_unstable();
        images.dedup();
        images
    }
}

impl NodePlan {
    /// Whether the machine has this role.
    #[must_use]
    pub fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// The address at which other machines of the cluster reach it: the first that is known beforehand.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).next().map(|cidr| cidr.address())
    }
}
