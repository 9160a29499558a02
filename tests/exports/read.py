#!/usr/bin/env python3
"""Reads exports with the code of those whose formats they are, and says what came of it.

usage: read.py atif FILE   Harbor's own validator (harbor.utils.trajectory_validator)
       read.py preds FILE  SWE-bench's own reader (get_predictions_from_file of swebench.harness.utils)
"""

import ast
import importlib.util
import json
import pathlib
import sys


def atif(path):
    from harbor.models.trajectories import Trajectory
    from harbor.utils.trajectory_validator import TrajectoryValidator

    validator = TrajectoryValidator()
    if not validator.validate(path):
        return {"valid": False, "errors": validator.errors}
    trajectory = Trajectory.model_validate_json(pathlib.Path(path).read_text())
    subagents = trajectory.subagent_trajectories or []
    return {"valid": True, "version": trajectory.schema_version, "steps": len(trajectory.steps),
            "subagents": [subagent.trajectory_id for subagent in subagents]}


def preds(path):
    # The module imports the whole harness (datasets, docker); the one function that reads predictions needs json alone.
    package = pathlib.Path(importlib.util.find_spec("swebench").origin).parent
    tree = ast.parse((package / "harness" / "utils.py").read_text())
    function = next(node for node in tree.body
                    if isinstance(node, ast.FunctionDef) and node.name == "get_predictions_from_file")
    namespace = {"json": json}
    exec(compile(ast.Module([function], []), "swebench", "exec"), namespace)
    read = namespace["get_predictions_from_file"](path, "unused", "unused")
    return {"valid": True, "instances": [prediction["instance_id"] for prediction in read],
            "patched": [prediction["instance_id"] for prediction in read if prediction["model_patch"]]}


print(json.dumps({"atif": atif, "preds": preds}[sys.argv[1]](sys.argv[2])))
