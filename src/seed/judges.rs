//! Which of the machine's own programs judges which document before a machine is started with it.

use crate::format::seed::FILES;

/// The exit status of a command that cannot judge here, and says why on its standard output.
pub const UNABLE: i32 = 77;

/// How a document is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a shell command that is content with it (status 0), says what is wrong, or cannot tell ([`UNABLE`]). The
    /// document is `$1`, the machine `$NODE`; the payload lies where the machine will have it.
    Asked(&'static str),
    /// Not before the machine runs, for this reason.
    Not(&'static str),
}

/// A document and who reads it.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// cloud-init's document by its name, or where the machine will have the file.
    pub document: &'static str,
    /// The template that it is made of.
    pub template: &'static str,
    /// The program that reads it.
    pub program: &'static str,
    /// How it is asked.
    pub how: How,
}

impl Judge {
    /// Where the document lies on the volume.
    #[must_use]
    pub fn path(&self) -> String {
        if self.document.starts_with('/') { format!("{FILES}{}", self.document) } else { self.document.to_owned() }
    }
}

/// It names no lines unless it is asked to write its findings beside them.
const CLOUD_CONFIG: &str = "said=$(cloud-init schema --config-file \"$1\" 2>&1) && exit
printf '%s\\n' \"$said\" | grep -v 'datasource not detected'
cloud-init schema --annotate --config-file \"$1\" 2>/dev/null | sed -n '/^#cloud-config/,$p' |
    grep -nE '^[^#].*# E[0-9]' | sed 's/^\\([0-9]*\\):/line \\1: /'
exit 1";
/// Older ones know no schema of it. netplan counts the lines of what cloud-init makes of the document, not the document's.
const NETWORK: &str = "cloud-init schema --help | grep -q schema-type ||
    { echo 'this version of cloud-init has no schema for it'; exit 77; }
said=$(cloud-init schema --schema-type network-config --config-file \"$1\" 2>&1) && exit
printf '%s\\n' \"$said\" | grep -v 'datasource not detected' | sed 's/format-l[0-9.c]*: \\(Invalid netplan\\)/\\1/'
exit 1";
/// It looks for the machine that it runs on, and keeps to itself what is wrong unless told otherwise.
const COROSYNC: &str = "sed \"s/^\\( *name: \\)$NODE\\$/\\1$(uname -n)/; s/to_stderr: no/to_stderr: yes/\" \"$1\" \
    >/tmp/corosync.conf
said=$(corosync -t -c /tmp/corosync.conf 2>&1) && exit
printf '%s\\n' \"$said\" | sed \"s|/tmp/corosync.conf|$1|g; s/^.* \\(error *\\[\\)/\\1/\"
exit 1";
/// The interfaces are the machine's. Version 2.2.7 ends itself by SIGTERM after every test.
const KEEPALIVED: &str = "said=$(keepalived -t -f \"$1\" 2>&1) && exit
said=$(printf '%s\\n' \"$said\" | grep -v -e \"doesn't exist\" -e 'Non-existent interface' -e '^Terminated$')
[ -z \"$said\" ] || { printf '%s\\n' \"$said\"; exit 1; }";
/// It is content with units that it complains about, and complains about others too.
const UNIT: &str = "said=$(systemd-analyze verify --man=no \"$(basename \"$1\")\" 2>&1 | grep -F \"$1\") || exit 0
printf '%s\\n' \"$said\"
exit 1";
/// The same for what is added to a unit.
const DROP_IN: &str = "unit=$(basename \"$(dirname \"$1\")\" .d)
said=$(systemd-analyze verify --man=no \"$unit\" 2>&1 | grep -F \"$1\") || exit 0
printf '%s\\n' \"$said\"
exit 1";
/// Status and errors, without what it prints of the document, and without the time of day.
const CHRONY: &str = "said=$(chronyd -p -f \"$1\" 2>&1 >/dev/null) && exit
printf '%s\\n' \"$said\" | sed 's/^[0-9TZ:-]* //'
exit 1";
/// What it says beside errors is its version.
const HAPROXY: &str = "said=$(haproxy -c -f \"$1\" 2>&1) && exit
printf '%s\\n' \"$said\" | grep -v '^\\[NOTICE\\]'
exit 1";
const SCRIPT: &str = "bash -n \"$1\"";

/// All of them.
pub const JUDGES: &[Judge] = &[
    asked("user-data", "user-data", "cloud-init", CLOUD_CONFIG),
    asked("vendor-data", "vendor-data", "cloud-init", CLOUD_CONFIG),
    asked("network-config", "network-config", "cloud-init", NETWORK),
    asked("/etc/haproxy/haproxy.cfg", "haproxy.cfg", "haproxy", HAPROXY),
    asked("/etc/corosync/corosync.conf", "corosync.conf", "corosync", COROSYNC),
    asked("/var/lib/pacemaker/cib/cib.xml", "cib.xml", "crm_verify", "crm_verify -V -x \"$1\""),
    asked("/etc/keepalived/keepalived.conf", "keepalived.conf", "keepalived", KEEPALIVED),
    asked("/etc/dnsmasq.d/imgbuild.conf", "dnsmasq.conf", "dnsmasq", "dnsmasq --test --conf-file=\"$1\""),
    Judge {
        document: "/etc/imgbuild/firewall.nft",
        template: "firewall.nft",
        program: "nft",
        how: How::Not("nft asks the kernel by Netlink, which the sandbox denies"),
    },
    // All of sshd's configuration, as the machine will have it: it is one file among others.
    asked("/etc/ssh/sshd_config.d/10-imgbuild.conf", "sshd.conf", "sshd", "mkdir -p /run/sshd && sshd -t"),
    asked("/etc/chrony/chrony.conf", "chrony.conf", "chronyd", CHRONY),
    asked("/etc/chrony/conf.d/50-imgbuild.conf", "chrony-gateway.conf", "chronyd", CHRONY),
    asked("/usr/local/sbin/imgbuild-check-haproxy", "check-haproxy", "bash", SCRIPT),
    asked("/usr/local/sbin/imgbuild-syslog-forward", "syslog-forward", "bash", SCRIPT),
    asked("/etc/systemd/system/imgbuild-firewall.service", "firewall.service", "systemd-analyze", UNIT),
    asked("/etc/systemd/system/imgbuild-syslog.service", "syslog.service", "systemd-analyze", UNIT),
    asked("/etc/systemd/system/haproxy.service.d/50-imgbuild.conf", "haproxy.service.conf", "systemd-analyze", DROP_IN),
    asked(
        "/etc/systemd/system/keepalived.service.d/50-imgbuild.conf",
        "keepalived.service.conf",
        "systemd-analyze",
        DROP_IN,
    ),
    asked("/etc/systemd/system/dnsmasq.service.d/50-imgbuild.conf", "restart.conf", "systemd-analyze", DROP_IN),
    asked("/etc/systemd/system/corosync.service.d/50-imgbuild.conf", "restart.conf", "systemd-analyze", DROP_IN),
];

const fn asked(document: &'static str, template: &'static str, program: &'static str, command: &'static str) -> Judge {
    Judge { document, template, program, how: How::Asked(command) }
}
