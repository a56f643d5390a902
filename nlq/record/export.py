"""A copy of the record that a third party can verify without this software's key store."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nlq.record.canonical import canonical
from nlq.record.record import CHECKPOINTS, ENTRIES, HEAD

if TYPE_CHECKING:
    from nlq.record.record import Record

README = """\
This folder is a copy of the record of questions.

record.jsonl       one entry a line: canonical JSON, a tab, the chain hash h_i = SHA-256(0x00 | h_(i-1) | JSON)
checkpoints.jsonl  signed states: size, last hash, Merkle root over the hashes (RFC 9162), time, Ed25519 signature
head.json          the signed state at the time of the copy
seal.pub           the public key
questions.jsonl    the questions in plain text, where it was asked for and their keys still exist
MANIFEST           SHA-256 of each file

Verify with: nlq audit verify --path FOLDER
"""


def export(record: Record, target: str | Path, *, plain_text: bool = False) -> Path:
    """Write the record with its seals to a new folder.

    Args:
        record: what to copy.
        target: folder that does not exist yet.
        plain_text: also write the questions decrypted, for those who may read them.

    Raises:
        FileExistsError: the folder exists.
    """
    target = Path(target)
    target.mkdir(parents=True, mode=0o700)
    with record.frozen():
        shutil.copyfile(record.directory / ENTRIES, target / ENTRIES)
        for name in (CHECKPOINTS, HEAD, "seal.pub"):
            if (record.seals / name).exists():
                shutil.copyfile(record.seals / name, target / name)
    (target / "README").write_text(README, encoding="utf-8")
    if plain_text:
        with (target / "questions.jsonl").open("wb") as stream:
            for query_id in record.query_ids():
                stream.write(canonical(record.entry(query_id)) + b"\n")
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in sorted(target.iterdir())]
    (target / "MANIFEST").write_text("\n".join(sums) + "\n", encoding="utf-8")
    return target
