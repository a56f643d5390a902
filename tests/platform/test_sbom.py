"""The bill of materials names everything that is locked, with its digests, in a form that others can read."""

from __future__ import annotations

import json
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from app import sbom
from streaming.jars import locked_jars


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    target = tmp_path_factory.mktemp("sbom") / "out" / "sbom.cdx.json"
    assert sbom.main([str(target)]) == 0
    return target.read_text()


def test_it_is_valid_cyclonedx(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_every_locked_package_jar_and_model_is_in_it_with_its_digests(text):
    components = {component["purl"]: component for component in json.loads(text)["components"] if "purl" in component}
    lock = sbom.WHEELS.read_text()
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\\n]+)", lock, re.MULTILINE):
        assert f"pkg:pypi/{name.lower()}@{version}" in components
    for jar in locked_jars():
        component = components[f"pkg:maven/{jar.organisation}/{jar.module}@{jar.revision}"]
        assert [digest["content"] for digest in component["hashes"]] == [jar.sha256]
        assert {"name": "loaded by", "value": jar.folder} in component["properties"]
    digests = {digest["content"] for component in components.values() for digest in component["hashes"]}
    assert set(re.findall(r"sha256:([0-9a-f]{64})", lock)) <= digests
    models = [c for c in json.loads(text)["components"] if c["type"] == "machine-learning-model"]
    assert len(models) == 2
    assert all(file["hashes"] for model in models for file in model["components"])


@pytest.mark.parametrize("line", ["pandas>=2.2 --hash=sha256:" + "0" * 64, "pandas==2.2", "-e .", "https://x/y.whl"])
def test_a_line_that_locks_nothing_is_an_error(tmp_path, line):
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# comment\n{line}\n")
    with pytest.raises(sbom.LockError, match="make lock"):
        list(sbom.packages(lock))
