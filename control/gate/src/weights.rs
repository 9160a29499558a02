//! The weights of the soft signals, from `weights.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// How much one signal lowers the confidence.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The share of the confidence that one occurrence takes, 0 to 1.
    pub weight: f64,
    /// How many occurrences count; the rest adds nothing.
    pub cap: u32,
}

/// The gate's weights and threshold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Whether they were fitted on outcomes; hand-set ones are not.
    pub calibrated: bool,
    /// The confidence that is needed, 0 to 1.
    pub threshold: f64,
    /// The weight of a signal that has none of its own.
    pub other: Weight,
    /// Weights by the signal's name.
    pub signals: BTreeMap<String, Weight>,
}

static BUILT_IN: LazyLock<Weights> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../weights.json")).expect("a test parses the built-in weights")
});

/// Returns the weights this build was made with.
pub fn built_in() -> &'static Weights {
    &BUILT_IN
}

/// Returns the confidence that is left after `counts` occurrences by name, and what moved it.
///
/// Each occurrence multiplies the confidence by one minus its weight, so that more signals never raise it.
pub fn confidence(weights: &Weights, counts: &BTreeMap<&str, u32>) -> (f64, Vec<String>) {
    let mut confidence = 1.0;
    let mut reasons = Vec::new();
    for (name, count) in counts {
        let weight = weights.signals.get(*name).unwrap_or(&weights.other);
        let counted = i32::try_from((*count).min(weight.cap)).unwrap_or(i32::MAX);
        let factor = (1.0 - weight.weight.clamp(0.0, 1.0)).powi(counted);
        confidence *= factor;
        if factor < 1.0 {
            reasons.push(format!("{count} × {name}: confidence × {factor:.2}"));
        }
    }
    (confidence, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_weights_are_sane() {
        let weights = built_in();
        assert!((0.0..=1.0).contains(&weights.threshold));
        for (name, weight) in &weights.signals {
            assert!((0.0..1.0).contains(&weight.weight), "{name}");
            assert!(weight.cap > 0, "{name}");
        }
        assert!(!weights.calibrated, "hand-set weights must say so");
    }

    #[test]
    fn occurrences_multiply_up_to_their_cap() {
        let weights = built_in();
        let (one, _) = confidence(weights, &BTreeMap::from([("debug_print", 1)]));
        let (four, _) = confidence(weights, &BTreeMap::from([("debug_print", 4)]));
        let (many, reasons) = confidence(weights, &BTreeMap::from([("debug_print", 4000)]));
        assert_eq!(one, 0.85);
        assert_eq!(four, many);
        assert_eq!(reasons, ["4000 × debug_print: confidence × 0.52"]);
        assert_eq!(confidence(weights, &BTreeMap::new()), (1.0, Vec::new()));
    }
}
