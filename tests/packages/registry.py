"""Makes the pages of a package registry beside packages that the ordinary clients have fetched, for a server of plain files.

Usage: registry.py cargo FOLDER ADDRESS   FOLDER/crates/*.crate: the sparse index of cargo (its book, "Index Format")
       registry.py npm FOLDER             FOLDER/packed/*.tgz: a document for each package, as npm asks for it
       registry.py pip FOLDER             FOLDER/files/*: the pages of the simple repository (PEP 503)
"""

import base64
import hashlib
import json
import re
import sys
import tarfile
import tomllib
from pathlib import Path

# The npm archives' addresses as lockfiles say them; who asks a mirror gets them there.
NPM = "https://one.acme.example"


def requirement(name, said, kind, target):
    """One dependency of a manifest that cargo has normalized, as the index says it."""
    said = {"version": said} if isinstance(said, str) else said
    return {
        "name": name,
        "req": said.get("version", "*"),
        "features": said.get("features", []),
        "optional": said.get("optional", False),
        "default_features": said.get("default-features", True),
        "target": target,
        "kind": kind,
        **({"package": said["package"]} if "package" in said else {}),
    }


def cargo(folder, address):
    lines = {}
    for path in sorted((folder / "crates").glob("*.crate")):
        with tarfile.open(path) as archive:
            manifest = tomllib.load(archive.extractfile(f"{path.stem}/Cargo.toml"))
        package = manifest["package"]
        kinds = [("dependencies", "normal"), ("dev-dependencies", "dev"), ("build-dependencies", "build")]
        places = [(None, manifest), *manifest.get("target", {}).items()]
        deps = [
            requirement(name, said, kind, target)
            for target, place in places
            for table, kind in kinds
            for name, said in place.get(table, {}).items()
        ]
        lines.setdefault(package["name"], []).append({
            "name": package["name"],
            "vers": package["version"],
            "deps": deps,
            "cksum": hashlib.sha256(path.read_bytes()).hexdigest(),
            "features": {},
            # Such as name a dependency by `dep:` need the newer field; any may stand in it.
            "features2": manifest.get("features", {}),
            "v": 2,
            "links": package.get("links"),
            "yanked": False,
        })
    for name, versions in lines.items():
        low = name.lower()
        at = {1: "1", 2: "2", 3: f"3/{low[0]}"}.get(len(low), f"{low[:2]}/{low[2:4]}")
        (folder / at).mkdir(parents=True, exist_ok=True)
        (folder / at / low).write_text("".join(json.dumps(line) + "\n" for line in versions))
    told = {"dl": f"{address}/crates/{{crate}}-{{version}}.crate", "api": address}
    (folder / "config.json").write_text(json.dumps(told))


def npm(folder):
    documents = {}
    for path in sorted((folder / "packed").glob("*.tgz")):
        content = path.read_bytes()
        with tarfile.open(path) as archive:
            # The archive's own folder has any name.
            member = next(m for m in archive if re.fullmatch(r"[^/]+/package\.json", m.name))
            manifest = json.load(archive.extractfile(member))
        name, version = manifest["name"], manifest["version"]
        at = f"{name}/-/{name.rsplit('/')[-1]}-{version}.tgz"
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_bytes(content)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        manifest["dist"] = {"tarball": f"{NPM}/{at}", "integrity": integrity}
        documents.setdefault(name, {})[version] = manifest
    for name, versions in documents.items():
        newest = max(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
        document = {"name": name, "dist-tags": {"latest": newest}, "versions": versions}
        (folder / name / "index.html").write_text(json.dumps(document))


def pip(folder):
    pages = {}
    for path in sorted((folder / "files").iterdir()):
        name = re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        link = f'<a href="../../files/{path.name}#sha256={digest}">{path.name}</a><br>\n'
        pages[name] = pages.get(name, "") + link
    for name, links in pages.items():
        (folder / "simple" / name).mkdir(parents=True, exist_ok=True)
        (folder / "simple" / name / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>\n")


kind, folder, *more = sys.argv[1:]
{"cargo": cargo, "npm": npm, "pip": pip}[kind](Path(folder), *more)
