"""The software bill of materials (CycloneDX 1.6, JSON) made from the lock files: `make sbom`, `python -m app.sbom FILE`."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from retrieval.models import ModelName, model_files
from streaming.jars import locked_jars

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
WHEELS = ROOT / "requirements" / "lock.txt"
_PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class LockError(ValueError):
    """A lock file breaks its format."""


def bill() -> Bom:
    """Everything that is locked: packages, jars and model files, each with its digests.

    Raises:
        LockError: a line of the packages' lock cannot be read.
        streaming.jars.JarError: the same of the jars.
        retrieval.models.ModelFileError: the same of the models.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bom = Bom(components=[*packages(), *jars(), *models()])
    bom.metadata.component = Component(
        name=project["name"],
        version=project["version"],
        description=project["description"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def packages(lock: Path = WHEELS) -> Iterator[Component]:
    """The Python packages. Each has the digests of all its builds, one of which is installed."""
    for entry in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        found, digests = _PACKAGE.match(entry), _HASH.findall(entry)
        if found is None or not digests:
            raise LockError(f"{lock}: expected 'name==version --hash=sha256:…', found {entry[:80]!r}; run `make lock`")
        marker = (found["marker"] or "").partition("--hash")[0].strip()
        yield Component(
            name=found["name"],
            version=found["version"],
            purl=PackageURL("pypi", name=found["name"], version=found["version"]),
            bom_ref=f"pypi:{found['name']}",
            scope=ComponentScope.OPTIONAL if marker else ComponentScope.REQUIRED,
            hashes=[_sha256(digest) for digest in digests],
            properties=[Property(name="only where", value=marker)] if marker else [],
        )


def jars() -> Iterator[Component]:
    """The jars of broker and Spark; one that both load is listed once. Spark's own come inside the package `pyspark`."""
    loaded_by = defaultdict(set)
    for jar in locked_jars():
        loaded_by[jar.organisation, jar.module, jar.revision, jar.sha256].add(jar.folder)
    for (organisation, module, revision, digest), folders in sorted(loaded_by.items()):
        yield Component(
            group=organisation,
            name=module,
            version=revision,
            purl=PackageURL("maven", namespace=organisation, name=module, version=revision),
            bom_ref=f"maven:{organisation}:{module}:{revision}",
            hashes=[_sha256(digest)],
            properties=[Property(name="loaded by", value=folder) for folder in sorted(folders)],
        )


def models() -> Iterator[Component]:
    """The two models, with the digest of each file."""
    for model in get_args(ModelName):
        files = model_files(model)
        requirements = sorted({piece.requirement for file in files for piece in file.pieces})
        yield Component(
            name=requirements[0].partition("==")[0] if len(requirements) == 1 else model,
            version=requirements[0].partition("==")[2],
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"model:{model}",
            components=[
                Component(name=file.name, type=ComponentType.FILE, bom_ref=f"model:{model}/{file.name}", hashes=[_sha256(file.sha256)])
                for file in files
            ],
            properties=[Property(name="taken from", value=requirement) for requirement in requirements],
        )  # fmt: skip


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def main(arguments: list[str] | None = None) -> int:
    """Write the bill."""
    parser = argparse.ArgumentParser(prog="python -m app.sbom", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=ROOT / "build" / "sbom.cdx.json")
    target: Path = parser.parse_args(arguments).file
    bom = bill()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    print(f"{len(bom.components)} components written to {target}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
