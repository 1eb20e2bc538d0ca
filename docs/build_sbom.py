"""Write the bill of materials of a release, ``dist/sbom.cdx.json`` (CycloneDX 1.6), from ``requirements.lock``.

It lists each package of the lock file with its version, its hashes and what it is needed for: ``required`` when
trouper imports it, ``optional`` when one of the extras does, ``excluded`` when only the tests and tools do.  The same
lock file gives the same text.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
TARGET = ROOT / "dist" / "sbom.cdx.json"
TOOLS = ("dev", "bench")
"""Extras that no user of the package needs."""
_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;]+)(?: ; ([^\\]*[^\\ ]))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


Project = TypedDict(
    "Project",
    {
        "name": str,
        "version": str,
        "license": str,
        "dependencies": list[str],
        "optional-dependencies": dict[str, list[str]],
    },
)
"""The table ``project`` of pyproject.toml."""


@dataclass
class Package:
    """One version of a package.  marker: where it is installed, empty for everywhere.  needed_by: names of packages."""

    name: str
    version: str
    marker: str = ""
    hashes: list[str] = field(default_factory=list[str])
    needed_by: list[str] = field(default_factory=list[str])

    @property
    def purl(self) -> str:
        """The package's address, which is its reference in the bill."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Package]:
    """Return the packages of a lock file."""
    packages: list[Package] = []
    is_reason = False
    for line in text.splitlines():
        if found := _PIN.match(line):
            packages.append(Package(found[1], found[2], found[3] or ""))
            is_reason = False
        elif found := _HASH.search(line):
            packages[-1].hashes.append(found[1])
        elif line.strip().startswith("# via") or (is_reason and line.strip().startswith("#")):
            is_reason = True
            reason = line.strip().removeprefix("#").strip().removeprefix("via").strip()
            packages[-1].needed_by += [reason.partition(" ")[0]] if reason else []
    return packages


def normal(requirement: str) -> str:
    """Return the name of a requirement as a lock file writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def reached(packages: Iterable[Package], roots: Iterable[str]) -> set[str]:
    """Return the names that these roots need, directly or through others, with their own."""
    packages, names = list(packages), set(roots)
    while more := {each.name for each in packages if names & set(each.needed_by)} - names:
        names |= more
    return names


def bill(packages: list[Package], project: Project, lock: str) -> dict[str, object]:
    """Return the bill of materials as its JSON form."""
    dependencies, extras = project["dependencies"], project["optional-dependencies"]
    of_users = [each for name, given in extras.items() if name not in TOOLS for each in given]
    required = reached(packages, map(normal, dependencies))
    optional = reached(packages, map(normal, of_users))
    own = f"pkg:pypi/{project['name']}@{project['version']}"

    def component(package: Package) -> dict[str, object]:
        scope = "required" if package.name in required else "optional" if package.name in optional else "excluded"
        where = [{"name": "python:marker", "value": package.marker}] if package.marker else []
        return {
            "type": "library",
            "bom-ref": package.purl,
            "name": package.name,
            "version": package.version,
            "purl": package.purl,
            "scope": scope,
            "hashes": [{"alg": "SHA-256", "content": each} for each in package.hashes],
            "properties": where,
        }

    def needs(name: str) -> list[str]:
        return [each.purl for each in packages if name in each.needed_by]

    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "purl": own,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": [component(each) for each in packages],
        "dependencies": [
            {"ref": own, "dependsOn": [each.purl for each in packages if each.name in map(normal, dependencies)]},
            *({"ref": each.purl, "dependsOn": needs(each.name)} for each in packages),
        ],
    }


def main() -> None:
    """Write the bill; an argument names another file for it."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    lock = LOCK.read_text("utf-8")
    project = cast("Project", tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill(read_lock(lock), project, lock), indent=1) + "\n", "utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
