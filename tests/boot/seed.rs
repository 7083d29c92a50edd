//! The hand-made NoCloud seed of the test machines, and the script that reports from inside.

use std::path::Path;

/// The machine's interface.
pub(crate) const MAC: &str = "52:54:00:00:04:15";
/// Its static address; the network is that of QEMU's user mode.
pub(crate) const ADDRESS: &str = "10.0.2.77/24";
/// Its name.
pub(crate) const HOST: &str = "node1";
/// Its person; `operator` would be the name of one of Debian's own groups.
pub(crate) const USER: &str = "alice";
/// The person's key.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHT2v7eHkqD0a2jX3cC8g6oQd1XyL5m4n9bRk2Vw8sZu alice@example";
/// Label of a volume whose packages the machine installs once, before it restarts.
pub(crate) const PACKAGES_LABEL: &str = "packages";

/// Writes the seed into a folder. With `verify`, the machine also compares its files with what its packages brought.
pub(crate) fn write(folder: &Path, verify: bool) {
    write_instance(folder, verify, 1);
}

/// The same with a number in the instance-id, so that cloud-init takes changed documents for new ones.
pub(crate) fn write_instance(folder: &Path, verify: bool, instance: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    file("meta-data", &format!("instance-id: {HOST}-{instance}\nlocal-hostname: {HOST}\n"));
    file("network-config", &network());
    file("user-data", &user_data(verify));
}

fn network() -> String {
    format!(
        "version: 2\n\
         ethernets:\n  \
           lan0:\n    \
             match: {{macaddress: \"{MAC}\"}}\n    \
             set-name: lan0\n    \
             addresses: [{ADDRESS}]\n    \
             routes: [{{to: 0.0.0.0/0, via: 10.0.2.2}}]\n    \
             nameservers: {{addresses: [10.0.2.3], search: [example.internal]}}\n"
    )
}

fn user_data(verify: bool) -> String {
    let wish = if verify { "  - path: /etc/boot-test/verify\n    content: \"\"\n" } else { "" };
    let indented = |text: &str| text.lines().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        "#cloud-config\n\
         hostname: {HOST}\n\
         fqdn: {HOST}.example.internal\n\
         prefer_fqdn_over_hostname: false\n\
         manage_etc_hosts: localhost\n\
         users:\n  \
           - name: {USER}\n    \
             groups: [adm]\n    \
             shell: /bin/bash\n    \
             sudo: ALL=(ALL) NOPASSWD:ALL\n    \
             lock_passwd: true\n    \
             ssh_authorized_keys: [\"{KEY}\"]\n\
         write_files:\n  \
           - path: /etc/boot-test/marker\n    \
             permissions: \"0640\"\n    \
             owner: root:adm\n    \
             content: \"written by the seed\\n\"\n  \
           - path: /usr/local/sbin/boot-report\n    \
             permissions: \"0755\"\n    \
             content: |\n{script}  \
           - path: /etc/systemd/system/boot-report.service\n    \
             permissions: \"0644\"\n    \
             content: |\n{unit}{wish}\
         runcmd:\n  \
           - [systemctl, daemon-reload]\n  \
           - [systemctl, enable, boot-report.service]\n  \
           - [systemctl, start, --no-block, boot-report.service]\n",
        script = indented(include_str!("report.sh")),
        unit = indented(include_str!("report.service")),
    )
}
