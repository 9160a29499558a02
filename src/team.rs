//! Who works beside the coder, as options and journals name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloaming_api::journal::AgentRole;
use gloaming_gate::weights::Weights;
use gloaming_model::Model;
use gloaming_worker::Team;

use crate::cli::TeamChoice;

/// Returns the roles beside the coder, and the models of those that have one of their own: as a journal has it.
pub(crate) fn told(choice: TeamChoice, review_model: Option<&str>) -> BTreeMap<AgentRole, Option<String>> {
    match choice {
        TeamChoice::Coder => BTreeMap::new(),
        TeamChoice::Full => AgentRole::ALL
            .iter()
            .filter(|role| **role != AgentRole::Coder)
            .map(|role| (*role, review_model.filter(|_| *role == AgentRole::Reviewer).map(str::to_owned)))
            .collect(),
    }
}

/// Returns the team of a journal, whose triage judges by weights.
pub(crate) fn of(
    told: &BTreeMap<AgentRole, Option<String>>,
    review_model: Option<Arc<dyn Model>>,
    triage: Weights,
) -> Team {
    let has = |role| told.contains_key(&role);
    Team {
        feasible: has(AgentRole::Triage).then(|| -> gloaming_api::triage::Feasible {
            Arc::new(move |features| gloaming_gate::triage::feasibility(&triage, features))
        }),
        reproducer: has(AgentRole::Reproducer),
        planner: has(AgentRole::Planner),
        reviewer: has(AgentRole::Reviewer),
        review_model,
    }
}
