"""Proof that a record is as it was written. Needs the files and the public key, nothing else of the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.record.chain import GENESIS, Frontier, leaf, link
from nlq.record.seal import Checkpoint, fingerprint, load_public, opened

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENTRIES, CHECKPOINTS, HEAD, PUBLIC = "record.jsonl", "checkpoints.jsonl", "head.json", "seal.pub"
MAX_FINDINGS = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place where the record is not as it was written."""

    place: str
    what: str


@dataclass(kw_only=True)
class Report:
    """Result of a verification."""

    entries: int = 0
    checkpoints: int = 0
    head: str = ""
    key: str = ""
    """Fingerprint of the key that the seals were checked with; compare it with the one you wrote down."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, place: str, what: str) -> None:
        """Note a finding; after the first twenty only their being more is noted."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(place=place, what=what))


def verify(directory: str | Path, seals: str | Path | None = None, *, expected_key: str | None = None) -> Report:
    """Check every entry, the chain, every kept checkpoint and the signed head.

    Args:
        directory: the record, or an export of it.
        seals: directory of head, checkpoints and public key; by default `<directory>-seal`, or the export itself.
        expected_key: fingerprint of the sealing key as written down elsewhere; another key is a finding.

    Finds change, removal, insertion, reordering and a cut tail in the entries, and removed or changed checkpoints.
    What it cannot find: a rewrite by someone who holds the sealing key as well as both directories.
    """
    directory = Path(directory)
    sealed = Path(seals) if seals is not None else directory.with_name(directory.name + "-seal")
    if seals is None and not sealed.exists() and (directory / HEAD).exists():
        sealed = directory
    report = Report()
    key = _public_key(sealed, expected_key, report)
    wanted = _kept_checkpoints(sealed, key, report)
    tips = _signed_tips(sealed, key, report)
    heads = _walk(directory / ENTRIES, {c.size for c in wanted}, report)
    for checkpoint in wanted:
        found = heads.get(checkpoint.size)
        if found is None:
            report.add(f"checkpoint of {checkpoint.at}", f"{checkpoint.size} entries were sealed, fewer are there")
        elif found != (checkpoint.head, checkpoint.root):
            report.add(f"entries before {checkpoint.size}", f"differ from what was sealed at {checkpoint.at}")
    if tips and (report.entries, report.head) not in tips:
        sizes = " or ".join(str(size) for size, _ in sorted(tips))
        what = f"the signed head stands for {sizes} entries, there are {report.entries}"
        report.add("end of the record", what if report.entries not in {s for s, _ in tips} else "is another one")
    if tips and wanted and max(c.size for c in wanted) > max(size for size, _ in tips):
        report.add(HEAD, "is older than the last kept checkpoint")
    return report


def _public_key(sealed: Path, expected: str | None, report: Report) -> Ed25519PublicKey | None:
    try:
        key = load_public(sealed / PUBLIC)
    except (OSError, ValueError) as error:
        report.add(PUBLIC, f"cannot be read: {error}")
        return None
    report.key = fingerprint(key)
    if expected is not None and expected.replace(":", "").lower() != report.key:
        report.add(PUBLIC, "is not the expected sealing key")
    return key


def _kept_checkpoints(sealed: Path, key: Ed25519PublicKey | None, report: Report) -> list[Checkpoint]:
    path = sealed / CHECKPOINTS
    found: list[Checkpoint] = []
    if key is None or not path.exists():
        return found
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        checkpoint = opened(_parsed(line), key)
        if checkpoint is None:
            report.add(f"{CHECKPOINTS}:{number}", "signature does not hold")
        elif found and checkpoint.size < found[-1].size:
            report.add(f"{CHECKPOINTS}:{number}", "is out of order")
        else:
            found.append(checkpoint)
    report.checkpoints = len(found)
    return found


def _signed_tips(sealed: Path, key: Ed25519PublicKey | None, report: Report) -> set[tuple[int, str]]:
    """(size, head) of the signed head and of the entry that was about to be written, if a crash left one."""
    try:
        stored = _parsed((sealed / HEAD).read_bytes())
    except OSError as error:
        report.add(HEAD, f"cannot be read: {error}")
        return set()
    if not isinstance(stored, dict):
        report.add(HEAD, "is not a signed head")
        return set()
    tips = set()
    for name in ("head", "next"):
        if stored.get(name) is None and name == "next":
            continue
        checkpoint = opened(stored.get(name), key) if key else None
        if checkpoint is None:
            report.add(f"{HEAD}: {name}", "signature does not hold")
        else:
            tips.add((checkpoint.size, checkpoint.head))
    return tips


def _walk(path: Path, sizes: set[int], report: Report) -> dict[int, tuple[str, str]]:
    """Check the chain and give (head, Merkle root) at each of the sizes."""
    heads: dict[int, tuple[str, str]] = {}
    head, tree = GENESIS, Frontier()
    steps: dict[str, int] = {}
    if 0 in sizes:
        heads[0] = (head.hex(), tree.root().hex())
    try:
        stream = path.open("rb")
    except OSError as error:
        report.add(str(path.name), f"cannot be read: {error}")
        return heads
    with stream:
        for number, line in enumerate(stream):
            place = f"{path.name}:{number + 1}"
            body, _, written = line.rstrip(b"\n").rpartition(b"\t")
            head = link(head, body)
            if not line.endswith(b"\n"):
                report.add(place, "is cut in the middle")
            if head.hex().encode() != written:
                report.add(place, "does not fit the chain: it, or an entry before it, is not as it was written")
                head = bytes.fromhex(written.decode()) if _is_hash(written) else head  # one finding a break
            _check_entry(_parsed(body), body, number, place, steps, report)
            tree.add(leaf(head))
            if number + 1 in sizes:
                heads[number + 1] = (head.hex(), tree.root().hex())
    report.entries, report.head = tree.size, head.hex()
    return heads


def _check_entry(entry: Any, body: bytes, number: int, place: str, steps: dict[str, int], report: Report) -> None:
    """What holds for every entry whatever its hash: number, form, order of a question's entries."""
    if not isinstance(entry, dict):
        report.add(place, "is not an entry")
        return
    if entry.get("seq") != number:
        report.add(place, f"has number {entry.get('seq')!r}, expected {number}")
    # What was parsed holds only JSON's own types, so that the slower `canonical` is not needed here.
    if json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") != body:
        report.add(place, "is not in canonical form")
    kind, query_id = entry.get("kind"), str(entry.get("query_id"))
    step = steps.get(query_id, 0)
    match kind:
        case "BEGIN" if step == 0:
            steps[query_id] = 1
        case "NOTE" if step == 1:
            pass
        case "COMPLETE" if step == 1:
            steps[query_id] = 2
        case "EVENT":
            pass
        case _:
            report.add(place, f"{kind!r} does not follow what came before for {query_id}")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _is_hash(text: bytes) -> bool:
    return len(text) == 64 and all(c in b"0123456789abcdef" for c in text)
