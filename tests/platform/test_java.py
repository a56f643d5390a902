"""The Java check names what it found, where, and how to get a right one."""

from __future__ import annotations

import stat

import pytest

from streaming.java import JavaMissing, find_java


def fake_java(folder, version_line):
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\necho '{version_line}' >&2\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "21.0.2" 2024-01-16 LTS', 21),
    ],
)
def test_supported_releases(tmp_path, monkeypatch, line, release):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, line)))
    java = find_java()
    assert java.release == release
    assert java.home == tmp_path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('java version "1.8.0_401"', "Java 8"),
        ('openjdk version "11.0.2" 2019-01-15', "Java 11"),
        ('openjdk version "25" 2025-09-16', "Java 25"),
        (
            "The operation couldn't be completed. Unable to locate a Java Runtime.".replace("'", ""),
            "not a working Java",
        ),
    ],
)
def test_other_releases_are_named(tmp_path, monkeypatch, line, found):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, line)))
    with pytest.raises(JavaMissing, match=f"Java 17 or 21 is needed, but .*/bin/java is {found}. Install one"):
        find_java()


def test_java_home_without_java(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaMissing, match=rf"JAVA_HOME={tmp_path} holds no bin/java\. .*apt-get install"):
        find_java()


def test_no_java_at_all(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(JavaMissing, match="there is no 'java' in PATH and JAVA_HOME is not set"):
        find_java()
