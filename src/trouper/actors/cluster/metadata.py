"""What a node tells the others about itself: facts, location, roles, labels, versions (PURE).

``Facts`` are detected (see ``facts``), the rest is said by whoever runs the node.  All of it travels with membership,
to every node of the cluster, so its size is limited where it is made, and again where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ...runtime.kernel.errors import CallerError, InvalidOption, WireError

METADATA_BYTES_MAX: Final = 4_096
"""Of one node's metadata, encoded.  A cluster of 1,000 nodes then holds 4 MB of it at most, on each node."""
LABELS_MAX: Final = 32
LABEL_CHARS_MAX: Final = 64
"""Of a label's name, and of its value."""
ROLES_MAX: Final = 16
NAME_CHARS_MAX: Final = 64
"""Of a role, a region, a zone, a rack and a host."""
DEVICES_MAX: Final = 32
"""GPUs, and other devices, that a node tells of; the detector leaves the others out."""
DEVICE_CHARS_MAX: Final = 64


class MetadataInvalid(CallerError, ValueError):
    """Metadata that a node cannot have: over a limit, or a name that is none."""


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a node stands, from the largest to the smallest; empty when it is not said.

    region: such as ``eu-west``.  zone: what fails together, such as ``eu-west-1a``.  rack: within the zone.
    host: the machine.  A name is unique within what it stands in, so rack ``r1`` of two zones is two racks.
    """

    region: str = ""
    zone: str = ""
    rack: str = ""
    host: str = ""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A graphics processor.  name: as its driver calls it.  memory_bytes: 0 when it is not known."""

    name: str
    memory_bytes: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was detected on a node's host, and of its process.

    cores: that this process may use, which containers and affinity make fewer than the host has.
    memory_bytes: that it may use; 0 when it is not known.  gpus, devices: the first ``DEVICES_MAX`` of them.
    host: its name.  boot_id: differs between hosts and between starts of one host; empty when it is not known.
    system: such as ``Linux 6.1 x86_64``.  python, trouper: versions.
    """

    cores: int = 1
    memory_bytes: int = 0
    gpus: tuple[Gpu, ...] = ()
    devices: tuple[str, ...] = ()
    host: str = ""
    boot_id: str = ""
    system: str = ""
    python: str = ""
    trouper: str = ""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a node tells about itself.  Make one with ``make_metadata``, which checks it.

    roles: what the node is there for.  labels: whatever placement shall go by, such as ``{"gpu": "a100"}``.
    versions: of the program's own parts, such as ``{"prices": "2.3"}``; limited as labels are.
    """

    facts: Facts = Facts()
    location: Location = Location()
    roles: frozenset[str] = frozenset()
    labels: dict[str, str] = {}
    versions: dict[str, str] = {}


def make_metadata(
    facts: Facts,
    *,
    location: Location | None = None,
    roles: frozenset[str] = frozenset(),
    labels: Mapping[str, str] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Metadata:
    """Put metadata together and check it; raises ``MetadataInvalid`` with what is wrong and what is allowed.

    location: None for one with the detected host alone; a location without a host gets that host.
    """
    place = location or Location()
    if not place.host:
        place = msgspec.structs.replace(place, host=facts.host[:NAME_CHARS_MAX])
    made = Metadata(facts=facts, location=place, roles=roles, labels=dict(labels or {}), versions=dict(versions or {}))
    check(made)
    return made


def check(metadata: Metadata) -> None:
    """Raise ``MetadataInvalid`` when any part is over its limit."""
    place = metadata.location
    for field, text in (("region", place.region), ("zone", place.zone), ("rack", place.rack), ("host", place.host)):
        _check_text(f"the {field} of the location", text, NAME_CHARS_MAX, may_be_empty=True)
    _check_count("roles", len(metadata.roles), ROLES_MAX)
    for role in sorted(metadata.roles):
        _check_text("a role", role, NAME_CHARS_MAX)
    for kind, texts in (("labels", metadata.labels), ("versions", metadata.versions)):
        _check_count(kind, len(texts), LABELS_MAX)
        for name, value in texts.items():
            _check_text(f"a name among the {kind}", name, LABEL_CHARS_MAX)
            _check_text(f"the value of {name!r} among the {kind}", value, LABEL_CHARS_MAX, may_be_empty=True)
    facts = metadata.facts
    if facts.cores < 1 or facts.memory_bytes < 0:
        raise MetadataInvalid(
            f"a node has 1 core or more and no negative memory, not {facts.cores}, {facts.memory_bytes}"
        )
    _check_count("GPUs", len(facts.gpus), DEVICES_MAX)
    _check_count("devices", len(facts.devices), DEVICES_MAX)
    for device in (*(gpu.name for gpu in facts.gpus), *facts.devices):
        _check_text("the name of a device", device, DEVICE_CHARS_MAX)


def encode(metadata: Metadata, bytes_max: int = METADATA_BYTES_MAX) -> bytes:
    """The metadata as bytes, the same for equal metadata; raises ``MetadataInvalid`` when they are too many.

    bytes_max: the setting of the cluster, 1 or more.
    """
    if bytes_max < 1:
        raise InvalidOption(f"bytes_max={bytes_max} must be 1 or more")
    encoded = msgspec.msgpack.encode(metadata, order="deterministic")
    if len(encoded) > bytes_max:
        raise MetadataInvalid(
            f"the metadata of this node has {len(encoded)} bytes, more than {bytes_max}: use fewer or shorter labels"
        )
    return encoded


def decode(encoded: bytes, bytes_max: int = METADATA_BYTES_MAX) -> Metadata:
    """Read another node's metadata; raises ``WireError`` when it is none, or over a limit."""
    if len(encoded) > bytes_max:
        raise WireError(f"metadata of {len(encoded)} bytes came in; {bytes_max} are the limit")
    try:
        metadata = msgspec.msgpack.decode(encoded, type=Metadata)
        check(metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, MetadataInvalid) as error:  # a ValidationError is a DecodeError
        raise WireError(f"metadata that came in cannot be used: {error}") from error
    return metadata


def is_same_host(one: Facts, other: Facts) -> bool:
    """Whether two nodes run on one host, in one of its lives: containers share a boot id, and differ by host name."""
    return bool(one.boot_id) and one.boot_id == other.boot_id and one.host == other.host


def _check_text(what: str, text: str, chars_max: int, *, may_be_empty: bool = False) -> None:
    if not text and not may_be_empty:
        raise MetadataInvalid(f"{what} is empty")
    if len(text) > chars_max:
        raise MetadataInvalid(f"{what}, {text[:20]!r}..., has {len(text)} characters; {chars_max} are the limit")
    if not text.isprintable():
        raise MetadataInvalid(f"{what}, {text!r}, holds signs that cannot be printed")


def _check_count(what: str, count: int, count_max: int) -> None:
    if count > count_max:
        raise MetadataInvalid(f"a node has {count} {what}; {count_max} are the limit")
