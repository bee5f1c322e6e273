"""Write the bill of materials of a wheel: `python tools/sbom.py WHEEL OUT.json`, CycloneDX 1.6.

The wheel is installed with its dependencies into an environment of its own, which `cyclonedx-py` lists; what the wheel itself holds
of others, the npm packages of the static page, is added with the hashes of the lock, and the wheel with its own.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "src" / "camtrace" / "web" / "package-lock.json"
STAMP = "camtrace/web/page/vendor/vendored.json"
_OF_EVERY_ENVIRONMENT = ("pip", "setuptools")  # Python puts them there, camtrace does not


def vendored(wheel: Path) -> list[dict[str, Any]]:
    """The npm packages that a wheel holds, as components."""
    with zipfile.ZipFile(wheel) as archive:
        names = json.loads(archive.read(STAMP)) if STAMP in archive.namelist() else {}
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    return [_npm(name, packages[f"node_modules/{name}"]) for name in sorted(names)]


def _npm(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    purl = f"pkg:npm/{name.replace('@', '%40')}@{entry['version']}"
    digest = base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex()
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": entry["version"],
        "purl": purl,
        "licenses": [{"license": {"id": entry["license"]}}],
        "hashes": [{"alg": "SHA-512", "content": digest}],
        "externalReferences": [{"type": "distribution", "url": entry["resolved"]}],
    }


def complete(bill: dict[str, Any], wheel: Path) -> dict[str, Any]:
    """A bill as `cyclonedx-py` wrote it, with what the wheel holds, and with camtrace as what it is about."""
    components = list(bill.get("components", ()))
    mine = [one for one in components if one["name"] == "camtrace"]
    if len(mine) != 1:
        raise SystemExit(f"{wheel}: expected one component camtrace in the environment, found {len(mine)}")
    about = mine[0] | {"type": "application", "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]}
    about.pop("externalReferences", None)  # the path of the wheel on the machine that built it
    held = vendored(wheel)
    others = [one for one in components if one["name"] not in ("camtrace", *_OF_EVERY_ENVIRONMENT)]
    depends = [_with(one, about["bom-ref"], [part["bom-ref"] for part in held]) for one in bill.get("dependencies", ())]
    return bill | {
        "metadata": bill.get("metadata", {}) | {"component": about},
        "components": [*others, *held],
        "dependencies": [one for one in depends if str(one["ref"]).partition("==")[0] not in _OF_EVERY_ENVIRONMENT]
        + [{"ref": part["bom-ref"]} for part in held],
    }


def _with(dependency: dict[str, Any], ref: str, more: list[str]) -> dict[str, Any]:
    if dependency["ref"] != ref:
        return dependency
    return dependency | {"dependsOn": sorted({*dependency.get("dependsOn", ()), *more})}


def environment_bill(wheel: Path, folder: Path) -> dict[str, Any]:
    """What an environment holds that the wheel was installed into, by `cyclonedx-py`."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", str(wheel)], check=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python), "--spec-version", "1.6", "--output-reproducible"]
    run = subprocess.run([*command, "--output-format", "JSON"], check=True, capture_output=True, text=True)
    bill: dict[str, Any] = json.loads(run.stdout)
    return bill


def main(words: list[str] | None = None) -> int:
    """Write the file."""
    options = argparse.ArgumentParser(prog="python tools/sbom.py", description="Write the bill of materials of a wheel.")
    options.add_argument("wheel", type=Path)
    options.add_argument("out", type=Path)
    given = options.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        bill = complete(environment_bill(given.wheel, Path(folder) / "environment"), given.wheel)
    given.out.write_text(json.dumps(bill, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{given.out}: {len(bill['components'])} components\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
