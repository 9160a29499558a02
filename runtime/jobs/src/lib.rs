//! The container lane: builds, tests and linters run as jobs, each in a container of its own.
//!
//! What it is not: it decides nothing (a job needs a [`gloaming_policies::JobPermit`], which only policy can
//! make), it reads no test reports, and it touches no repository; a workspace is a folder it is handed.
//!
//! Invariants:
//! - no job ever runs on the bare host: where no container can be made, the answer is [`NoEngine`];
//! - a job sees no network but its own loopback, where what its policy lets it reach is reached through a proxy of
//!   ours ([`Egress`]); nothing of our environment, and of the host only what [`Environment`] and the job's own mounts
//!   name, read-only unless said otherwise;
//! - how a job ended comes from the kernel, over a channel the job cannot reach, never from what it printed;
//! - every engine holds a job to the same, or says in [`Capabilities`] what it cannot; a daemon's word is not taken
//!   for it: process 1 of every container is ours and looks;
//! - nothing of a job outlives it, and nothing outlives us: a helper or parent killed without warning takes
//!   its containers along.
#![deny(unsafe_code)]

mod bounded;
mod cache;
mod cancel;
mod dependencies;
mod docker;
mod egress;
mod embedded;
mod engine;
mod engines;
mod environment;
mod facts;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod lock;
mod networked;
mod redact;
mod request;
mod root;
mod secrets;

pub use bounded::{Bound, Outgrown, bytes_in, run_bounded};
pub use cache::{Cache, Caches, Filling, Found};
pub use cancel::Cancel;
pub use dependencies::{CARGO_GIT_MOUNT, CARGO_REGISTRY_MOUNT, GO_MODULES_MOUNT, VENV_MOUNT};
pub use docker::{Docker, DockerOptions, Holder};
pub use egress::{
    Decide, Egress, EgressLimits, PROXY_PORT, Proxy, Resolver, egress_forward_main, network_env,
};
pub use embedded::{Embedded, reap};
pub use engine::{BoxFuture, Engine, Job, JobError, JobOutput, Mount, NoEngine};
pub use engines::{Candidate, Chosen, Cluster, EngineConfig, EngineKind, Engines, Sockets, Tried, Wanted};
pub use environment::{Environment, HostFacts, Image, ImageError};
pub use facts::{Capabilities, Facts, Feature, Support};
#[cfg(feature = "kubernetes")]
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use networked::Networked;
pub use redact::Redactor;
pub use secrecy::SecretString;
pub use secrets::{BadSecret, Vault};

/// Entry of this crate's processes: the helper of an embedded container, which reads one request from standard
/// input, runs its container to the end, answers on the same socket, and exits; and, with the further argument
/// `init`, the first process of a container that a daemon has made; and, with others, those of a cluster's pod.
///
/// The caller's `main` must not have started a thread.
pub fn helper_main() -> ! {
    if std::env::args_os().nth(2).is_some_and(|argument| argument == docker::INIT) {
        docker::init_main()
    }
    #[cfg(feature = "kubernetes")]
    if let Some(argument) = std::env::args_os().nth(2) {
        kubernetes::enter(&argument);
    }
    embedded::helper_main()
}

/// Lets a test binary be its own helper: run with `__job` as its first argument it becomes
/// [`helper_main`] before its `main` (and so before any thread), whatever test harness that has.
///
/// Then `Embedded::new(vec![std::env::current_exe()?.into(), "__job".into()], ...)` works in tests of any crate
/// without another program having to be built. The product's binary has a `main` of its own to do this in.
#[macro_export]
macro_rules! reenter_as_helper {
    () => {
        // SAFETY: the C runtime calls every function of this section once before `main`; this one returns
        // or exits and does not unwind, the function being `extern "C"`.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static REENTER_AS_HELPER: extern "C" fn() = {
            extern "C" fn enter() {
                if std::env::args_os().nth(1).is_some_and(|argument| argument == "__job") {
                    $crate::helper_main();
                }
            }
            enter
        };
    };
}
