//! The built-in recipes, roles, example clusters and templates, embedded: so `imgbuild` works in an empty folder.
//!
//! A test compares this list with what lies in the folders.

/// Path below the project's root, and contents; sorted by path.
pub(super) const BUILTIN: &[(&str, &[u8])] = &[
    ("recipes/debian-bookworm.yaml", include_bytes!("../../recipes/debian-bookworm.yaml")),
    ("recipes/debian-trixie-arm64.yaml", include_bytes!("../../recipes/debian-trixie-arm64.yaml")),
    ("recipes/debian-trixie.yaml", include_bytes!("../../recipes/debian-trixie.yaml")),
    (
        "recipes/debian-trixie/tree/etc/cloud/cloud.cfg.d/95_imgbuild.cfg",
        include_bytes!("../../recipes/debian-trixie/tree/etc/cloud/cloud.cfg.d/95_imgbuild.cfg"),
    ),
    (
        "recipes/debian-trixie/tree/etc/default/grub",
        include_bytes!("../../recipes/debian-trixie/tree/etc/default/grub"),
    ),
    ("recipes/debian-trixie/tree/etc/hostname", include_bytes!("../../recipes/debian-trixie/tree/etc/hostname")),
    ("recipes/debian-trixie/tree/etc/hosts", include_bytes!("../../recipes/debian-trixie/tree/etc/hosts")),
    (
        "recipes/debian-trixie/tree/etc/initramfs-tools/conf.d/imgbuild.conf",
        include_bytes!("../../recipes/debian-trixie/tree/etc/initramfs-tools/conf.d/imgbuild.conf"),
    ),
    ("recipes/debian-trixie/tree/etc/locale.conf", include_bytes!("../../recipes/debian-trixie/tree/etc/locale.conf")),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-config.service.d/10-imgbuild.conf",
        include_bytes!("../../recipes/debian-trixie/tree/etc/systemd/system/cloud-config.service.d/10-imgbuild.conf"),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-final.service.d/10-imgbuild.conf",
        include_bytes!("../../recipes/debian-trixie/tree/etc/systemd/system/cloud-final.service.d/10-imgbuild.conf"),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-init-local.service.d/10-imgbuild.conf",
        include_bytes!(
            "../../recipes/debian-trixie/tree/etc/systemd/system/cloud-init-local.service.d/10-imgbuild.conf"
        ),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-init-main.service.d/10-imgbuild.conf",
        include_bytes!(
            "../../recipes/debian-trixie/tree/etc/systemd/system/cloud-init-main.service.d/10-imgbuild.conf"
        ),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-init-network.service.d/10-imgbuild.conf",
        include_bytes!(
            "../../recipes/debian-trixie/tree/etc/systemd/system/cloud-init-network.service.d/10-imgbuild.conf"
        ),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/cloud-init.service.d/10-imgbuild.conf",
        include_bytes!("../../recipes/debian-trixie/tree/etc/systemd/system/cloud-init.service.d/10-imgbuild.conf"),
    ),
    (
        "recipes/debian-trixie/tree/etc/systemd/system/systemd-networkd-wait-online.service.d/90-imgbuild.conf",
        include_bytes!(
            "../../recipes/debian-trixie/tree/etc/systemd/system/systemd-networkd-wait-online.service.d/90-imgbuild.conf"
        ),
    ),
    (
        "recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-grow.service",
        include_bytes!("../../recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-grow.service"),
    ),
    (
        "recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-role.service",
        include_bytes!("../../recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-role.service"),
    ),
    (
        "recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-seed.service",
        include_bytes!("../../recipes/debian-trixie/tree/usr/lib/systemd/system/imgbuild-seed.service"),
    ),
    (
        "recipes/keyrings/debian-archive-bookworm.asc",
        include_bytes!("../../recipes/keyrings/debian-archive-bookworm.asc"),
    ),
    ("recipes/keyrings/debian-archive-trixie.asc", include_bytes!("../../recipes/keyrings/debian-archive-trixie.asc")),
    ("recipes/keyrings/ubuntu-archive.asc", include_bytes!("../../recipes/keyrings/ubuntu-archive.asc")),
    ("recipes/ubuntu-noble.yaml", include_bytes!("../../recipes/ubuntu-noble.yaml")),
    ("recipes/ubuntu-noble/tree/etc/default/grub", include_bytes!("../../recipes/ubuntu-noble/tree/etc/default/grub")),
    ("roles/base/role.yaml", include_bytes!("../../roles/base/role.yaml")),
    ("roles/etcd/role.yaml", include_bytes!("../../roles/etcd/role.yaml")),
    ("roles/frontend/role.yaml", include_bytes!("../../roles/frontend/role.yaml")),
    ("roles/gateway/role.yaml", include_bytes!("../../roles/gateway/role.yaml")),
    ("roles/gluster/role.yaml", include_bytes!("../../roles/gluster/role.yaml")),
    ("roles/haproxy/role.yaml", include_bytes!("../../roles/haproxy/role.yaml")),
    ("seeds/balancers/cluster.yaml", include_bytes!("../../seeds/balancers/cluster.yaml")),
    ("seeds/demo/cluster.yaml", include_bytes!("../../seeds/demo/cluster.yaml")),
    ("seeds/external-etcd/cluster.yaml", include_bytes!("../../seeds/external-etcd/cluster.yaml")),
    ("seeds/frontends/cluster.yaml", include_bytes!("../../seeds/frontends/cluster.yaml")),
    ("seeds/six-nodes/cluster.yaml", include_bytes!("../../seeds/six-nodes/cluster.yaml")),
    ("seeds/templates/check-haproxy.j2", include_bytes!("../../seeds/templates/check-haproxy.j2")),
    ("seeds/templates/chrony-gateway.conf.j2", include_bytes!("../../seeds/templates/chrony-gateway.conf.j2")),
    ("seeds/templates/chrony.conf.j2", include_bytes!("../../seeds/templates/chrony.conf.j2")),
    ("seeds/templates/cib.xml.j2", include_bytes!("../../seeds/templates/cib.xml.j2")),
    ("seeds/templates/corosync.conf.j2", include_bytes!("../../seeds/templates/corosync.conf.j2")),
    ("seeds/templates/dnsmasq.conf.j2", include_bytes!("../../seeds/templates/dnsmasq.conf.j2")),
    ("seeds/templates/dnsmasq.default.j2", include_bytes!("../../seeds/templates/dnsmasq.default.j2")),
    (
        "seeds/templates/environment-systemd.conf.j2",
        include_bytes!("../../seeds/templates/environment-systemd.conf.j2"),
    ),
    ("seeds/templates/environment.j2", include_bytes!("../../seeds/templates/environment.j2")),
    ("seeds/templates/firewall.nft.j2", include_bytes!("../../seeds/templates/firewall.nft.j2")),
    ("seeds/templates/firewall.service.j2", include_bytes!("../../seeds/templates/firewall.service.j2")),
    ("seeds/templates/haproxy.cfg.j2", include_bytes!("../../seeds/templates/haproxy.cfg.j2")),
    ("seeds/templates/haproxy.service.conf.j2", include_bytes!("../../seeds/templates/haproxy.service.conf.j2")),
    ("seeds/templates/hosts.j2", include_bytes!("../../seeds/templates/hosts.j2")),
    ("seeds/templates/keepalived.conf.j2", include_bytes!("../../seeds/templates/keepalived.conf.j2")),
    ("seeds/templates/keepalived.service.conf.j2", include_bytes!("../../seeds/templates/keepalived.service.conf.j2")),
    ("seeds/templates/meta-data.j2", include_bytes!("../../seeds/templates/meta-data.j2")),
    ("seeds/templates/network-config.j2", include_bytes!("../../seeds/templates/network-config.j2")),
    ("seeds/templates/registry-hosts.toml.j2", include_bytes!("../../seeds/templates/registry-hosts.toml.j2")),
    ("seeds/templates/resolved.conf.j2", include_bytes!("../../seeds/templates/resolved.conf.j2")),
    ("seeds/templates/restart.conf.j2", include_bytes!("../../seeds/templates/restart.conf.j2")),
    ("seeds/templates/sshd.conf.j2", include_bytes!("../../seeds/templates/sshd.conf.j2")),
    ("seeds/templates/syslog-forward.j2", include_bytes!("../../seeds/templates/syslog-forward.j2")),
    ("seeds/templates/syslog.service.j2", include_bytes!("../../seeds/templates/syslog.service.j2")),
    ("seeds/templates/user-data.j2", include_bytes!("../../seeds/templates/user-data.j2")),
    ("seeds/templates/vendor-data.j2", include_bytes!("../../seeds/templates/vendor-data.j2")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::{ListedKind, list};
    use std::path::Path;

    #[test]
    fn list_names_every_file_of_the_folders() {
        let mut found = Vec::new();
        for folder in ["recipes", "roles", "seeds"] {
            for listed in list(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), 10_000).unwrap() {
                match listed.kind {
                    ListedKind::File { .. } => found.push(format!("{folder}/{}", listed.path.display())),
                    ListedKind::Folder => {}
                    other => panic!("{} is {other:?}: only files can be embedded", listed.path.display()),
                }
            }
        }
        found.sort();
        let named: Vec<&str> = BUILTIN.iter().map(|(path, _)| *path).collect();
        assert_eq!(named, found, "src/input/builtin.rs and the folders differ");
    }
}
