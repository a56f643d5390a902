"""The Java runtime that Kafka and Spark run on: found, and checked for its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = (17, 21)
"""Releases that Spark 4.2 and Kafka 4.3 are both tested with."""

HOW_TO_INSTALL = (
    "Install one (Debian and Ubuntu: apt-get install openjdk-17-jre-headless; Fedora: dnf install "
    "java-21-openjdk-headless; macOS: brew install openjdk@21) or point JAVA_HOME at it."
)


class JavaMissing(RuntimeError):
    """No usable Java; the message says what was found where, and how to get one."""


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java runtime that may be used."""

    command: Path
    release: int
    """Feature release, such as 17."""

    @property
    def home(self) -> Path:
        """What JAVA_HOME has to be for programs that want it."""
        return self.command.resolve().parent.parent


def find_java() -> Java:
    """Find Java as Spark would: `JAVA_HOME` first, then `PATH`.

    Raises:
        JavaMissing: there is none, it does not start, or its release is not supported.
    """
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    wanted = " or ".join(str(release) for release in SUPPORTED)
    if command is None:
        place = f"JAVA_HOME={home} holds no bin/java" if home else "there is no 'java' in PATH and JAVA_HOME is not set"
        raise JavaMissing(f"Java {wanted} is needed, but {place}. {HOW_TO_INSTALL}")
    release = _release(command)
    if release not in SUPPORTED:
        found = f"Java {release}" if release else "not a working Java"
        raise JavaMissing(f"Java {wanted} is needed, but {command} is {found}. {HOW_TO_INSTALL}")
    return Java(command=Path(command), release=release)


def _release(command: str) -> int | None:
    try:
        # The version goes to the error stream, as `openjdk version "17.0.15" …` or `java version "1.8.0_401"`.
        done = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found.group(1)) if found else None
