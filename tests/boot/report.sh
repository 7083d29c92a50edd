#!/bin/sh
# Tells the second serial port how this machine is, then powers it off.
exec </dev/null >/var/log/boot-report 2>&1
packages=/dev/disk/by-label/packages
if [ -e "$packages" ] && [ ! -e /var/lib/boot-test/installed ]; then
    mkdir -p /var/lib/boot-test /run/packages
    {
        mount -o ro "$packages" /run/packages &&
            DEBIAN_FRONTEND=noninteractive dpkg -i /run/packages/*.deb &&
            update-grub && touch /var/lib/boot-test/installed
        echo "exit status $?"
    } >/var/lib/boot-test/install.log 2>&1
    touch /var/lib/boot-test/installed
    sync
    exec systemctl reboot
fi
show() {
    name=$1
    shift
    echo "@@ begin $name"
    timeout "${limit-120}" "$@" 2>&1
    echo "@@ end $name $?"
}
echo "@@ report"
show running systemctl is-system-running --wait
show cloud-init cloud-init status --wait --long
show cloud-result cat /run/cloud-init/result.json
show cloud-warnings sh -c 'grep -E "WARNING|ERROR|CRITICAL|Traceback" /var/log/cloud-init.log'
show failed systemctl --failed --no-legend --plain
show jobs systemctl list-jobs --no-legend --plain
show errors journalctl -b -p err -o short-monotonic --no-pager --no-hostname
show cycles sh -c 'journalctl -b --no-pager -o cat | grep -i "ordering cycle" | head -5'
show audit dpkg --audit
if [ -e /etc/boot-test/verify ]; then
    limit=300
    show verify dpkg --verify
    show apt-check apt-get -q check
    ! command -v debsums >/dev/null || show debsums debsums -s
    unset limit
fi
show vgck vgck vg0
show pvs pvs --noheadings --units b --nosuffix -o pv_name,pv_size,pv_free
show written sh -c 'vgs --noheadings -o vg_seqno vg0; sfdisk --dump /dev/vda; ls /etc/lvm/archive | wc -l'
show vgs vgs --noheadings --units b --nosuffix -o vg_name,vg_size,vg_free
show lvs lvs --noheadings --units b --nosuffix -o lv_name,lv_size vg0
show lsblk lsblk -b -P -o NAME,TYPE,SIZE,FSTYPE,MOUNTPOINT,LABEL
show df df -B1 --output=target,fstype,size,avail -x tmpfs -x devtmpfs -x efivarfs
show mounts findmnt -rn -o TARGET,SOURCE,FSTYPE,OPTIONS
show address ip -4 -br address show dev lan0
show route ip -4 route show default
show hostname hostname
show fqdn hostname -f
show kernel uname -r
show cmdline cat /proc/cmdline
show user id alice
show key cat /home/alice/.ssh/authorized_keys
show marker sh -c 'stat -c "%a %U:%G" /etc/boot-test/marker; cat /etc/boot-test/marker'
show machine-id cat /etc/machine-id
show host-keys sh -c 'ls /etc/ssh/ssh_host_*_key.pub'
show ssh ss -Hltn sport = :22
show efi sh -c 'test -d /sys/firmware/efi && echo uefi || echo bios'
show secure sh -c 'od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
show release cat /usr/lib/imgbuild/release
show node /usr/lib/imgbuild/imgbuild-node status
later=/dev/disk/by-label/later
[ ! -e "$later" ] || show applied sh -c '
    /usr/lib/imgbuild/imgbuild-node apply "$0" || exit
    until grep -q "\"generation\": 4" /run/imgbuild/status.json; do sleep 1; done' "$later"
show role timeout 90 sh -c 'until grep -Eq "\"stage\": \"(ready|idle)\"" /run/imgbuild/status.json; do sleep 1; done; cat /run/imgbuild/status.json'
show payload sh -c 'cd /etc/boot-test && stat -c "%n %a %U:%G" payload; cat payload; cat /var/lib/boot-test/once; ls'
show payload-unit systemctl show -p ActiveState -p UnitFileState -p Description boot-test.service
show documents sh -c 'cd /var/lib/cloud/seed/nocloud && stat -c "%n %a" . * && cat meta-data'
show state sh -c 'ls -A /var/lib/imgbuild; ls -A /run/imgbuild'
show intruder sh -c 'ls /etc/boot-test/intruder'
show unit-cycles sh -c 'systemd-analyze verify --man=no default.target 2>&1 | grep -i cycle | head -5'
show grow journalctl -b -u imgbuild-grow.service -o cat --no-pager
show grow-time systemctl show imgbuild-grow.service -p Id -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic
show grub-check sh -c 'head -c 440 /boot/grub/grub.cfg | head -5'
show units systemctl list-units --no-legend --plain --type=service --state=running
show blame sh -c 'systemd-analyze blame --no-pager | head -15'
show time systemd-analyze time
show install cat /var/lib/boot-test/install.log
echo "@@ done"
sync
stty -F /dev/ttyS1 raw -echo 115200
cat /var/log/boot-report >/dev/ttyS1
stty -F /dev/ttyS1 >/dev/null
exec systemctl poweroff
