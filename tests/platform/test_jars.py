"""Jars come from a lock, are checked, repaired when damaged, and refused when they are not what the lock names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from streaming import jars
from streaming.jars import JarError, ensure_jars, jar_paths, jar_root, locked_jars, missing_jars
from streaming.java import JavaMissing


@pytest.fixture
def cache(tmp_path):
    """A copy of the real cache's jars that a test may damage; linked, so that it costs no disk."""
    ensure_jars()
    shutil.copytree(jar_root(), tmp_path / "jars", copy_function=os.symlink, ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def damage(path):
    """Replace the file: writing into it would change the real cache, of which it is a link."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(content)


def test_lock_names_every_jar_once_with_a_digest_and_no_server():
    lines = locked_jars()
    assert len({(jar.folder, jar.module) for jar in lines}) == len(lines)
    assert all(len(jar.sha256) == 64 for jar in lines)
    assert "://" not in jars.LOCK.read_text()
    assert {"kafka_2.13-4.3.1.jar", "delta-spark_4.2_2.13-4.4.0.jar", "slf4j-simple-1.7.36.jar"} <= {
        jar.file_name for jar in lines
    }


def test_broker_and_spark_have_different_kafka_clients(cache):
    names = [
        {path.name for path in jar_paths(folder, cache) if "kafka-clients" in path.name}
        for folder in ("broker", "spark")
    ]
    assert names == [{"kafka-clients-4.3.1.jar"}, {"kafka-clients-3.9.2.jar"}]


def test_nothing_is_downloaded_when_all_is_there(cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert ensure_jars(cache) == 0


def test_damaged_jar_is_noticed_and_replaced(cache):
    victim = cache / "jars" / "spark" / "delta-storage-4.4.0.jar"
    damage(victim)
    assert [jar.file_name for jar in missing_jars(cache / "jars", locked_jars())] == [victim.name]
    steps = []
    assert ensure_jars(cache, lambda done, total, what: steps.append((done, total))) == 1
    assert missing_jars(cache / "jars", locked_jars()) == ()
    assert steps[-1] == (2, 2)


def test_jar_that_is_not_the_locked_one_is_refused_and_not_kept(cache, monkeypatch, tmp_path):
    lock = tmp_path / "jars.lock"
    wrong = "0" * 64
    lock.write_text(f"spark io.delta:delta-storage:4.4.0 {wrong}\n")
    monkeypatch.setattr(jars, "locked_jars", lambda: locked_jars(lock))
    (cache / "jars" / "spark" / "delta-storage-4.4.0.jar").unlink()
    with pytest.raises(JarError, match=r"delta-storage-4\.4\.0\.jar has SHA-256 [0-9a-f]{64}, but jars\.lock names"):
        ensure_jars(cache)
    assert not (cache / "jars" / "spark" / "delta-storage-4.4.0.jar").exists()


def test_unknown_jar_says_which_and_what_to_do(cache, monkeypatch, tmp_path):
    lock = tmp_path / "jars.lock"
    lock.write_text(f"spark org.example.absent:no-such-jar:1.0 {'0' * 64}\n")
    monkeypatch.setattr(jars, "locked_jars", lambda: locked_jars(lock))
    # Without a network: a settings file whose only place is an empty folder.
    settings = tmp_path / "ivysettings.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="here"/><resolvers><filesystem name="here">'
        f'<artifact pattern="{tmp_path}/none/[artifact].[ext]"/></filesystem></resolvers></ivysettings>'
    )
    monkeypatch.setenv("NLQ_IVY_SETTINGS", str(settings))
    with pytest.raises(JarError, match=r"org\.example\.absent:no-such-jar:1\.0 could not be downloaded\. Check"):
        ensure_jars(cache)


def test_missing_jar_without_java_says_how_to_get_java(cache, monkeypatch):
    (cache / "jars" / "spark" / "delta-storage-4.4.0.jar").unlink()
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(JavaMissing, match="Java 17 or 21 is needed, but there is no 'java' in PATH"):
        ensure_jars(cache)


def test_lock_with_a_broken_line_names_the_line(tmp_path):
    lock = tmp_path / "jars.lock"
    lock.write_text("# fine\nspark io.delta:delta-storage 00\n")
    with pytest.raises(JarError, match=r"jars\.lock:2: expected"):
        locked_jars(lock)


def test_two_programs_may_start_at_once(cache):
    (cache / "jars" / "spark" / "delta-storage-4.4.0.jar").unlink()
    program = "import sys, pathlib; from streaming.jars import ensure_jars; ensure_jars(pathlib.Path(sys.argv[1]))"
    both = [subprocess.Popen([sys.executable, "-c", program, str(cache)]) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert missing_jars(cache / "jars", locked_jars()) == ()
