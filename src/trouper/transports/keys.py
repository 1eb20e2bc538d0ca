"""``KeyRing``: the CURVE keys by which nodes authenticate each other on ``tcp://``, kept in a folder of files.

    cluster.key_secret    shared by all nodes of a cluster: a node that has it may listen, and may connect
    node.key_secret       optional: this node's own pair, to connect with in place of the cluster's
    allowed/NAME.key      optional: public keys; with this folder these alone may connect, not even the cluster's

The keys are Curve25519, in Z85 text of 40 signs, in files as ZeroMQ's own tools write them.  A secret is never in a
repr, a log or an error.  A file that other users can read or change is refused, not used with a warning.

A file may say ``role = "observer"`` in its part ``metadata``: what the owner of the key may do; ``member`` where it
says nothing.  With an allow-list a node has to be called like the file of its key: ``NAME``, or ``NAME.`` and more for
its workers.  ``refresh`` looks at the list again, so that a file that was removed excludes its node at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from ..runtime.kernel.errors import CallerError, InvalidOption
from ..runtime.kernel.logs import get_log
from ..runtime.session.identity import ROLES, Identity, Role, read_roles
from .folders import make_private, why_replaceable

CLUSTER_FILE: Final = "cluster.key_secret"
NODE_FILE: Final = "node.key_secret"
ALLOWED_FOLDER: Final = "allowed"
FILE_BYTES_MAX: Final = 16_384
ALLOWED_MAX: Final = 10_000
PREFIX_CHARS: Final = 8
"""Characters of a public key that are shown: enough to tell keys apart, too few to be mistaken for a key."""

WATCHED_FILES_MAX: Final = 500
"""Up to so many files of an allow-list are looked at one by one for a change; of a longer list only the folder is."""
MEMBER: Final[frozenset[Role]] = frozenset({"member"})
CLUSTER_ROLES: Final[frozenset[Role]] = frozenset({"member", "operator"})
"""The roles that are written into the file of a new cluster's key, whose owners trust each other."""
NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_LINE: Final = re.compile(r'^\s*(public-key|secret-key|role|name)\s*=\s*"([^"]*)"\s*$', re.MULTILINE)
log = get_log("trouper.transports.keys")


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


@dataclass(slots=True)
class KeyRing:
    """The keys of one node, and who may connect to it.

    cluster: proves, when listening, that this node belongs to the cluster.
    node: the pair with which this node connects; None for the cluster's.
    allowed: the identities that may connect, by public key; None for the cluster's key alone.
    cluster_roles: what the owners of the cluster's key may do, where that key is admitted.
    node_name: the name that ``node`` was made for; None when its file says none.
    revoked: public keys that are admitted no more, whatever the lists say.
    folder: where the list is; None for a ring that was made in code, which does not change.
    """

    cluster: KeyPair
    node: KeyPair | None = None
    allowed: Mapping[str, Identity] | None = None
    cluster_roles: frozenset[Role] = MEMBER
    node_name: str | None = None
    revoked: set[str] = field(default_factory=set[str])
    folder: Path | None = None
    _seen: object = field(default=None, repr=False, compare=False)

    @property
    def client(self) -> KeyPair:
        """The pair that this node shows when it connects."""
        return self.node or self.cluster

    def admits(self, public: str) -> bool:
        """Whether a peer with this public key, which it has proved to own, may connect."""
        if public in self.revoked:
            return False
        return public == self.cluster.public if self.allowed is None else public in self.allowed

    def identify(self, public: str) -> Identity:
        """Return the name and the roles of a public key; one that is not admitted has no roles."""
        if not self.admits(public):
            return Identity(public, None, frozenset())
        return Identity(public, None, self.cluster_roles) if self.allowed is None else self.allowed[public]

    def may_be_called(self, public: str, node: str) -> str | None:
        """Return why the owner of this key may not have this name of a node, in one clause; None if it may."""
        name = self.identify(public).name
        if name is None or node == name or node.startswith(f"{name}."):
            return None
        return f"its key is listed as {name}, so it has to be called {name}, not {node}"

    def revoke(self, identity: str) -> frozenset[str]:
        """Admit this identity no more, a name of the list, ``cluster`` or a public key; returns its public keys.

        Raises ``InvalidOption`` for an identity that is not known.
        """
        keys = {public for public, listed in (self.allowed or {}).items() if identity in (public, listed.name)}
        if identity in ("cluster", self.cluster.public):
            keys.add(self.cluster.public)
        if not keys:
            names = sorted(listed.name or "" for listed in (self.allowed or {}).values())
            raise InvalidOption(f"no key is listed as {identity!r}; listed are: {', '.join([*names, 'cluster'])}")
        self.revoked |= keys
        return frozenset(keys)

    def refresh(self) -> frozenset[str]:
        """Read the list again if its folder has changed; returns the keys that are admitted no more, or otherwise.

        A file that cannot be used is logged, and its key is not admitted.
        """
        if self.folder is None or self.allowed is None:
            return frozenset()
        seen = _state_of(self.folder / ALLOWED_FOLDER)
        if seen == self._seen:
            return frozenset()
        before, self._seen = self.allowed, seen
        allowed: dict[str, Identity] = {}
        try:
            for path in _listed(self.folder / ALLOWED_FOLDER):
                try:
                    allowed.update([_load_listed(path)])
                except KeysInvalid as error:
                    log.warning("a key is not admitted: %s", error)
        except KeysInvalid as error:  # the folder is gone, or open to others: nobody is admitted
            log.warning("no key is admitted: %s", error)
        self.allowed = allowed
        return frozenset(public for public, listed in before.items() if allowed.get(public) != listed)

    @classmethod
    def load(cls, folder: Path) -> KeyRing:
        """Read the keys of a folder.  Raises ``KeysInvalid``."""
        _check_folder(folder)
        cluster, cluster_roles, _ = _load_pair(folder / CLUSTER_FILE)
        ring = cls(cluster, cluster_roles=cluster_roles, folder=folder)
        if (folder / NODE_FILE).exists():
            ring.node, _, ring.node_name = _load_pair(folder / NODE_FILE)
        if (folder / ALLOWED_FOLDER).exists():
            ring._seen = _state_of(folder / ALLOWED_FOLDER)
            ring.allowed = dict(map(_load_listed, _listed(folder / ALLOWED_FOLDER)))
        return ring


def default_folder() -> Path:
    """Return ``$TROUPER_KEYS``, or else ``trouper/keys`` in the user's folder for settings."""
    given = os.environ.get("TROUPER_KEYS")
    settings = os.environ.get("XDG_CONFIG_HOME")
    return Path(given) if given else (Path(settings) if settings else Path.home() / ".config") / "trouper" / "keys"


def make_cluster_keys(folder: Path, roles: frozenset[Role] = CLUSTER_ROLES) -> list[Path]:
    """Make the pair of a new cluster; returns the files that were written.  Raises ``KeysInvalid``.

    roles: what the owners of the pair may do where there is no allow-list.
    """
    text = _secret_text(KeyPair.make(), "the key pair of a cluster", _metadata(role=_role_text(roles)))
    return _write_all(folder, {CLUSTER_FILE: text})


def make_node_keys(folder: Path, name: str, roles: frozenset[Role] = MEMBER) -> list[Path]:
    """Make a pair for one node, and beside it ``NAME.key``, the public half for the ``allowed`` folders of others.

    roles: what the node may do at those who list it; the owner of a list may change it there.
    Returns the files that were written.  Raises ``KeysInvalid``.
    """
    if not NODE_NAME.fullmatch(name):
        raise KeysInvalid(f"{name!r} is no name for a file: use letters, digits, '.', '_' and '-'")
    pair = KeyPair.make()
    role = _metadata(role=_role_text(roles))
    public = f'# the public key of the node {name}\n\n{role}curve\n    public-key = "{pair.public}"\n'
    secret = _secret_text(pair, f"the key pair of the node {name}", _metadata(name=name))
    return _write_all(folder, {NODE_FILE: secret, f"{name}.key": public})


def shown(public: str) -> str:
    """Return the part of a public key that is shown to people."""
    return f"{public[:PREFIX_CHARS]}..."


def _write_all(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files that only the user can read, or none: an existing file is never overwritten."""
    make_private(folder)
    _check_folder(folder)
    for name in texts:
        if os.path.lexists(folder / name):
            raise KeysInvalid(f"{folder / name} is there already, and is not overwritten; choose another folder")
    for name, text in texts.items():
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as writer:
            writer.write(text)
    return [folder / name for name in texts]


def _secret_text(pair: KeyPair, what: str, metadata: str = "") -> str:
    return f'# SECRET: {what}\n\n{metadata}curve\n    public-key = "{pair.public}"\n    secret-key = "{pair.secret}"\n'


def _metadata(**values: str) -> str:
    return "".join(["metadata\n", *(f'    {key} = "{value}"\n' for key, value in values.items())])


def _role_text(roles: frozenset[Role]) -> str:
    return ", ".join(role for role in ROLES if role in roles)


def _load_pair(path: Path) -> tuple[KeyPair, frozenset[Role], str | None]:
    """Return a pair, the roles that its file gives to its owners, and the name of the node that it was made for."""
    found = _read(path, secret=True)
    if not {"public-key", "secret-key"} <= found.keys():
        raise KeysInvalid(f"{path} has to hold a public-key and a secret-key")
    try:
        return KeyPair(found["public-key"], found["secret-key"]), _roles(found, path), found.get("name")
    except KeysInvalid as error:
        raise KeysInvalid(f"{path}: {error}") from None


def _listed(folder: Path) -> list[Path]:
    """Return the files of an allow-list; raises ``KeysInvalid``."""
    _check_folder(folder)
    paths = sorted(folder.glob("*.key"))
    if len(paths) > ALLOWED_MAX:
        raise KeysInvalid(f"{folder} holds {len(paths)} keys, at most {ALLOWED_MAX} are allowed")
    return paths


def _load_listed(path: Path) -> tuple[str, Identity]:
    """Return the public key of a file of an allow-list, and its identity; raises ``KeysInvalid``."""
    found = _read(path, secret=False)
    if "public-key" not in found or "secret-key" in found:
        raise KeysInvalid(f"{path} has to hold a public-key and nothing else; a secret never leaves its node")
    return found["public-key"], Identity(found["public-key"], path.stem, _roles(found, path))


def _roles(found: Mapping[str, str], path: Path) -> frozenset[Role]:
    try:
        return read_roles(found["role"]) if "role" in found else MEMBER
    except InvalidOption as error:
        raise KeysInvalid(f"{path}: {error}") from None


def _state_of(folder: Path) -> object:
    """Return what changes when a file of the folder is added, removed, replaced or written."""

    def states() -> Iterator[tuple[object, ...]]:
        yield (folder.stat().st_mtime_ns, folder.stat().st_mode)
        for path in sorted(folder.glob("*.key"))[:WATCHED_FILES_MAX]:
            found = path.stat()
            yield (path.name, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid, found.st_ino)

    try:
        return tuple(states())
    except OSError as error:
        return str(error)


def _read(path: Path, *, secret: bool) -> dict[str, str]:
    """The keys of a file by their kind, its role and name.

    The open file is checked, which cannot be exchanged afterwards.
    """
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
        if not kind.endswith("-key"):
            continue
        if len(_bytes_of(key)) != len(key) or not _is_key(key):
            raise KeysInvalid(f"{path}: the {kind} is no key of 40 signs in Z85")
    return found


def _check_folder(folder: Path) -> None:
    try:
        found, why = folder.stat(), why_replaceable(folder)
    except OSError as error:
        problem = f"the folder of keys {folder} cannot be used: {error.strerror}"
        raise KeysInvalid(f"{problem}; make one by: trouper keygen {folder}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise KeysInvalid(f"{folder} is no folder")
    _check_owner(found, folder, 0o022)
    if why is not None:
        raise KeysInvalid(f"another user could replace the folder of keys {folder}, since {why}: use another")


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
