"""Start time and idle memory of `gloaming control`, beside Python's http.server in the same run.

    control.py ROUNDS NAME=BINARY...

Each round starts every candidate once, in turns, with a store that is there already, and asks until the first answer.
Memory is read once it has answered a hundred times: PSS, what the process has for itself with its share of what others map
too, and the most that was resident. Prints; asserts nothing about time.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port, path):
    try:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        link.request("GET", path)
        answer = link.getresponse()
        answer.read()
        link.close()
        return answer.status == 200
    except OSError:
        return False


def kib(pid, file, name):
    for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise SystemExit(f"no {name} in /proc/{pid}/{file}")


def round_of(argv, port, path, env):
    begun = time.perf_counter()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not answers(port, path):
        if process.poll() is not None or time.perf_counter() - begun > 30:
            raise SystemExit(f"it does not serve: {argv}")
    took = time.perf_counter() - begun
    for _ in range(100):
        assert answers(port, path)
    memory = kib(process.pid, "smaps_rollup", "Pss") / 1024, kib(process.pid, "status", "VmHWM") / 1024
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    return took * 1000, *memory


def main():
    rounds, named = int(sys.argv[1]), [one.split("=", 1) for one in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder, "home")
        env = {**os.environ, "GLOAMING_HOME": str(home)}
        port = free_port()
        listen = f"127.0.0.1:{port}"
        candidates = {name: ([binary, "control", "--listen", listen], "/livez") for name, binary in named}
        peer = [sys.executable, "-I", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(port)]
        candidates["python3 -m http.server"] = (peer, "/")
        first = next(iter(candidates))
        argv, path = candidates[first]
        told = {"with a new store": [round_of(argv, port, path, env)]}
        found = {name: [] for name in candidates}
        for _ in range(rounds):
            for name, (argv, path) in candidates.items():
                found[name].append(round_of(argv, port, path, env))
        medians = {name: [statistics.median(values) for values in zip(*all_)] for name, all_ in found.items()}
        print("| | start to first answer, ms | of the first's | idle, MB (PSS) | most resident, MB | binary, MB |")
        print("| --- | --: | --: | --: | --: | --: |")
        sizes = {name: f"{os.path.getsize(os.path.realpath(binary)) / 2**20:.1f}" for name, binary in named}
        for name, (took, pss, most) in medians.items():
            ratio = took / medians[first][0]
            print(f"| {name} | {took:.0f} | {ratio:.2f} | {pss:.1f} | {most:.1f} | {sizes.get(name, '')} |")
        print(f"\n{json.dumps({'rounds': rounds, 'first start, its store made, ms': round(told['with a new store'][0][0])})}")


main()
