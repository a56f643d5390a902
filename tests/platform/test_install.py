"""The look at the machine before anything is installed: plain messages, each with its fix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.install import GIB, find_faults

ROOT = Path(__file__).parents[2]


def faults(tmp_path, *, free=100 * GIB, memory=16 * GIB):
    return find_faults(
        tmp_path / "clone" / ".venv", tmp_path / "cache", free_bytes=lambda _: free, memory_bytes=lambda: memory
    )


def test_a_good_machine_has_none(tmp_path):
    assert faults(tmp_path) == []


def test_full_disk_names_folder_need_and_fix(tmp_path):
    messages = [fault.message for fault in faults(tmp_path, free=GIB)]
    assert len(messages) == 2
    assert "has 1.0 GiB free, but the libraries need 8.0" in messages[0]
    assert "clone the project to a larger disk" in messages[0]
    assert "NLQ_CACHE" in messages[1]


def test_libraries_and_downloads_on_one_disk_are_added_up(tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "cache").mkdir()
    assert [fault.fatal for fault in faults(tmp_path, free=9 * GIB)] == [True, True]
    assert faults(tmp_path, free=10 * GIB) == []


def test_disk_is_no_matter_once_all_is_installed(tmp_path):
    (tmp_path / "clone" / ".venv").mkdir(parents=True)
    (tmp_path / "clone" / ".venv" / ".installed").touch()
    (tmp_path / "cache" / "models" / "language").mkdir(parents=True)
    assert faults(tmp_path, free=GIB // 10) == []


def test_little_memory_warns_but_goes_on(tmp_path):
    (fault,) = faults(tmp_path, memory=4 * GIB)
    assert not fault.fatal
    assert "4.0 GiB of memory" in fault.message
    assert "NLQ_LLM=none" in fault.message


def test_no_java_stops_the_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (fault,) = faults(tmp_path)
    assert fault.fatal
    assert "apt-get install openjdk-17" in fault.message


def test_check_needs_the_standard_library_only(tmp_path):
    """It runs before the environment exists, so nothing that is installed may be imported."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "app.install", "check"],
        cwd=ROOT,
        env={"PATH": "/nonexistent", "NLQ_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot install: Java 17 or 21 is needed")


def test_make_without_python_says_so(tmp_path):
    (tmp_path / "requirements").mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements/lock.txt", "requirements/bootstrap.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["make", "PYTHON=", "install"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Python 3.11 or later is needed" in done.stderr


@pytest.mark.parametrize("name", ["requirements/lock.txt", "requirements/bootstrap.txt"])
def test_locked_requirements_have_hashes_and_no_server(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    requirements = [line for line in text.splitlines() if line and line[0].isalnum()]
    assert requirements
    assert all(line.endswith("\\") and "==" in line for line in requirements)
    assert text.count("--hash=sha256:") >= len(requirements)
