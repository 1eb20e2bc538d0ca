"""``KeyRing``: the CURVE keys by which nodes authenticate each other on ``tcp://``, kept in a folder of files.

    cluster.key_secret    shared by all nodes of a cluster: a node that has it may listen, and may connect
    node.key_secret       optional: this node's own pair, to connect with in place of the cluster's
    allowed/*.key         optional: public keys; with this folder these alone may connect, not even the cluster's

The keys are Curve25519, in Z85 text of 40 signs, in files as ZeroMQ's own tools write them.  A secret is never in a
repr, a log or an error.  A file that other users can read or change is refused, not used with a warning.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from ..runtime.kernel.errors import CallerError

CLUSTER_FILE: Final = "cluster.key_secret"
NODE_FILE: Final = "node.key_secret"
ALLOWED_FOLDER: Final = "allowed"
FILE_BYTES_MAX: Final = 16_384
ALLOWED_MAX: Final = 10_000
PREFIX_CHARS: Final = 8
"""Characters of a public key that are shown: enough to tell keys apart, too few to be mistaken for a key."""

_LINE: Final = re.compile(r'^\s*(public|secret)-key\s*=\s*"([^"]*)"\s*$', re.MULTILINE)


class KeysInvalid(CallerError):
    """Keys that cannot be used: missing, damaged, or open to other users; the text says what to do."""


class KeysMissing(CallerError):
    """An endpoint needs keys, and none were given."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret, both as Z85 text."""

    public: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if zmq.curve_public(_bytes_of(self.secret)).decode() != self.public:
            raise KeysInvalid(f"the secret key does not belong to the public key {shown(self.public)}")

    @classmethod
    def make(cls) -> KeyPair:
        """Make a new pair, from the system's random source."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one node.

    cluster: proves, when listening, that this node belongs to the cluster.
    node: the pair with which this node connects; None for the cluster's.
    allowed: the public keys that may connect, each with a name for people; None for the cluster's key alone.
    """

    cluster: KeyPair
    node: KeyPair | None = None
    allowed: Mapping[str, str] | None = None

    @property
    def client(self) -> KeyPair:
        """The pair that this node shows when it connects."""
        return self.node or self.cluster

    def admits(self, public: str) -> bool:
        """Whether a peer with this public key, which it has proved to own, may connect."""
        return public == self.cluster.public if self.allowed is None else public in self.allowed

    @classmethod
    def load(cls, folder: Path) -> KeyRing:
        """Read the keys of a folder.  Raises ``KeysInvalid``."""
        _check_folder(folder)
        cluster = _load_pair(folder / CLUSTER_FILE)
        has_node = (folder / NODE_FILE).exists()
        has_allowed = (folder / ALLOWED_FOLDER).exists()
        return cls(
            cluster,
            _load_pair(folder / NODE_FILE) if has_node else None,
            _load_allowed(folder / ALLOWED_FOLDER) if has_allowed else None,
        )


def default_folder() -> Path:
    """Return ``$TROUPER_KEYS``, or else ``trouper/keys`` in the user's folder for settings."""
    given = os.environ.get("TROUPER_KEYS")
    settings = os.environ.get("XDG_CONFIG_HOME")
    return Path(given) if given else (Path(settings) if settings else Path.home() / ".config") / "trouper" / "keys"


def make_cluster_keys(folder: Path) -> list[Path]:
    """Make the pair of a new cluster; returns the files that were written.  Raises ``KeysInvalid``."""
    return _write_all(folder, {CLUSTER_FILE: _secret_text(KeyPair.make(), "the key pair of a cluster")})


def make_node_keys(folder: Path, name: str) -> list[Path]:
    """Make a pair for one node, and beside it ``NAME.key``, the public half for the ``allowed`` folders of others.

    Returns the files that were written.  Raises ``KeysInvalid``.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise KeysInvalid(f"{name!r} is no name for a file: use letters, digits, '.', '_' and '-'")
    pair = KeyPair.make()
    public = f'# the public key of the node {name}\n\ncurve\n    public-key = "{pair.public}"\n'
    return _write_all(
        folder, {NODE_FILE: _secret_text(pair, f"the key pair of the node {name}"), f"{name}.key": public}
    )


def shown(public: str) -> str:
    """Return the part of a public key that is shown to people."""
    return f"{public[:PREFIX_CHARS]}..."


def _write_all(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files that only the user can read, or none: an existing file is never overwritten."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(folder)
    for name in texts:
        if os.path.lexists(folder / name):
            raise KeysInvalid(f"{folder / name} is there already, and is not overwritten; choose another folder")
    for name, text in texts.items():
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as writer:
            writer.write(text)
    return [folder / name for name in texts]


def _secret_text(pair: KeyPair, what: str) -> str:
    return f'# SECRET: {what}\n\ncurve\n    public-key = "{pair.public}"\n    secret-key = "{pair.secret}"\n'


def _load_pair(path: Path) -> KeyPair:
    found = _read(path, secret=True)
    if found.keys() != {"public", "secret"}:
        raise KeysInvalid(f"{path} has to hold a public-key and a secret-key")
    try:
        return KeyPair(found["public"], found["secret"])
    except KeysInvalid as error:
        raise KeysInvalid(f"{path}: {error}") from None


def _load_allowed(folder: Path) -> Mapping[str, str]:
    _check_folder(folder)
    paths = sorted(folder.glob("*.key"))
    if len(paths) > ALLOWED_MAX:
        raise KeysInvalid(f"{folder} holds {len(paths)} keys, at most {ALLOWED_MAX} are allowed")
    allowed: dict[str, str] = {}
    for path in paths:
        found = _read(path, secret=False)
        if found.keys() != {"public"}:
            raise KeysInvalid(f"{path} has to hold a public-key and nothing else; a secret never leaves its node")
        allowed[found["public"]] = path.stem
    return allowed


def _read(path: Path, *, secret: bool) -> dict[str, str]:
    """The keys of a file by their kind.  The open file is checked, which cannot be exchanged afterwards."""
    try:
        with path.open("rb") as reader:
            _check_owner(os.fstat(reader.fileno()), path, 0o077 if secret else 0o022)
            content = reader.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise KeysInvalid(f"there is no {path}; make keys by: trouper keygen {path.parent}") from None
    except OSError as error:
        raise KeysInvalid(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise KeysInvalid(f"{path} has more than {FILE_BYTES_MAX} bytes, which is no file of keys")
    lines = _LINE.findall(content.decode("utf-8", "replace"))
    found = dict(lines)
    if len(found) != len(lines):
        raise KeysInvalid(f"{path} holds two keys of one kind")
    for kind, key in found.items():
        if len(_bytes_of(key)) != len(key) or not _is_key(key):
            raise KeysInvalid(f"{path}: the {kind}-key is no key of 40 signs in Z85")
    return found


def _check_folder(folder: Path) -> None:
    try:
        found = folder.stat()
    except OSError as error:
        problem = f"the folder of keys {folder} cannot be used: {error.strerror}"
        raise KeysInvalid(f"{problem}; make one by: trouper keygen {folder}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise KeysInvalid(f"{folder} is no folder")
    _check_owner(found, folder, 0o022)


def _check_owner(found: os.stat_result, path: Path, forbidden: int) -> None:
    """Refuse a file of another user, or one that other users may read (a secret) or change (any file)."""
    if found.st_uid != os.getuid():
        raise KeysInvalid(f"{path} belongs to user {found.st_uid}, not to {os.getuid()}: chown {os.getuid()} {path}")
    if found.st_mode & forbidden:
        what = "read" if forbidden & 0o044 else "change"
        who = "go-rwx" if forbidden & 0o044 else "go-w"
        mode = stat.S_IMODE(found.st_mode)
        raise KeysInvalid(f"others can {what} {path} (mode {mode:o}), so it is not used: chmod {who} {path}")


def _bytes_of(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _is_key(text: str) -> bool:
    try:
        return len(text) == 40 and len(z85.decode(text)) == 32
    except (ValueError, KeyError):
        return False
