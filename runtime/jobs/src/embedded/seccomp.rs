//! The system calls a job may not make.
//!
//! A deny list over "allow", not an allow list: a job is any compiler, interpreter or test suite, it has no
//! capabilities and no way to gain some, so what is cut off here is (a) what needs no capability and reaches
//! kernel code that has been the way out of containers, (b) new user namespaces, which would hand out
//! capabilities again, (c) sockets of families that no network namespace contains (vsock reaches the
//! hypervisor). Calls of another architecture than the native one kill the caller.

use serde_json::{Value, json};

/// `EPERM`.
const NOT_PERMITTED: u32 = 1;
/// `ENOSYS`: programs fall back to an older call.
const NOT_IMPLEMENTED: u32 = 38;

/// Refused with `EPERM`.
const DENIED: &[&str] = &[
    "_sysctl",
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
];

/// Refused with `ENOSYS`. `clone3` takes its flags by pointer, where no filter can see them; the C library
/// then uses `clone`. `io_uring` runs operations that no filter sees.
const ABSENT: &[&str] = &["clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"];

/// `CLONE_NEW*`: cgroup, mount, uts, ipc, user, pid and net. (`CLONE_NEWTIME` lies in the bits of the exit
/// signal; `clone` does not take it.)
const NAMESPACE_FLAGS: &[u64] =
    &[0x0200_0000, 0x0002_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// Socket families that are let through: unix, inet, inet6 and netlink (interfaces are listed by it). All are
/// bound to the network namespace.
const FAMILIES: &[u64] = &[1, 2, 10, 16];

/// `TIOCSTI` and `TIOCLINUX`: typing into somebody's terminal.
const TERMINAL_REQUESTS: &[u64] = &[0x5412, 0x541c];

/// Which of the two values of a masked comparison is the mask, the other being what is compared with.
///
/// The specification says "value" and "valueTwo" without saying which is which, and runtimes differ. In the wrong
/// order, "no TIOCSTI" forbids asking a pipe how much it holds too, without which Java reads no child's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    /// runc's and crun's order, as libseccomp has it.
    First,
    /// libcontainer's.
    Second,
}

/// Returns the filter as an OCI `linux.seccomp` object, for a runtime of the given order.
pub(crate) fn profile(order: Mask) -> Value {
    let deny =
        |names: &[&str], errno: u32| json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    let deny_when = |name: &str, arg: Value| json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_PERMITTED, "args": [arg]});
    let masked = |index: u32, mask: u64, value: u64| {
        let (first, second) = match order {
            Mask::First => (mask, value),
            Mask::Second => (value, mask),
        };
        json!({"index": index, "value": first, "valueTwo": second, "op": "SCMP_CMP_MASKED_EQ"})
    };
    let mut rules = vec![deny(DENIED, NOT_PERMITTED), deny(ABSENT, NOT_IMPLEMENTED)];
    for flag in NAMESPACE_FLAGS {
        rules.push(deny_when("clone", masked(0, *flag, *flag)));
    }
    let last = FAMILIES.iter().copied().max().unwrap_or(0);
    for name in ["socket", "socketpair"] {
        for family in (0..last).filter(|family| !FAMILIES.contains(family)) {
            rules.push(deny_when(name, json!({"index": 0, "value": family, "op": "SCMP_CMP_EQ"})));
        }
        rules.push(deny_when(name, json!({"index": 0, "value": last, "op": "SCMP_CMP_GT"})));
    }
    for request in TERMINAL_REQUESTS {
        rules.push(deny_when("ioctl", masked(1, 0xffff_ffff, *request)));
    }
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
}
