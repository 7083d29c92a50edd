//! Which system calls a program in a root may make: a filter of ours that the kernel runs before each of them.
//!
//! What needs a right that the program does not have is refused a second time here (mounts, modules, clocks): a fault
//! in the kernel's own check then opens nothing. Some of the rest is open to everybody and needed by no maintainer
//! script (io_uring, keys, `bpf`, virtual machine sockets). An answer is one that programs know: "not permitted" as
//! in any container, or "there is no such call" where libraries then take another way (`clone3` hides its flags in
//! memory, where no filter sees them; glibc then calls `clone`).
//!
//! Own code and not a crate: those that there are let the x32 calls through, and know one refusal per filter.

use anyhow::{Result, bail};
use libc::{c_long, c_ulong, sock_filter, sock_fprog};

/// The processor whose calls are known here; a program of another may make none.
#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 62 | LITTLE_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u32 = 183 | LITTLE_64;
/// `__AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE`.
const LITTLE_64: u32 = 0xc000_0000;
/// x32 calls are x86-64 calls with this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// The last call that was looked at for this list (`file_setattr`, Linux 6.17). Later ones do not exist in here.
const LAST: u32 = 469;
/// It has no number in `libc` yet; the same on all processors.
const OPEN_TREE_ATTR: c_long = 467;

/// Not permitted.
const FORBIDDEN: &[c_long] = &[
    // Mounts and namespaces: the root is as it was made.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // Ways to look into processes and files other than by their names.
    libc::SYS_open_by_handle_at,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Large parts of the kernel that no script needs.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
];

/// No such call: programs go on without, as on a kernel that was built so.
const ABSENT: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_memfd_secret,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Calls that wait until something is on the disk. Nothing that a program in a root makes is used as it lies there:
/// whoever publishes it waits once, for all of it. dpkg alone would wait several times for each package.
const WAITING: &[c_long] =
    &[libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range];

/// Flags of `clone` that ask for namespaces.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
/// Requests to a terminal that put words into another's mouth: input, the console's clipboard, its output.
const TERMINAL: [u32; 3] = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32, libc::TIOCCONS as u32];
/// Execution domains: Linux, the same with 32-bit `uname`, and the question which one it is.
const PERSONALITIES: [u32; 3] = [0, 8, 0xffff_ffff];
/// Families of sockets: within the root, and the (empty) network's.
const FAMILIES: [u32; 3] = [libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32];

/// Offsets in `struct seccomp_data`; of an argument, its lower half.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

fn statement(code: u32, value: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// Goes on with the next statement when it holds, otherwise skips so many.
fn unless(test: u32, value: u32, skipped: usize) -> sock_filter {
    let jf = u8::try_from(skipped).unwrap_or(u8::MAX);
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: 0, jf, k: value }
}

fn answer(value: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

fn refuse(error: i32) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | error.unsigned_abs())
}

/// What becomes of one call: `body` ends with an answer.
fn call(program: &mut Vec<sock_filter>, number: c_long, body: &[sock_filter]) {
    // Of the calls that are listed, all numbers are small and positive.
    program.push(unless(libc::BPF_JEQ, number as u32, body.len()));
    program.extend_from_slice(body);
}

/// An argument that has one of these values is answered so, all others otherwise. Only its lower half counts, because
/// the kernel itself looks at no more of these arguments.
fn one_of(argument: u32, values: &[u32], then: sock_filter, otherwise: &[sock_filter]) -> Vec<sock_filter> {
    let mut body = vec![load(ARGUMENTS + 8 * argument)];
    for value in values {
        body.extend([unless(libc::BPF_JEQ, *value, 1), then]);
    }
    body.extend_from_slice(otherwise);
    body
}

/// The filter; without `durable`, calls that wait for the disk succeed at once.
fn program(durable: bool) -> Vec<sock_filter> {
    let allow = answer(libc::SECCOMP_RET_ALLOW);
    let forbid = refuse(libc::EPERM);
    let ours = sock_filter { jt: 1, jf: 0, ..unless(libc::BPF_JEQ, MACHINE, 0) };
    let mut program = vec![load(ARCHITECTURE), ours, answer(libc::SECCOMP_RET_KILL_PROCESS), load(NUMBER)];
    #[cfg(target_arch = "x86_64")]
    program.extend([unless(libc::BPF_JGE, X32, 1), refuse(libc::ENOSYS)]);
    program.extend([unless(libc::BPF_JGT, LAST, 1), refuse(libc::ENOSYS)]);
    for number in FORBIDDEN {
        call(&mut program, *number, &[forbid]);
    }
    for number in ABSENT {
        call(&mut program, *number, &[refuse(libc::ENOSYS)]);
    }
    for number in WAITING.iter().filter(|_| !durable) {
        call(&mut program, *number, &[refuse(0)]);
    }
    call(&mut program, libc::SYS_clone, &[load(ARGUMENTS), unless(libc::BPF_JSET, NAMESPACES, 1), forbid, allow]);
    call(&mut program, libc::SYS_ioctl, &one_of(1, &TERMINAL, forbid, &[allow]));
    call(&mut program, libc::SYS_personality, &one_of(0, &PERSONALITIES, allow, &[forbid]));
    // Programs ask the routing table what addresses there are; other netlink families, and then all other families of
    // sockets, are not in this kernel: `useradd` goes on without an audit socket only if told so in these words.
    let routes = one_of(2, &[libc::NETLINK_ROUTE as u32], allow, &[refuse(libc::EPROTONOSUPPORT)]);
    let mut family = one_of(0, &FAMILIES, allow, &[]);
    family.push(unless(libc::BPF_JEQ, libc::AF_NETLINK as u32, routes.len()));
    family.extend(routes);
    family.push(refuse(libc::EAFNOSUPPORT));
    call(&mut program, libc::SYS_socket, &family);
    call(&mut program, libc::SYS_socketpair, &family);
    program.push(allow);
    program
}

/// Puts the filter over this process and all that it starts, for good. Needs `no_new_privs`.
#[allow(unsafe_code)]
pub(super) fn install(durable: bool) -> Result<()> {
    let mut program = program(durable);
    let length = u16::try_from(program.len())?;
    let filter = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // Without SPEC_ALLOW some kernels slow the whole process down against speculation that a filter does not prevent.
    let flags: c_ulong = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the kernel copies the program, which lives until the end of this function, and changes no memory of ours.
    let status = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    if status != 0 {
        let error = std::io::Error::last_os_error();
        bail!("this kernel filters no system calls (CONFIG_SECCOMP_FILTER): {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const KILLED: u32 = libc::SECCOMP_RET_KILL_PROCESS;

    /// What the kernel would do: a machine for the few statements that the filter is made of.
    fn run(architecture: u32, number: u32, arguments: [u64; 3]) -> u32 {
        run_in(&program(true), architecture, number, arguments)
    }

    fn run_in(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 3]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let here = program[at];
            let class = u32::from(here.code) & 7;
            at += 1;
            if class == libc::BPF_RET {
                return here.k;
            } else if class == libc::BPF_LD {
                value = match here.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    offset => (arguments[((offset - ARGUMENTS) / 8) as usize] & 0xffff_ffff) as u32,
                };
            } else {
                let holds = match u32::from(here.code) & 0xf0 {
                    libc::BPF_JEQ => value == here.k,
                    libc::BPF_JGT => value > here.k,
                    libc::BPF_JGE => value >= here.k,
                    _ => value & here.k != 0,
                };
                at += usize::from(if holds { here.jt } else { here.jf });
            }
        }
    }

    fn errno(error: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
    }

    fn ours(number: c_long, arguments: [u64; 3]) -> u32 {
        run(MACHINE, number as u32, arguments)
    }

    #[test]
    fn everyday_calls_are_allowed() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_fchownat,
            libc::SYS_setuid,
            libc::SYS_chroot,
            libc::SYS_mknodat,
            libc::SYS_setxattr,
            libc::SYS_renameat2,
            libc::SYS_seccomp,
            libc::SYS_prctl,
            libc::SYS_memfd_create,
            libc::SYS_statx,
            libc::SYS_openat2,
            libc::SYS_fchmodat2,
        ] {
            assert_eq!(ours(number, [u64::MAX; 3]), ALLOWED, "{number}");
        }
    }

    #[test]
    fn every_listed_call_is_refused_as_listed() {
        for (list, error) in [(FORBIDDEN, libc::EPERM), (ABSENT, libc::ENOSYS)] {
            for number in list {
                assert_eq!(ours(*number, [0; 3]), errno(error), "{number}");
                assert!(*number >= 0 && *number <= c_long::from(LAST), "{number}");
            }
        }
    }

    #[test]
    fn calls_that_wait_for_the_disk_succeed_at_once_unless_they_count() {
        for number in WAITING {
            assert_eq!(ours(*number, [0; 3]), ALLOWED, "{number}");
            let answer = run_in(&program(false), MACHINE, *number as u32, [0; 3]);
            assert_eq!(answer, libc::SECCOMP_RET_ERRNO, "{number}");
        }
        assert_eq!(run_in(&program(false), MACHINE, libc::SYS_write as u32, [0; 3]), ALLOWED);
    }

    #[test]
    fn calls_of_other_processors_and_of_later_kernels_are_refused() {
        const I386: u32 = 0x4000_0003;
        assert_eq!(run(I386, 1, [0; 3]), KILLED);
        assert_eq!(run(MACHINE, LAST + 1, [0; 3]), errno(libc::ENOSYS));
        assert_eq!(run(MACHINE, u32::MAX, [0; 3]), errno(libc::ENOSYS));
        #[cfg(target_arch = "x86_64")]
        for number in [libc::SYS_read, libc::SYS_mount, 512] {
            assert_eq!(run(MACHINE, number as u32 | X32, [0; 3]), errno(libc::ENOSYS));
        }
    }

    #[test]
    fn processes_and_threads_may_be_made_but_no_namespaces() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_SETTLS;
        for flags in [libc::SIGCHLD, libc::CLONE_VFORK | libc::CLONE_VM | libc::SIGCHLD, thread] {
            assert_eq!(ours(libc::SYS_clone, [flags as u64, 0, 0]), ALLOWED);
        }
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWPID] {
            let flags = u64::from(flag as u32) | libc::SIGCHLD as u64;
            assert_eq!(ours(libc::SYS_clone, [flags, 0, 0]), errno(libc::EPERM));
        }
    }

    #[test]
    fn arguments_are_compared_without_their_upper_halves() {
        for upper in [0, 1 << 32, 0xffff_ffff << 32] {
            let tty = |request: u32| ours(libc::SYS_ioctl, [0, u64::from(request) | upper, 0]);
            assert_eq!(tty(libc::TIOCSTI as u32), errno(libc::EPERM));
            assert_eq!(tty(libc::TIOCLINUX as u32), errno(libc::EPERM));
            assert_eq!(tty(libc::TCGETS as u32), ALLOWED);
            let socket = |family: i32, protocol: i32| {
                ours(libc::SYS_socket, [family as u64 | upper, 3, protocol as u64 | upper])
            };
            for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
                assert_eq!(socket(family, 0), ALLOWED);
            }
            for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_BLUETOOTH, 0, 255] {
                assert_eq!(socket(family, 0), errno(libc::EAFNOSUPPORT));
            }
            assert_eq!(socket(libc::AF_NETLINK, libc::NETLINK_ROUTE), ALLOWED);
            for protocol in [libc::NETLINK_AUDIT, libc::NETLINK_NETFILTER, libc::NETLINK_KOBJECT_UEVENT] {
                assert_eq!(socket(libc::AF_NETLINK, protocol), errno(libc::EPROTONOSUPPORT));
            }
            assert_eq!(ours(libc::SYS_personality, [0xffff_ffff | upper, 0, 0]), ALLOWED);
            assert_eq!(ours(libc::SYS_personality, [0x0004_0000 | upper, 0, 0]), errno(libc::EPERM));
        }
    }
}
