//! Where a payload may put files. Whoever signs a seed is the machine's master all the same; this keeps a mistake in a
//! cluster file from taking the machine apart, and keeps a payload out of what other programs own.

/// Where configuration and state of services lie; everything else belongs to the image.
const ALLOWED: [&str; 9] =
    ["/etc", "/var/lib", "/var/spool", "/srv", "/opt", "/usr/local", "/root", "/home", "/var/cache"];

/// What lies there and is somebody else's, and whose.
const DENIED: [(&str, &str); 21] = [
    ("/var/lib/imgbuild", "imgbuild-node keeps its own state there"),
    ("/var/lib/cloud", "cloud-init's documents are handed over by themselves"),
    ("/var/lib/dpkg", "it belongs to the image's packages"),
    ("/var/lib/systemd", "it is systemd's own state"),
    ("/var/lib/private", "it is systemd's own state"),
    ("/etc/cloud", "the image decides what cloud-init believes"),
    ("/etc/fstab", "the image decides what is mounted"),
    ("/etc/crypttab", "the image decides what is mounted"),
    ("/etc/passwd", "accounts are made by the image and by cloud-init"),
    ("/etc/group", "accounts are made by the image and by cloud-init"),
    ("/etc/shadow", "accounts are made by the image and by cloud-init"),
    ("/etc/gshadow", "accounts are made by the image and by cloud-init"),
    ("/etc/subuid", "accounts are made by the image and by cloud-init"),
    ("/etc/subgid", "accounts are made by the image and by cloud-init"),
    ("/etc/ld.so.preload", "it would go into every program"),
    ("/etc/ld.so.cache", "it is made from the image's libraries"),
    ("/etc/machine-id", "systemd makes it at the first boot"),
    ("/etc/hostname", "cloud-init writes it"),
    ("/etc/initramfs-tools", "the initial RAM disk is part of the image"),
    ("/etc/grub.d", "the boot menu is part of the image"),
    ("/etc/alternatives", "it belongs to the image's packages"),
];

/// Units whose files a payload may not touch: they decide what is believed.
const OWN_UNITS: [&str; 4] = ["imgbuild-seed.", "imgbuild-role.", "imgbuild-grow.", "cloud-"];

/// Refuses a path that no payload may write, with the reason.
pub(super) fn check(path: &str) -> Result<(), String> {
    let shape = |why: &str| Err(format!("the payload's path `{}` {why}", path.escape_debug()));
    if !path.starts_with('/') || path.len() > 1024 {
        return shape("is not absolute, or longer than 1024 bytes");
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if parts.iter().any(|part| part.is_empty() || *part == "." || *part == ".." || part.len() > 200) {
        return shape("has a part that is empty, `.`, `..`, or longer than 200 bytes");
    }
    if path.chars().any(char::is_control) {
        return shape("has control characters");
    }
    let below = |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if let Some((_, why)) = DENIED.iter().find(|(denied, _)| below(denied)) {
        return shape(&format!("is not a payload's to write: {why}"));
    }
    if !ALLOWED.iter().any(|folder| below(folder) && path != *folder) {
        return shape(&format!("is not a payload's to write: only what lies below {} is", ALLOWED.join(", ")));
    }
    let unit = path.strip_prefix("/etc/systemd/system/").or_else(|| path.strip_prefix("/etc/systemd/system.control/"));
    if unit.is_some_and(|unit| OWN_UNITS.iter().any(|own| unit.starts_with(own))) {
        return shape("is not a payload's to write: these units decide what the machine believes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_own_files_are_allowed() {
        for path in [
            "/etc/corosync/corosync.conf",
            "/etc/systemd/system/haproxy.service.d/10-imgbuild.conf",
            "/var/lib/pacemaker/cib/cib.xml",
            "/usr/local/share/ca-certificates/cluster.crt",
            "/etc/sysctl.d/90-x.conf",
            "/etc/systemd/system/imgbuild-firewall.service",
            "/etc/ssh/ssh_host_ed25519_key",
        ] {
            check(path).unwrap();
        }
    }

    #[test]
    fn what_others_own_is_refused_with_the_reason() {
        for (path, reason) in [
            ("etc/x", "not absolute"),
            ("/etc/../usr/bin/x", "`..`"),
            ("/etc//x", "empty"),
            ("/etc/x/", "empty"),
            ("/etc/a\nb", "control characters"),
            ("/etc", "only what lies below"),
            ("/usr/bin/sudo", "only what lies below"),
            ("/boot/grub/grub.cfg", "only what lies below"),
            ("/run/x", "only what lies below"),
            ("/proc/sys/kernel/x", "only what lies below"),
            ("/dev/vda", "only what lies below"),
            ("/etcetera/x", "only what lies below"),
            ("/etc/shadow", "accounts are made"),
            ("/etc/cloud/cloud.cfg.d/99.cfg", "what cloud-init believes"),
            ("/var/lib/imgbuild/cluster.pub", "its own state"),
            ("/var/lib/cloud/seed/nocloud/user-data", "handed over by themselves"),
            ("/etc/systemd/system/imgbuild-seed.service", "these units decide"),
            ("/etc/systemd/system/cloud-init-local.service.d/x.conf", "these units decide"),
        ] {
            let said = check(path).unwrap_err();
            assert!(said.contains(reason), "{path}: {said}");
        }
    }
}
