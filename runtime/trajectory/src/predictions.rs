//! Patches as SWE-bench's harness reads them: an object of `instance_id`, `model_name_or_path` and `model_patch`, by
//! instance.

use serde_json::{Map, Value, json};

use crate::attempt::Attempt;

/// Returns one prediction. An attempt that bowed out predicts nothing, an empty patch.
pub fn prediction(instance: &str, attempt: &Attempt, patch: &str) -> Value {
    let model = attempt.started.model.as_deref().unwrap_or("playbook");
    json!({
        "instance_id": instance,
        "model_name_or_path": format!("{}+{model}", attempt.started.program.replace(' ', "-")),
        "model_patch": patch,
    })
}

/// Returns predictions by instance.
///
/// # Errors
/// The instance that there are two of.
pub fn predictions(all: Vec<(String, Value)>) -> Result<Value, String> {
    let mut object = Map::new();
    for (instance, prediction) in all {
        if object.insert(instance.clone(), prediction).is_some() {
            return Err(instance);
        }
    }
    Ok(Value::Object(object))
}
