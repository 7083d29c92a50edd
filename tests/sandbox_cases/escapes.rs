//! What a hostile program in a root tries. Each attempt has a twin that shows that the attempt itself is sound.

use super::harness::{root, said, script};
use anyhow::{Context as _, Result, ensure};
use imgbuild::base::process::Run;
use imgbuild::base::tree::Kind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Runs a script that must fail and say this.
fn refused(root: &Path, text: &str, why: &str) -> Result<()> {
    let output = script(root, text).output()?;
    let heard = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && heard.contains(why), "`{text}` gave {} and said {heard}", output.status);
    Ok(())
}

pub(crate) fn by_privileges(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    refused(&root, "mount -t tmpfs none /tmp", "permission denied")?;
    refused(&root, "umount /usr", "must be superuser")
        .or_else(|_| refused(&root, "umount /usr", "not permitted"))
        .or_else(|_| refused(&root, "umount /usr", "permission denied"))?;
    refused(&root, "mknod /tmp/disk b 254 0", "Operation not permitted")?;
    refused(&root, "mknod /tmp/memory c 1 1", "Operation not permitted")?;
    refused(&root, "hostname other", "you must be root")?;
    refused(&root, "nsenter -t 1 -m true", "Operation not permitted")
        .or_else(|_| refused(&root, "nsenter -t 1 -m true", "Permission denied"))?;
    let capabilities = said(&super::harness::script(&root, "grep CapEff /proc/self/status"))?;
    ensure!(capabilities == "CapEff:\t00000000800400fb", "{capabilities}");
    Ok(())
}

pub(crate) fn by_proc(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    for path in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"] {
        if !Path::new(path).exists() {
            continue;
        }
        refused(&root, &format!("echo x >{path}"), "Read-only file system")
            .or_else(|_| refused(&root, &format!("echo x >{path}"), "Permission denied"))?;
    }
    // Init belongs to the builder: neither its files nor its memory can be reached.
    refused(&root, "ls /proc/1/root/", "Permission denied")?;
    refused(&root, "cat /proc/1/exe", "Permission denied")?;
    refused(&root, "cat /proc/1/mem", "Permission denied")
        .or_else(|_| refused(&root, "cat /proc/1/mem", "Input/output"))?;
    refused(&root, "readlink -v /proc/1/fd/0", "Permission denied")?;
    refused(&root, "ls /proc/1/cwd/", "Permission denied")?;
    refused(&root, "cat /proc/1/environ", "Permission denied")?;
    refused(&root, "ls /proc/1/task/1/root/", "Permission denied")?;
    for path in ["/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/hostname"] {
        refused(&root, &format!("echo 1 >{path}"), "Read-only file system")?;
    }
    // What a process of its own sees as its root is the root, also from the outside of a chroot.
    let own = said(&script(&root, "echo /proc/self/root/../../*; echo /sys/* /dev/sd* /dev/vd* /dev/mem /dev/kmsg"))?;
    let expected = "/proc/self/root/../../bin /proc/self/root/../../dev";
    ensure!(own.starts_with(expected) && !own.contains("home"), "saw {own}");
    ensure!(own.ends_with("\n/sys/* /dev/sd* /dev/vd* /dev/mem /dev/kmsg"), "saw {own}");
    ensure!(said(&script(&root, "readlink /proc/2/exe"))?.starts_with("/usr/"), "the twin fails");
    ensure!(said(&script(&root, "cat /proc/keys /proc/kmsg /proc/kallsyms"))?.is_empty());
    refused(&root, "cat /etc/shadow", "No such file")?;
    Ok(())
}

pub(crate) fn by_links(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let outside = folder.join("outside");
    for name in ["dev", "run"] {
        std::fs::create_dir_all(outside.join(name))?;
        std::os::unix::fs::symlink(outside.join(name), root.join(name))?;
    }
    // The links point nowhere within the root: that is an error, and the host's folders stay as they are.
    let error = script(&root, "true").output().unwrap_err();
    ensure!(format!("{error:#}").contains("mounting a tmpfs at /dev: No such file"), "{error:#}");
    std::fs::create_dir_all(root.join(outside.strip_prefix("/")?).join("dev"))?;
    std::fs::create_dir_all(root.join(outside.strip_prefix("/")?).join("run"))?;
    ensure!(said(&script(&root, "echo x >/dev/null && echo y >/run/y && echo fine"))? == "fine");
    ensure!(std::fs::read_dir(outside.join("run"))?.next().is_none());
    ensure!(std::fs::read_dir(outside.join("dev"))?.next().is_none());
    // Out of a chroot is still inside.
    let climb = "mkdir -p /tmp/c && perl -e 'chroot \"/tmp/c\"; chdir \"..\" for 1..50; chroot \".\"; print join \" \", sort glob \"/*\"'";
    let seen = said(&script(&root, climb))?;
    ensure!(seen.contains("/usr") && !seen.contains("/home") && !seen.contains("/etc"), "saw {seen}");
    Ok(())
}

pub(crate) fn by_namespaces(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    for flags in ["--user --map-root-user", "--mount", "--net", "--pid"] {
        let output = script(&root, &format!("unshare {flags} true")).output()?;
        ensure!(!output.status.success(), "unshare {flags} worked");
    }
    Ok(())
}

/// A connection as a Perl program: says `open` or why not.
fn connect(address: &str) -> String {
    format!("perl -MSocket -e 'socket(S, {address}) ? print \"open\" : print \"$!\"'")
}

pub(crate) fn by_network(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let name = format!("imgbuild-{}", folder.file_name().context("no name")?.to_string_lossy());
    let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)?;
    let _abstract = std::os::unix::net::UnixListener::bind_addr(&address)?;
    let attempts = [
        (
            format!("AF_INET, SOCK_STREAM, 0) && connect(S, sockaddr_in({port}, inet_aton(\"127.0.0.1\"))"),
            "Network is unreachable",
        ),
        (format!("AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un(\"\\0{name}\")"), "Connection refused"),
    ];
    for (attempt, why) in attempts {
        let program = connect(&attempt);
        ensure!(said(&script(&root, &program))? == why, "{attempt}: {}", said(&script(&root, &program))?);
        // The twin: with a grant, they are there.
        ensure!(said(&script(&root, &program).network(true))? == "open", "{attempt}: the twin fails");
    }
    let names = said(&script(&root, "getent hosts localhost.example || echo none"))?;
    ensure!(names == "none", "{names}");
    Ok(())
}

pub(crate) fn by_descriptors(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let host = std::fs::File::open("/")?;
    rustix::io::fcntl_setfd(&host, rustix::io::FdFlags::empty())?;
    let number = host.as_raw_fd();
    let list = format!("ls /proc/self/fd/{number}/");
    let twin = String::from_utf8(Run::new("sh").args(["-c", &list]).run()?)?;
    ensure!(twin.contains("usr"), "the twin sees {twin}");
    refused(&root, &list, "No such file")?;
    let open = said(&script(
        &root,
        "perl -e 'opendir D, \"/proc/self/fd\"; print join \" \", sort grep { $_ ne fileno D } grep /\\d/, readdir D'",
    ))?;
    ensure!(open == "0 1 2", "open inside: {open}");
    Ok(())
}

pub(crate) fn by_signals(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    // Init cannot be killed from below, and nobody else is there: not this worker, not the builder.
    ensure!(said(&script(&root, "kill -9 1; kill -9 -1; echo alive"))? == "alive");
    let seen = said(&script(&root, "echo /proc/[0-9]*"))?;
    ensure!(seen == "/proc/1 /proc/2", "saw {seen}");
    ensure!(said(&script(&root, "sleep 1004 & kill -9 $!; wait $!; echo $?"))? == "137", "the twin fails");
    Ok(())
}

pub(crate) fn by_setuid(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let tool = root.join("whoami");
    std::fs::copy("/usr/bin/id", &tool)?;
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o4755))?;
    for path in [folder, &root] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    let other = ["--reuid", "1", "--regid", "1", "--clear-groups"];
    let twin = Run::new("setpriv").args(other).arg(&tool).arg("-u").run()?;
    ensure!(twin == b"0\n", "the twin is {}", String::from_utf8_lossy(&twin));
    let user = said(&script(&root, &format!("setpriv {} /whoami -u", other.join(" "))))?;
    ensure!(user == "1", "{user}");
    // A capability on a file gives nothing that was given up.
    let climb = "cp /usr/bin/perl /perl && setcap cap_sys_admin,cap_net_admin+ep /perl; \
                 /perl -e 'open F, \"/proc/self/status\"; print grep /CapEff/, <F>' || true";
    let capabilities = said(&script(&root, climb))?;
    ensure!(capabilities.is_empty() || capabilities == "CapEff:\t00000000800400fb", "{capabilities}");
    Ok(())
}

/// Types a letter into a terminal of its own; says the error number.
const TYPING: &str = "$| = 1; $SIG{HUP} = \"IGNORE\"; require POSIX; POSIX::setsid(); sysopen(M, \"/dev/ptmx\", 2) or die \"$!\"; \
    my $word = pack(\"i\", 0); ioctl(M, 0x40045431, $word) or die \"$!\"; ioctl(M, 0x80045430, $word) or die \"$!\"; \
    my $name = \"/dev/pts/\" . unpack(\"i\", $word); sysopen(S, $name, 2) or die \"$name $!\"; \
    $! = 0; my $letter = \"x\"; print ioctl(S, 0x5412, $letter) ? 0 : $! + 0";

pub(crate) fn by_terminal(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    ensure!(said(&script(&root, &format!("perl -e '{TYPING}'")))? == libc::EPERM.to_string());
    // The twin types, or is told that this kernel allows it to nobody (dev.tty.legacy_tiocsti).
    let twin = Run::new("perl").args(["-e", &format!("fork and do {{ wait; exit }}; {TYPING}")]).run()?;
    ensure!(twin == b"0" || twin == libc::EIO.to_string().as_bytes(), "{}", String::from_utf8_lossy(&twin));
    refused(&root, "echo x >/dev/tty", "No such device or address")?;
    Ok(())
}

pub(crate) fn by_mounts(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let attempts = [
        "mount --bind / /tmp",
        "mount -t proc proc /tmp",
        "mount -t overlay -o lowerdir=/usr:/bin none /tmp",
        "mount -o remount,rw /proc/sys",
        "umount /proc/sys",
        "umount -l /proc/keys",
        "umount -l /usr",
        "pivot_root /tmp /tmp",
    ];
    for attempt in attempts {
        let output = script(&root, attempt).output()?;
        let heard = String::from_utf8_lossy(&output.stderr).into_owned();
        let denied = ["ermission denied", "not permitted", "must be superuser"].iter().any(|why| heard.contains(why));
        ensure!(!output.status.success() && denied, "`{attempt}` gave {} and said {heard}", output.status);
    }
    // The twin: the worker, without the filter and with its rights, may.
    let target = folder.join("target");
    std::fs::create_dir(&target)?;
    Run::new("mount").args(["-t", "tmpfs", "none"]).arg(&target).run().context("the twin fails")?;
    Run::new("umount").arg(&target).run()?;
    Ok(())
}

pub(crate) fn by_collecting(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let outside = folder.join("outside");
    std::fs::create_dir(&outside)?;
    std::fs::write(outside.join("secret"), "secret")?;
    // Links of every kind, and a process that would go on exchanging a folder for one if it lived.
    let text = format!(
        "mkdir /d /e; echo x >/d/file; ln -s {0} /away; ln -s ../../../../../../../../{0} /up; ln -s /proc/1/root /init; \
         ln -s {0}/secret /file; mkfifo /pipe; ln -s loop /loop; \
         setsid perl -e 'while (1) {{ rename \"/d\", \"/f\"; symlink \"{0}\", \"/d\"; unlink \"/d\"; rename \"/f\", \"/d\" }}' & \
         sleep 0.3",
        outside.display()
    );
    said(&script(&root, &text))?;
    let tree = imgbuild::store::collect(&root)?;
    for name in ["away", "up", "init", "file", "loop"] {
        let entry = tree.entries.iter().find(|entry| entry.path == name.as_bytes()).context("no such entry")?;
        ensure!(matches!(entry.kind, Kind::SymbolicLink { .. }), "{name} is {:?}", entry.kind);
    }
    let found = tree.entries.iter().any(|entry| entry.path.ends_with(b"secret"));
    ensure!(!found, "a file of the host was collected");
    Ok(())
}
