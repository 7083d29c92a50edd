//! From a checked document to the plan of a cluster.

use super::expand::{Interface, Machine};
use super::values::{
    ApiPlan, Backend, BalancerKind, BalancersPlan, ClusterPlan, DataDisk, FloatingAddress, GlusterPlan, HealthPlan,
    InterfacePlan, KubernetesPlan, Link, NetworkPlan, NodePlan, NodeSize, ProxyPlan, ServicePlan, SitePlan, SyslogPlan,
    UserPlan, VaultPlan,
};
use super::{addresses, balancers, expand, members, networks, resources, roles};
use crate::base::network::Cidr;
use crate::input::{
    self, Balancer, Cluster, ClusterInputs, ClusterUserEntry, EtcdTopology, Fault, Located, Problems, Runtime, Sources,
    SyslogProtocol,
};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The recipe of a cluster that names none.
const RECIPE: &str = "debian-trixie";
/// The account that people log in with where the document names nobody.
const USER: &str = "admin";

/// How long Corosync waits for the token where the document says nothing: the address moves within three seconds.
const TOKEN_MILLISECONDS: u32 = 1000;

/// Draws a cluster's plan. Beside it: what is worth a warning.
///
/// # Errors
/// Everything in which the document's parts do not fit together.
pub fn draw_cluster(inputs: &ClusterInputs) -> Result<(ClusterPlan, Problems), Problems> {
    let cluster = &inputs.cluster;
    let mut faults = Vec::new();
    let machines = expand::machines(cluster, &mut faults);
    networks::check(cluster, &mut faults);
    addresses::check(cluster, &machines, &mut faults);
    let mut warnings = balancers::check(cluster, &machines, &mut faults);
    warnings.extend(members::check(cluster, &machines, &inputs.roles, &mut faults));
    warnings.extend(resources::check(&machines, &inputs.disks, &mut faults));
    names(cluster, &machines, &mut faults);
    warnings.extend(nobody(cluster));
    if !faults.is_empty() {
        return Err(Problems::of(once_a_row(faults), &inputs.documents));
    }
    let warnings = once_a_row(warnings);
    Ok((plan(cluster, &machines, inputs), Problems::of(warnings, &inputs.documents)))
}

/// What is wrong with a row is wrong with each of its machines: told of the first, not five thousand times.
fn once_a_row(faults: Vec<Fault>) -> Vec<Fault> {
    let mut told = BTreeSet::new();
    faults.into_iter().filter(|fault| told.insert((fault.place, fault.remedy.clone()))).collect()
}

/// Loads and draws every cluster that the project and the built-ins hold. Gives how many there are.
///
/// # Errors
/// All problems of all of them, each once.
pub fn check_clusters(sources: &Sources) -> Result<usize, Problems> {
    let (clusters, mut problems) = (sources.clusters()?, Problems::default());
    for name in clusters.keys() {
        if let Err(error) = input::load_cluster(sources, name).and_then(|inputs| draw_cluster(&inputs)) {
            problems.merge(error);
        }
    }
    if problems.problems.is_empty() { Ok(clusters.len()) } else { Err(problems) }
}

/// Names that the gateway would answer twice, or that are too long.
fn names(cluster: &Cluster, machines: &[Machine<'_>], faults: &mut Vec<Fault>) {
    for (name, address) in &cluster.site.hosts {
        let short =
            name.strip_suffix(cluster.domain.value.as_str()).and_then(|rest| rest.strip_suffix('.')).unwrap_or(name);
        if machines.iter().any(|machine| machine.name == short) {
            let fault =
                Fault::new(address.place, format!("`{name}` is a machine of this cluster, and has its address"));
            faults.push(fault.hint("leave it out, or choose another name"));
        }
    }
    // RFC 1035: 253 characters of text.
    let longest = machines.iter().map(|machine| machine.name.len()).max().unwrap_or(0);
    if longest + 1 + cluster.domain.value.len() > 253 {
        let fault = Fault::new(cluster.domain.place, "names of machines in this domain are longer than 253 characters");
        faults.push(fault.hint("choose a shorter domain"));
    }
}

/// A cluster that nobody can log in to.
fn nobody(cluster: &Cluster) -> Option<Fault> {
    let site = &cluster.site;
    let keys = !site.keys.is_empty()
        || !site.user_authorities.is_empty()
        || site.users.iter().any(|user| !user.keys.is_empty());
    (!keys).then(|| {
        Fault::new(cluster.name.place, "nobody can log in: the cluster names no SSH key")
            .hint("add `ssh: {authorized_keys: [\"ssh-ed25519 AAAA...\"]}`")
    })
}

fn plan(cluster: &Cluster, machines: &[Machine<'_>], inputs: &ClusterInputs) -> ClusterPlan {
    let nodes: Vec<NodePlan> = machines.iter().map(|machine| node(cluster, machine, inputs)).collect();
    let with = |role: &str| -> Vec<String> {
        nodes.iter().filter(|node| node.has(role)).map(|node| node.name.clone()).collect()
    };
    let kubernetes = cluster.kubernetes.as_ref().map(|entry| KubernetesPlan {
        version: entry.version.value.clone(),
        masters: with("master"),
        etcd: with(if entry.etcd.value == EtcdTopology::External { "etcd" } else { "master" }),
        pods: values(&entry.pods),
        services: values(&entry.services),
        runtime: match entry.runtime {
            Runtime::Containerd => "containerd",
            Runtime::Docker => "docker",
        }
        .to_owned(),
    });
    let gluster = cluster.gluster.as_ref().map(|entry| GlusterPlan {
        volume: entry.volume.value.clone(),
        replica: u32::try_from(entry.replica.value).unwrap_or(0),
        nodes: with("gluster"),
        mount: entry.mount.clone(),
    });
    let api = cluster.api.as_ref().map(|entry| ApiPlan {
        name: entry.name.value.clone(),
        addresses: values(&entry.addresses),
        public: values(&entry.public),
        port: port(entry.port),
    });
    ClusterPlan {
        name: cluster.name.value.clone(),
        domain: cluster.domain.value.clone(),
        recipe: cluster.recipe.as_ref().map_or_else(|| RECIPE.to_owned(), |recipe| recipe.value.clone()),
        site: site(cluster, machines),
        networks: cluster.networks.iter().map(network).collect(),
        balancers: floating(cluster, &with),
        services: services(cluster, api.as_ref(), &nodes),
        api,
        kubernetes,
        gluster,
        vault: cluster.vault.as_ref().map(|entry| VaultPlan { mount: entry.mount.clone(), path: entry.path.clone() }),
        nodes,
    }
}

fn values<T: Clone>(list: &[Located<T>]) -> Vec<T> {
    list.iter().map(|item| item.value.clone()).collect()
}

/// Ports were checked when they were read.
fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

fn network(entry: &crate::input::NetworkEntry) -> NetworkPlan {
    NetworkPlan {
        name: entry.name.value.clone(),
        ranges: values(&entry.ranges),
        gateways: values(&entry.gateways),
        dns: values(&entry.dns),
        vlan: entry.vlan.as_ref().map(|id| port(id.value)),
        parent: entry.parent.as_ref().map(|parent| parent.value.clone()),
        mtu: entry.mtu.as_ref().map(|mtu| port(mtu.value)),
        pool: entry.pool.as_ref().map(|pool| pool.value),
        foreign: entry.foreign,
    }
}

fn node(cluster: &Cluster, machine: &Machine<'_>, inputs: &ClusterInputs) -> NodePlan {
    let own: Vec<String> = machine.roles.iter().map(|role| role.value.clone()).collect();
    let (processors, memory, disk) = roles::usual(&own);
    // What the roles' images need is never more than what a machine gets that says nothing.
    let least = own.iter().filter_map(|role| inputs.disks.get(role)).max().copied().unwrap_or_default();
    NodePlan {
        name: machine.name.clone(),
        image: roles::image(&own),
        roles: own,
        size: NodeSize {
            processors: machine.processors.as_ref().map_or(processors, |own| u32::try_from(own.value).unwrap_or(1)),
            memory: machine.memory.as_ref().map_or(memory, |own| own.value),
            disk: machine.disk.as_ref().map_or(disk.max(least), |own| own.value),
        },
        failure_domain: machine.failure_domain.as_ref().map(|domain| domain.value.clone()),
        interfaces: machine.interfaces.iter().map(|interface| link(cluster, interface)).collect(),
        data_disks: machine
            .data_disks
            .iter()
            .map(|disk| DataDisk {
                serial: disk.value.serial.clone(),
                purpose: resources::word(disk.value.purpose).to_owned(),
                size: disk.value.size.as_ref().map(|size| size.value),
            })
            .collect(),
    }
}

fn link(cluster: &Cluster, interface: &Interface<'_>) -> InterfacePlan {
    let entry = interface.entry;
    let known = cluster.networks.iter().find(|network| network.name.value == entry.network.value);
    let vlan = known.and_then(|network| Some((network.parent.as_ref()?, network.vlan.as_ref()?)));
    let cards = values(&interface.cards);
    let link = match (vlan, &entry.bond, cards.first()) {
        (Some((parent, id)), _, _) => Link::Vlan { parent: parent.value.clone(), id: port(id.value) },
        (None, None, Some(card)) => Link::Card(*card),
        (None, bond, _) => {
            Link::Bond { members: cards, mode: bond.as_ref().map_or("active-backup", |bond| bond.mode).to_owned() }
        }
    };
    let addresses = interface.addresses.iter().filter_map(|address| {
        networks::of(cluster, address.value).and_then(|(_, range)| Cidr::new(address.value, range.prefix()))
    });
    InterfacePlan {
        network: entry.network.value.clone(),
        link,
        addresses: addresses.collect(),
        dhcp: entry.addresses.dhcp.is_some() || known.is_some_and(|network| network.foreign),
    }
}

fn floating(cluster: &Cluster, with: &dyn Fn(&str) -> Vec<String>) -> Option<BalancersPlan> {
    let api = cluster.api.as_ref()?;
    let role = balancers::role(api.balancer.value);
    let mut addresses: Vec<FloatingAddress> = Vec::new();
    let listed = cluster.listeners.iter().flat_map(|listener| &listener.addresses);
    for address in api.addresses.iter().chain(&api.public).chain(listed) {
        let Some((network, range)) = networks::of(cluster, address.value) else { continue };
        let Some(cidr) = Cidr::new(address.value, range.prefix()) else { continue };
        if !addresses.iter().any(|known| known.address == cidr) {
            addresses.push(FloatingAddress { address: cidr, network: network.name.value.clone() });
        }
    }
    let kind = match api.balancer.value {
        Balancer::Pacemaker => BalancerKind::Pacemaker,
        Balancer::Keepalived => BalancerKind::Keepalived,
        Balancer::External => BalancerKind::External,
    };
    let vrrp_id = (kind == BalancerKind::Keepalived).then(|| {
        let written = api.vrrp_id.as_ref().and_then(|id| u8::try_from(id.value).ok());
        // The last byte of the address: clusters that share a network seldom share that, too.
        let last = api.addresses.first().map_or(0, |address| match address.value {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        });
        written.unwrap_or(last.max(1))
    });
    let nodes = role.map(with).unwrap_or_default();
    let token = api.token.as_ref().and_then(|token| u32::try_from(token.value).ok()).unwrap_or(TOKEN_MILLISECONDS);
    Some(BalancersPlan { kind, nodes, addresses, vrrp_id, wait_for_all: api.wait_for_all, token })
}

fn services(cluster: &Cluster, api: Option<&ApiPlan>, nodes: &[NodePlan]) -> Vec<ServicePlan> {
    let Some(api) = api else { return Vec::new() };
    let backends = |wanted: &dyn Fn(&NodePlan) -> bool, port: u16| -> Vec<Backend> {
        let answering = nodes.iter().filter(|node| wanted(node));
        answering.filter_map(|node| Some(Backend { node: node.name.clone(), address: node.address()?, port })).collect()
    };
    let api_server = port(balancers::API_SERVER_PORT);
    let mut all = vec![ServicePlan {
        name: "api".to_owned(),
        addresses: api.addresses.iter().chain(&api.public).copied().collect(),
        port: api.port,
        backends: backends(&|node| node.has("master"), api_server),
        // An API server says at /readyz whether it can do its work.
        health: HealthPlan { get: Some("/readyz".to_owned()), tls: true },
    }];
    for listener in &cluster.listeners {
        let to = &listener.to;
        let addresses = if listener.addresses.is_empty() { api.addresses.clone() } else { values(&listener.addresses) };
        let backends = match &to.role {
            Some(role) => backends(&|node| node.has(roles::canonical(&role.value)), port(to.port)),
            None => backends(&|node| to.nodes.iter().any(|name| name.value == node.name), port(to.port)),
        };
        all.push(ServicePlan {
            name: listener.name.value.clone(),
            addresses,
            port: port(listener.port.value),
            backends,
            health: HealthPlan { get: listener.health.get.clone(), tls: listener.health.tls },
        });
    }
    all
}

fn site(cluster: &Cluster, machines: &[Machine<'_>]) -> SitePlan {
    let site = &cluster.site;
    let mut search = vec![cluster.domain.value.clone()];
    search.extend(values(&site.search).into_iter().filter(|domain| *domain != cluster.domain.value));
    let gateways = || machines.iter().filter(|machine| machine.has("gateway"));
    let time_servers = match site.time_servers.as_slice() {
        [] => gateways().map(|machine| format!("{}.{}", machine.name, cluster.domain.value)).collect(),
        named => values(named),
    };
    let users = if site.users.is_empty() {
        let (authorized_keys, groups) = (values(&site.keys), Vec::new());
        vec![UserPlan { name: USER.to_owned(), authorized_keys, groups, sudo: true, shell: "/bin/bash".to_owned() }]
    } else {
        site.users.iter().map(|user| person(user, &site.keys)).collect()
    };
    SitePlan {
        users,
        host_certificates: site.host_certificates,
        user_authorities: values(&site.user_authorities),
        time_zone: site.time_zone.as_ref().map_or_else(|| "Etc/UTC".to_owned(), |zone| zone.value.clone()),
        time_servers,
        locale: site.locale.as_ref().map_or_else(|| "C.UTF-8".to_owned(), |locale| locale.value.clone()),
        search,
        forwarders: values(&site.forwarders),
        hosts: site.hosts.iter().map(|(name, address)| (name.clone(), address.value)).collect(),
        proxy: proxy(cluster),
        certificate_authorities: values(&site.authorities),
        registry_mirrors: site.registry_mirrors.iter().map(|(name, list)| (name.clone(), values(list))).collect(),
        syslog: site.syslog.as_ref().map(|(host, number, protocol)| SyslogPlan {
            host: host.value.clone(),
            port: port(*number),
            tcp: *protocol == SyslogProtocol::Tcp,
        }),
    }
}

fn person(user: &ClusterUserEntry, keys: &[Located<String>]) -> UserPlan {
    UserPlan {
        name: user.name.value.clone(),
        authorized_keys: values(if user.keys.is_empty() { keys } else { &user.keys }),
        groups: values(&user.groups),
        sudo: user.sudo,
        shell: user.shell.as_ref().map_or_else(|| "/bin/bash".to_owned(), |shell| shell.value.clone()),
    }
}

/// Machines reach one another directly: without this, Kubernetes would ask the proxy for its own API.
fn proxy(cluster: &Cluster) -> Option<ProxyPlan> {
    let entry = cluster.site.proxy.as_ref()?;
    let mut except = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    except.push(format!(".{}", cluster.domain.value));
    let kubernetes = cluster.kubernetes.iter().flat_map(|entry| entry.pods.iter().chain(&entry.services));
    let ranges = cluster.networks.iter().flat_map(|network| &network.ranges).chain(kubernetes);
    except.extend(ranges.map(|range| range.value.to_string()));
    if cluster.kubernetes.is_some() {
        except.extend([".svc".to_owned(), ".cluster.local".to_owned()]);
    }
    except.extend(values(&entry.except).into_iter().filter(|own| !except.contains(own)).collect::<Vec<_>>());
    let text = |address: &Option<Located<String>>| address.as_ref().map(|address| address.value.clone());
    Some(ProxyPlan { http: text(&entry.http), https: text(&entry.https), except })
}
