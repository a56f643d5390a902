"""Signed checkpoints, kept apart from the record: a chain alone shows neither a cut tail nor a full rewrite."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from nlq.record.canonical import canonical


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of the record after `size` entries."""

    size: int
    head: str
    """Hex of the last entry's chain hash."""
    root: str
    """Hex of the Merkle root over all chain hashes."""
    at: str
    """When it was signed, ISO 8601, UTC."""

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return canonical({"at": self.at, "head": self.head, "root": self.root, "size": self.size})


class Sealer:
    """Signs checkpoints with the Ed25519 key in `directory`; makes the key on first use."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "seal.key"
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            write_new(directory / "seal.pub", public)
        loaded = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(loaded, Ed25519PrivateKey):
            raise TypeError(f"{path} is not an Ed25519 key")
        self._key = loaded
        self.fingerprint = fingerprint(loaded.public_key())

    def sign(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The checkpoint as a JSON object with key id and signature."""
        return {
            "at": checkpoint.at,
            "head": checkpoint.head,
            "root": checkpoint.root,
            "size": checkpoint.size,
            "key": self.fingerprint,
            "signature": self._key.sign(checkpoint.payload()).hex(),
        }


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key in hex, the form to write down and keep elsewhere."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def load_public(path: Path) -> Ed25519PublicKey:
    """Read the public key of a sealed record.

    Raises:
        ValueError: the file is no Ed25519 public key.
    """
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} is not an Ed25519 public key")  # noqa: TRY004  (a file is wrong, not an argument)
    return key


def opened(signed: Any, key: Ed25519PublicKey) -> Checkpoint | None:
    """The checkpoint of a signed object, or None when the signature does not hold."""
    try:
        checkpoint = Checkpoint(
            size=int(signed["size"]), head=str(signed["head"]), root=str(signed["root"]), at=str(signed["at"])
        )
        key.verify(bytes.fromhex(signed["signature"]), checkpoint.payload())
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return None
    return checkpoint


def kept_size(file: Path, public: Path) -> int:
    """Entries under the newest kept checkpoint; 0 where none can be read, so that another one is kept."""
    try:
        lines = file.read_bytes().splitlines()
        checkpoint = opened(json.loads(lines[-1]), load_public(public)) if lines else None
    except (OSError, ValueError):
        return 0
    return checkpoint.size if checkpoint is not None else 0


def write_new(path: Path, content: bytes) -> None:
    """Create a file that only the owner can read; fails when it exists."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, content: bytes) -> None:
    """Put new content in the place of a file in one step that survives a power cut."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        written = os.write(handle, content)
        if written != len(content):
            raise OSError(28, f"only {written} of {len(content)} bytes written", str(fresh))
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)
