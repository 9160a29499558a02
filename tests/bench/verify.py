"""Times whole verifications and `docker run` of the commands that each of them ran, in turns."""

import base64
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

gloaming, archive, python, work, rounds = sys.argv[1:]
work = pathlib.Path(work)
patch = pathlib.Path(__file__).with_name("verify.diff").resolve()


def timed(command, **more):
    start = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, **more)
    return time.monotonic() - start, ended


def must(command, **more):
    took, ended = timed(command, **more)
    if ended.returncode != 0:
        sys.exit(f"{command}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return took, ended.stdout


# The package as published, committed; and the same with the patch, for `docker run`.
must(["tar", "--no-same-owner", "-xzf", archive, "-C", str(work)])
repo = next(work.glob("boltons-*"))
git = ["git", "-C", str(repo), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
must([*git, "init", "--quiet"])
must([*git, "add", "--all"])
must([*git, "commit", "--quiet", "--message", "as published"])
patched = work / "patched"
shutil.copytree(repo, patched)
must(["git", "-C", str(patched), "apply", str(patch)])

# A root of links into the host's /usr, as jobs have it.
root = work / "root"
for name in ("bin", "sbin", "lib", "lib64"):
    root.mkdir(exist_ok=True)
    (root / name).symlink_to(f"usr/{name}")
for name in ("usr", "etc", "proc", "tmp", "report", "workspace"):
    (root / name).mkdir()
(root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
packed = subprocess.run(["tar", "-C", str(root), "-c", "."], capture_output=True, check=True).stdout
image = subprocess.run(["docker", "import", "-"], input=packed, capture_output=True, check=True)
image = image.stdout.decode().strip()


def docker(argv, number):
    report = work / f"report-{number}"
    report.mkdir()
    took, ended = timed(
        ["docker", "run", "--rm", "--network", "none", "--ulimit", "nofile=1024", "--ulimit", "nproc=4096"]
        + ["-v", "/usr:/usr:ro", "-v", f"{python}:{python}:ro", "-v", f"{patched}:/workspace"]
        + ["-v", f"{report}:/report", "-w", "/workspace", "-e", "PYTHONDONTWRITEBYTECODE=1"]
        + ["-e", f"PATH={python}/bin:/usr/bin:/bin", image, *argv]
    )
    # pytest ends with 1 where a test fails; everything above is a container or a command that did not run.
    if ended.returncode > 1:
        sys.exit(f"docker run {argv}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return took


rows = []
for number in range(int(rounds)):
    out = work / f"out-{number}"
    # A home of its own each time: nothing of an earlier round is known.
    env = {**os.environ, "GLOAMING_HOME": str(work / f"home-{number}"), "VIRTUAL_ENV": python}
    verify = [gloaming, "verify", "--repo", str(repo), "--patch", str(patch), "--out", str(out), "--engine", "embedded"]
    whole, _ = must(verify, env=env)
    again, _ = must([*verify[:-4], "--engine", "embedded"], env=env)
    envelope = json.loads((out / "evidence.json").read_text())
    evidence = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["evidence"]
    jobs = [job for job in evidence["jobs"] if job["purpose"] != "setup"]
    inside = sum(job["duration_ms"] for job in jobs) / 1e3
    # Coverage is measured by a script of ours around the command.
    commands = [job["argv"][2:] if "/gloaming/" in job["argv"][1] else job["argv"] for job in jobs]
    peers = sum(docker(argv, f"{number}-{index}") for index, argv in enumerate(commands))
    rows.append((whole, inside, peers, again))
    print(
        f"round {number + 1}: verify {whole:.1f} s, of it {len(jobs)} jobs {inside:.1f} s; "
        f"`docker run` of them {peers:.1f} s; verify again, the base known, {again:.1f} s",
        flush=True,
    )



def median(ratios):
    return statistics.median(list(ratios))


print(f"verify / its jobs' own time: {median(w / i for w, i, _, _ in rows):.2f}")
print(f"verify / `docker run` of the same commands: {median(w / p for w, _, p, _ in rows):.2f}")
print(f"verify again, the base known / verify: {median(a / w for w, _, _, a in rows):.2f}")
