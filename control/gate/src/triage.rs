//! Whether a task is worth beginning: the score of [`crate::weights`] over what was read in it.

use std::sync::LazyLock;

use gloaming_api::triage::{Feasibility, TaskFeatures};

use crate::weights::Weights;

/// What is needed: a run costs little beside a bad pull request, and that is the gate's to prevent.
pub const THRESHOLD: f64 = 0.4;

static BUILT_IN: LazyLock<Weights> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../triage.json")).expect("a test parses the built-in weights")
});

/// Returns the weights this build was made with.
pub fn built_in() -> &'static Weights {
    &BUILT_IN
}

/// Judges a task by what was read in it.
pub fn feasibility(weights: &Weights, features: &TaskFeatures) -> Feasibility {
    let (score, moved) = weights.score(features);
    Feasibility { score, threshold: THRESHOLD, calibrated: weights.calibrated(), moved }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_serious_objection_is_enough_and_no_small_one_is() {
        let judged = |names: &[&str]| {
            let features = names.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
            feasibility(built_in(), &features)
        };
        assert!(judged(&[]).is_enough() && !judged(&[]).calibrated);
        let small_facts = ["large_files", "undone_area", "unknown_places", "unready", "untested_area"];
        assert!(
            judged(&small_facts).is_enough(),
            "all of a repository's own together: {:?}",
            judged(&small_facts)
        );
        for small in ["short_text", "long_text", "many_files", "not_checkable"].into_iter().chain(small_facts)
        {
            assert!(judged(&[small]).is_enough(), "{small}");
        }
        for serious in [
            "denied_files",
            "needs_credentials",
            "needs_network",
            "not_a_change",
            "open_question",
            "several_tasks",
            "suspicious",
            "visual",
        ] {
            let judged = judged(&[serious, "short_text"]);
            assert!(!judged.is_enough(), "{serious}: {judged:?}");
            assert_eq!(judged.moved[0].feature, serious);
        }
    }
}
