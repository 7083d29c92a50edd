//! Forbidden system calls, made by a real program: refused inside, and by the worker itself (which has all rights and
//! no filter) answered in another way wherever the kernel does not refuse by itself.

use super::harness::{root, said, script};
use anyhow::{Context as _, Result, ensure};
use imgbuild::base::process::Run;
use std::fmt::Write as _;
use std::path::Path;

/// What an attempt gives without the filter.
#[derive(Clone, Copy, PartialEq)]
enum Twin {
    /// Something else than with it.
    Differs,
    /// The same, by the kernel's own check, here or on kernels built so.
    MayAgree,
}
use Twin::{Differs, MayAgree};

const BUFFER: &str = "my $buffer = \"\\0\" x 512;";

/// Name, number and arguments of a call as Perl writes them, the refusal, the twin.
const ATTEMPTS: &[(&str, i64, &str, i32, Twin)] = &[
    ("unshare of a host name", libc::SYS_unshare, "0x04000000", libc::EPERM, Differs),
    ("unshare of users", libc::SYS_unshare, "0x10000000", libc::EPERM, MayAgree),
    ("setns", libc::SYS_setns, "-1, 0", libc::EPERM, Differs),
    // Sharing what is to be new is nonsense, which the kernel says first.
    ("clone into new mounts", libc::SYS_clone, "0x00020200, 0, 0, 0, 0", libc::EPERM, Differs),
    ("clone3", libc::SYS_clone3, "0, 0", libc::ENOSYS, Differs),
    ("mount", libc::SYS_mount, "0, 0, 0, 0, 0", libc::EPERM, Differs),
    ("umount", libc::SYS_umount2, "$buffer, 0", libc::EPERM, Differs),
    ("pivot_root", libc::SYS_pivot_root, "0, 0", libc::EPERM, Differs),
    ("open_tree", libc::SYS_open_tree, "-100, 0, 1", libc::EPERM, Differs),
    ("move_mount", libc::SYS_move_mount, "-1, 0, -1, 0, 0", libc::EPERM, Differs),
    ("fsopen", libc::SYS_fsopen, "0, 0", libc::EPERM, Differs),
    ("mount_setattr", libc::SYS_mount_setattr, "-1, 0, 0, 0, 0", libc::EPERM, Differs),
    ("init_module", libc::SYS_init_module, "0, 0, 0", libc::EPERM, MayAgree),
    ("finit_module", libc::SYS_finit_module, "-1, 0, 0", libc::EPERM, MayAgree),
    ("delete_module", libc::SYS_delete_module, "0, 0", libc::EPERM, MayAgree),
    ("kexec_load", libc::SYS_kexec_load, "0, 0, 0, 0", libc::EPERM, MayAgree),
    ("reboot", libc::SYS_reboot, "0, 0, 0, 0", libc::EPERM, Differs),
    ("swapon", libc::SYS_swapon, "0, 0", libc::EPERM, MayAgree),
    ("settimeofday", libc::SYS_settimeofday, "0, 0", libc::EPERM, MayAgree),
    ("clock_settime", libc::SYS_clock_settime, "0, 0", libc::EPERM, Differs),
    ("adjtimex", libc::SYS_adjtimex, "$buffer", libc::EPERM, Differs),
    ("the kernel's log", libc::SYS_syslog, "3, 0, 0", libc::EPERM, MayAgree),
    ("bpf", libc::SYS_bpf, "0, 0, 0", libc::EPERM, MayAgree),
    ("perf_event_open", libc::SYS_perf_event_open, "0, 0, -1, -1, 0", libc::EPERM, Differs),
    ("userfaultfd", libc::SYS_userfaultfd, "1", libc::EPERM, Differs),
    ("fanotify_init", libc::SYS_fanotify_init, "0x200, 0", libc::EPERM, MayAgree),
    ("ptrace", libc::SYS_ptrace, "0, 0, 0, 0", libc::EPERM, Differs),
    ("process_vm_readv", libc::SYS_process_vm_readv, "$$, 0, 0, 0, 0, 0", libc::EPERM, Differs),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, "-1, 0, 0", libc::EPERM, Differs),
    ("kcmp", libc::SYS_kcmp, "$$, $$, 1, 0, 0", libc::EPERM, MayAgree),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, "-1, 0, 0", libc::EPERM, MayAgree),
    ("io_uring_setup", libc::SYS_io_uring_setup, "0, 0", libc::ENOSYS, MayAgree),
    ("keyctl", libc::SYS_keyctl, "0, -3, 0", libc::ENOSYS, MayAgree),
    ("add_key", libc::SYS_add_key, "0, 0, 0, 0, 0", libc::ENOSYS, MayAgree),
    ("request_key", libc::SYS_request_key, "0, 0, 0, 0", libc::ENOSYS, MayAgree),
    ("a fixed address space", libc::SYS_personality, "0x0040000", libc::EPERM, Differs),
    ("a later call", 470, "0", libc::ENOSYS, MayAgree),
    ("a packet socket", libc::SYS_socket, "17, 2, 0", libc::EAFNOSUPPORT, MayAgree),
    ("a socket to the hypervisor", libc::SYS_socket, "40, 1, 0", libc::EAFNOSUPPORT, MayAgree),
    ("a cryptography socket", libc::SYS_socket, "38, 5, 0", libc::EAFNOSUPPORT, MayAgree),
    ("an audit socket", libc::SYS_socket, "16, 3, 9", libc::EPROTONOSUPPORT, MayAgree),
    ("a socket to the device manager", libc::SYS_socket, "16, 3, 15", libc::EPROTONOSUPPORT, Differs),
    ("typing into a terminal", libc::SYS_ioctl, "0, 0x5412, $buffer", libc::EPERM, Differs),
    ("typing, dressed up", libc::SYS_ioctl, "0, 0x5412 | 1 << 32, $buffer", libc::EPERM, Differs),
    ("the console's clipboard", libc::SYS_ioctl, "0, 0x541c, $buffer", libc::EPERM, Differs),
];

/// Calls that scripts do need, with what they give.
const ALLOWED: &[(&str, i64, &str)] = &[
    ("a socket of the root", libc::SYS_socket, "1, 1, 0"),
    ("a socket of the empty network", libc::SYS_socket, "2, 1, 0"),
    ("the routing table", libc::SYS_socket, "16, 3, 0"),
    ("what personality", libc::SYS_personality, "0xffffffff"),
    ("32-bit uname", libc::SYS_personality, "8"),
];

/// The attempts as one program that says `number errno` of each, 0 for success.
fn program(attempts: impl Iterator<Item = (i64, &'static str)>) -> String {
    let mut text = String::from(BUFFER);
    for (at, (number, arguments)) in attempts.enumerate() {
        // A child each: some succeed, without the filter.
        let _ = write!(
            text,
            "$| = 1; unless (fork) {{ $! = 0; my $r = syscall({number}, {arguments}); \
             print {at}, ' ', ($r == -1 ? $! + 0 : 0), \"\\n\"; require POSIX; POSIX::_exit(0) }} wait;"
        );
    }
    text
}

fn answers(said: &str, count: usize) -> Result<Vec<i32>> {
    let found: Vec<i32> =
        said.lines().filter_map(|line| line.split_once(' ')).filter_map(|(_, number)| number.parse().ok()).collect();
    ensure!(found.len() == count, "{count} attempts gave {said}");
    Ok(found)
}

pub(crate) fn forbidden_are_refused(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let text = program(ATTEMPTS.iter().map(|(_, number, arguments, ..)| (*number, *arguments)));
    let inside = script(&root, &format!("exec perl -e '{}'", text.replace('\'', "'\\''")));
    let inside = answers(&said(&inside)?, ATTEMPTS.len())?;
    let outside = Run::new("perl").args(["-e", &text]).run().context("running the twin")?;
    let outside = answers(&String::from_utf8(outside)?, ATTEMPTS.len())?;
    let mut wrong = Vec::new();
    for (((name, _, _, refusal, twin), inside), outside) in ATTEMPTS.iter().zip(inside).zip(outside) {
        if inside != *refusal {
            wrong.push(format!("{name}: errno {inside} inside instead of {refusal}"));
        }
        if *twin == Differs && outside == *refusal {
            wrong.push(format!("{name}: without the filter it gives errno {outside} too"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n    "));
    Ok(())
}

pub(crate) fn needed_are_allowed(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let text = program(ALLOWED.iter().map(|(_, number, arguments)| (*number, *arguments)));
    let inside = script(&root, &format!("exec perl -e '{}'", text.replace('\'', "'\\''")));
    let inside = answers(&said(&inside)?, ALLOWED.len())?;
    for ((name, ..), errno) in ALLOWED.iter().zip(inside) {
        ensure!(errno == 0, "{name}: errno {errno}");
    }
    let status = said(&script(&root, "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"))?;
    ensure!(status == "NoNewPrivs:\t1\nSeccomp:\t2", "{status}");
    // Threads are made without clone3, and accounts without an audit socket.
    said(&script(&root, "perl -Mthreads -e 'threads->create(sub {})->join'"))?;
    Ok(())
}

/// A program of the 32-bit processor, by whose calls a filter for 64 bits would be passed by: `exit(7)`.
#[cfg(target_arch = "x86_64")]
pub(crate) fn other_processors_are_refused(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = root(folder)?;
    // ELF header and one loaded segment at 0x10000; mov eax,1; mov ebx,7; int 0x80.
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    for word in [0x10054_u32, 52, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1_u32, 0, 0x10000, 0x10000, 96, 96, 5, 0x1000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"\xb8\x01\0\0\0\xbb\x07\0\0\0\xcd\x80");
    let file = root.join("small");
    std::fs::write(&file, bytes)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let twin = Run::new(&file).output();
    if !twin.is_ok_and(|output| output.status.code() == Some(7)) {
        super::harness::skip("calls of 32-bit programs: this kernel runs none");
        return Ok(());
    }
    let heard = said(&script(&root, "/small; echo $?"))?;
    ensure!(heard == (128 + libc::SIGSYS).to_string(), "it ended with {heard}");
    // x32: the same processor, another table.
    let x32 = format!("perl -e 'syscall({} | 0x40000000); print $! + 0'", libc::SYS_getpid);
    ensure!(said(&script(&root, &x32))? == libc::ENOSYS.to_string());
    Ok(())
}
