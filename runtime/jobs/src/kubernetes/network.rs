//! A network of the job's own, in a pod that has one: the kernel lets any user have one, in a user namespace. The filters
//! that runtimes put on by default forbid it; where they do, and the pod's network leads somewhere, no job is run.

use std::fs;

use libcontainer::namespaces::Namespaces;
use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::docker::init::no_way_out;
use crate::embedded::loopback;

/// The kernel has 64 at most.
const CAPABILITIES: u32 = 64;

/// Leaves a network that leads out of the pod, and says whether it had to. What is left is looked at by whoever looks at
/// the rest.
///
/// # Errors
/// Where it leads, and why it cannot be left.
pub(super) fn leave() -> Result<bool, String> {
    let Err(leads) = no_way_out() else { return Ok(false) };
    own().map(|()| true).map_err(|error| format!("{leads}, and no network of its own can be made: {error}"))
}

fn own() -> Result<(), String> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    for kind in [LinuxNamespaceType::User, LinuxNamespaceType::Network] {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        Namespaces::try_from(Some(&vec![namespace.clone()]))
            .and_then(|namespaces| namespaces.unshare_or_setns(&namespace))
            .map_err(|error| error.to_string())?;
        if kind == LinuxNamespaceType::User {
            // To write the maps: whoever cannot be read does not own its own files in `/proc`.
            rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
                .map_err(|error| error.to_string())?;
            // The same numbers inside as outside, and no other.
            for (file, map) in [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("{user} {user} 1", user = user.as_raw())),
                ("gid_map", format!("{group} {group} 1", group = group.as_raw())),
            ] {
                let path = format!("/proc/self/{file}");
                fs::write(&path, map).map_err(|error| format!("{path}: {error}"))?;
            }
        }
    }
    loopback::bring_up().map_err(|error| format!("loopback: {error}"))?;
    without_capabilities().map_err(|error| format!("capabilities: {error}"))
}

/// Gives up what the first process of a user namespace has: all that the pod's description took is gone again.
fn without_capabilities() -> rustix::io::Result<()> {
    for number in 0..CAPABILITIES {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << number,
        )) {
            // A number that this kernel does not know.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )
}
