//! What is known of a repository beside its commands: pins, services, set-ups, owners and what is generated.

mod pins;
mod protected;
mod services;
mod setups;

use crate::mine::Mined;
use crate::tree::Tree;
use crate::workflow;
use gloaming_api::profile::{ProtectedPath, Service, Setup};

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) services: Vec<Service>,
    pub(crate) setups: Vec<Setup>,
    pub(crate) protected: Vec<ProtectedPath>,
}

/// Mines the facts; commands of set-ups and versions of toolchains go to the others of their kind.
pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> Facts {
    pins::mine(tree, mined);
    let workflows = workflow::parsed(tree);
    Facts {
        services: services::mine(tree, &workflows),
        setups: setups::mine(tree, &workflows, mined),
        protected: protected::mine(tree, mined),
    }
}
