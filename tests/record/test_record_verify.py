"""Whoever changes the record is found out."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nlq.record import Record, RecordSettings
from nlq.record.canonical import canonical
from nlq.record.chain import GENESIS, Frontier, leaf, link
from nlq.record.seal import Checkpoint, Sealer, write_new
from nlq.record.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

Lines = list[bytes]
Tampering = Callable[[Lines, random.Random], Lines]


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty questions with checkpoints every seven entries."""
    directory = tmp_path_factory.mktemp("genuine") / "record"
    record = Record.open(directory, RecordSettings(seal_every=7))
    for number in range(20):
        query_id = record.begin({"user_id": f"user-{number % 3}", "role": "officer", "question": f"question {number}"})
        record.complete(query_id, {"status": "ANSWERED", "n_rows": number, "result_hash": f"{number:064x}"})
    record.close()
    assert verify(directory).intact
    return directory


def rechained(lines: Lines) -> Lines:
    """What a clever forger does: number and hash everything anew."""
    head, out = GENESIS, []
    for number, line in enumerate(lines):
        entry = json.loads(line.rpartition(b"\t")[0])
        body = canonical({**entry, "seq": number})
        head = link(head, body)
        out.append(body + b"\t" + head.hex().encode() + b"\n")
    return out


def edited(line: bytes, rng: random.Random) -> bytes:
    body, _, written = line.rpartition(b"\t")
    entry = json.loads(body)
    choice = rng.randrange(4)
    if choice == 0:
        entry["at"] = "2020-01-01T00:00:00+00:00"
    elif choice == 1:
        entry["open"]["n_rows"] = 10**6 + rng.randrange(1000)
    elif choice == 2:
        entry["open"]["role"] = "auditor"
    else:
        entry["locked"] = (entry["locked"] or "00" * 40)[:-2] + f"{rng.randrange(256):02x}" + "ff"
    return canonical(entry) + b"\t" + written


def flip_a_bit(lines: Lines, rng: random.Random) -> Lines:
    at = rng.randrange(len(lines))
    place = rng.randrange(len(lines[at]))
    line = bytearray(lines[at])
    line[place] ^= 1 << rng.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def change_a_field(lines: Lines, rng: random.Random) -> Lines:
    at = rng.randrange(len(lines))
    return [*lines[:at], edited(lines[at], rng), *lines[at + 1 :]]


def change_and_rechain(lines: Lines, rng: random.Random) -> Lines:
    return rechained(change_a_field(lines, rng))


def remove(lines: Lines, rng: random.Random) -> Lines:
    at = rng.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def remove_and_rechain(lines: Lines, rng: random.Random) -> Lines:
    return rechained(remove(lines, rng))


def cut_tail(lines: Lines, rng: random.Random) -> Lines:
    return lines[: -rng.randrange(1, len(lines))]


def cut_last_bytes(lines: Lines, rng: random.Random) -> Lines:
    whole = b"".join(lines)
    return [whole[: -rng.randrange(1, 400)]]


def swap(lines: Lines, rng: random.Random) -> Lines:
    a, b = rng.sample(range(len(lines)), 2)
    lines = list(lines)
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def swap_and_rechain(lines: Lines, rng: random.Random) -> Lines:
    return rechained(swap(lines, rng))


def repeat(lines: Lines, rng: random.Random) -> Lines:
    at = rng.randrange(len(lines))
    return [*lines[: at + 1], *lines[at:]]


def append_forged(lines: Lines, rng: random.Random) -> Lines:
    return rechained([*lines, edited(lines[rng.randrange(len(lines))], rng)])


def exchange_personal_parts(lines: Lines, rng: random.Random) -> Lines:
    a, b = rng.sample(range(len(lines)), 2)
    first, second = (json.loads(lines[i].rpartition(b"\t")[0]) for i in (a, b))
    first["locked"], second["locked"] = second["locked"], first["locked"]
    lines = list(lines)
    lines[a], lines[b] = canonical(first) + b"\t" + b"0" * 64 + b"\n", canonical(second) + b"\t" + b"0" * 64 + b"\n"
    return rechained(lines)


TAMPERINGS: tuple[Tampering, ...] = (
    flip_a_bit,
    change_a_field,
    change_and_rechain,
    remove,
    remove_and_rechain,
    cut_tail,
    cut_last_bytes,
    swap,
    swap_and_rechain,
    repeat,
    append_forged,
    exchange_personal_parts,
)


def test_500_seeded_tamperings_are_all_found(genuine: Path, tmp_path: Path) -> None:
    lines = (genuine / "record.jsonl").read_bytes().splitlines(keepends=True)
    seals = genuine.with_name("record-seal")
    target = tmp_path / "record.jsonl"
    tried, missed = 0, []
    for seed in range(2000):
        rng = random.Random(seed)
        tampering = TAMPERINGS[seed % len(TAMPERINGS)]
        changed = b"".join(tampering(lines, rng))
        if changed == b"".join(lines):
            continue  # this seed changed nothing
        target.write_bytes(changed)
        if verify(tmp_path, seals).intact:
            missed.append((seed, tampering.__name__))
        tried += 1
        if tried == 500:
            break
    assert tried == 500
    assert missed == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda seals: (seals / "head.json").unlink(),
        lambda seals: (seals / "seal.pub").unlink(),
        lambda seals: (seals / "head.json").write_bytes(b"{}"),
        lambda seals: (seals / "checkpoints.jsonl").write_bytes(
            (seals / "checkpoints.jsonl").read_bytes().replace(b'"size":7', b'"size":8')
        ),
        lambda seals: (seals / "checkpoints.jsonl").write_bytes(
            b"".join(reversed((seals / "checkpoints.jsonl").read_bytes().splitlines(keepends=True)))
        ),
    ],
)
def test_damaged_seals_are_found(genuine: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    shutil.copytree(genuine, tmp_path / "record")
    seals = shutil.copytree(genuine.with_name("record-seal"), tmp_path / "record-seal")
    assert verify(tmp_path / "record").intact
    damage(tmp_path / "record-seal")
    assert not verify(tmp_path / "record", seals).intact


def test_a_complete_rewrite_under_another_key_is_found_by_its_fingerprint(genuine: Path, tmp_path: Path) -> None:
    written_down = verify(genuine).key
    forged = Record.open(tmp_path / "record")
    forged.begin({"user_id": "nobody", "question": "nothing to see"})
    forged.close()
    assert verify(tmp_path / "record").intact
    report = verify(tmp_path / "record", expected_key=written_down)
    assert [finding.what for finding in report.findings] == ["is not the expected sealing key"]


def test_an_old_head_put_back_with_a_cut_tail_is_found_by_the_kept_checkpoints(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record", RecordSettings(seal_every=4))
    files = tmp_path / "record" / "record.jsonl", tmp_path / "record-seal" / "head.json"
    record.begin({"user_id": "anna", "question": "one"})
    early = [path.read_bytes() for path in files]
    for _ in range(5):
        record.begin({"user_id": "anna", "question": "more"})
    record.close()
    for path, content in zip(files, early, strict=True):
        path.write_bytes(content)
    assert not verify(tmp_path / "record").intact


def test_a_cut_tail_is_found_by_the_head_alone_before_any_checkpoint(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    for _ in range(4):
        record.begin({"user_id": "anna", "question": "one"})
    path = tmp_path / "record" / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert verify(tmp_path / "record").intact
    for kept in range(4):
        path.write_bytes(b"".join(lines[:kept]))
        report = verify(tmp_path / "record")
        assert report.checkpoints == 0
        assert not report.intact, kept


def test_100_000_entries_are_verified_within_five_seconds(tmp_path: Path) -> None:
    directory, seals = tmp_path / "record", tmp_path / "record-seal"
    directory.mkdir()
    sealer, head, tree = Sealer(seals), GENESIS, Frontier()
    start, kept = datetime(2026, 1, 5, tzinfo=UTC), []
    with (directory / "record.jsonl").open("wb") as stream:
        for seq in range(100_000):
            at = (start + timedelta(seconds=seq)).isoformat()
            query_id, kind = f"Q-{seq // 2:08d}", ("BEGIN", "COMPLETE")[seq % 2]
            opened = {"role": "officer", "status": "ANSWERED", "views_read": ["orders"], "n_rows": seq}
            body = canonical(
                {"at": at, "kind": kind, "locked": "5f" * 200, "open": opened, "query_id": query_id, "seq": seq}
            )
            head = link(head, body)
            tree.add(leaf(head))
            stream.write(body + b"\t" + head.hex().encode() + b"\n")
            if seq % 100 == 99:
                signed = sealer.sign(Checkpoint(size=seq + 1, head=head.hex(), root=tree.root().hex(), at=at))
                kept.append(canonical(signed) + b"\n")
    write_new(seals / "checkpoints.jsonl", b"".join(kept))
    write_new(seals / "head.json", canonical({"head": json.loads(kept[-1]), "next": None}))
    began = time.process_time()  # the machine may be busy with other tests
    report = verify(directory)
    took = time.process_time() - began
    print(f"100,000 entries verified in {took:.2f} s")
    assert report.intact, report.findings
    assert (report.entries, report.checkpoints) == (100_000, 1_000)
    assert took <= 5.0


def test_merkle_root_is_that_of_rfc_9162() -> None:
    """Against the recursive definition of the RFC, for every size up to 33."""
    import hashlib

    def tree_hash(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\x00" + leaves[0]).digest()
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()

    frontier, leaves = Frontier(), []
    for number in range(33):
        leaves.append(hashlib.sha256(bytes([number])).digest())
        frontier.add(leaf(leaves[-1]))
        assert frontier.root() == tree_hash(leaves), number
