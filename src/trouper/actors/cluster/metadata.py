"""The metadata of a node: facts, location, roles, labels, versions (PURE).

``Facts`` are detected, the rest is configured.  The membership carries the metadata of each node to every other node,
so its size is limited where it is made, and again where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ... import CallerError, InvalidOption
from ...lowlevel import decode_untrusted

METADATA_BYTES_MAX: Final = 4_096
"""The largest encoded metadata of one node.  In a cluster of 1,000 nodes each node then holds 4 MB at most."""
LABELS_MAX: Final = 32
LABEL_CHARS_MAX: Final = 64
"""The longest name of a label, and the longest value."""
ROLES_MAX: Final = 16
NAME_CHARS_MAX: Final = 64
"""The longest role, region, zone, rack and host."""
DEVICES_MAX: Final = 32
"""The most GPUs, and the most other devices, of one node; the detection leaves further ones out."""
DEVICE_CHARS_MAX: Final = 64


class MetadataInvalid(CallerError, ValueError):
    """Metadata of a node is invalid: over a limit, or with a name that is not printable."""


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a node is, from the largest level to the smallest; an empty name is not known.

    region: such as ``eu-west``.  zone: what fails together, such as ``eu-west-1a``.  rack: within the zone.
    host: the machine.  A name is unique within the level above, so rack ``r1`` of two zones is two racks.
    """

    region: str = ""
    zone: str = ""
    rack: str = ""
    host: str = ""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A graphics processor.  name: as the driver gives it.  memory_bytes: 0 when it is not known."""

    name: str
    memory_bytes: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The detected facts of a node's host and process.

    cores: that the process may use; containers and affinity can make them fewer than the host has.
    memory_bytes: that the process may use; 0 when it is not known.  gpus, devices: the first ``DEVICES_MAX`` of them.
    host: the name of the host.  boot_id: differs between hosts and between boots of one host; empty if not known.
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
    """The metadata of a node.  Make it with ``make_metadata``, which checks it.

    roles: the purposes of the node.  labels: names and values that placement can require, such as ``{"gpu": "a100"}``.
    versions: of the program's parts, such as ``{"prices": "2.3"}``; limited as labels are.
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
    """Return checked metadata; raises ``MetadataInvalid``, which says what is wrong and what is allowed.

    facts: as ``detect`` returns them.  location: None for the detected host alone; a location without a host gets the
    detected one.  roles, labels, versions: as in ``Metadata``; None for no labels, no versions.
    """
    place = location or Location()
    if not place.host:
        place = msgspec.structs.replace(place, host=facts.host[:NAME_CHARS_MAX])
    made = Metadata(facts=facts, location=place, roles=roles, labels=dict(labels or {}), versions=dict(versions or {}))
    check(made)
    return made


def check(metadata: Metadata) -> None:
    """Raise ``MetadataInvalid`` when a part of the metadata is over its limit."""
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
            f"a node must have 1 core or more and 0 bytes of memory or more, not {facts.cores}, {facts.memory_bytes}"
        )
    _check_count("GPUs", len(facts.gpus), DEVICES_MAX)
    _check_count("devices", len(facts.devices), DEVICES_MAX)
    for device in (*(gpu.name for gpu in facts.gpus), *facts.devices):
        _check_text("the name of a device", device, DEVICE_CHARS_MAX)


def are_labels(texts: Mapping[str, str]) -> bool:
    """Return whether these are labels within their limits."""
    try:
        check(Metadata(labels=dict(texts)))
    except MetadataInvalid:
        return False
    return True


def encode(metadata: Metadata, bytes_max: int = METADATA_BYTES_MAX) -> bytes:
    """Return the metadata as bytes, equal for equal metadata; raises ``MetadataInvalid`` when they are too many.

    bytes_max: the limit of the cluster, 1 or more; ``InvalidOption`` otherwise.
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
    """Return another node's metadata; raises ``MetadataInvalid`` when it cannot be decoded, or is over a limit."""
    if len(encoded) > bytes_max:
        raise MetadataInvalid(f"received metadata of {len(encoded)} bytes; {bytes_max} are the limit")
    return decode_untrusted(_checked, encoded, "received metadata", MetadataInvalid)


def _checked(encoded: bytes) -> Metadata:
    metadata = _decode(encoded)
    check(metadata)
    return metadata


_decode = msgspec.msgpack.Decoder(Metadata).decode


def is_same_host(one: Facts, other: Facts) -> bool:
    """Return whether two nodes run on one host since one boot: containers share the boot id and differ by host name."""
    return bool(one.boot_id) and one.boot_id == other.boot_id and one.host == other.host


def _check_text(what: str, text: str, chars_max: int, *, may_be_empty: bool = False) -> None:
    if not text and not may_be_empty:
        raise MetadataInvalid(f"{what} is empty")
    if len(text) > chars_max:
        raise MetadataInvalid(f"{what}, {text[:20]!r}..., has {len(text)} characters; {chars_max} are the limit")
    if not text.isprintable():
        raise MetadataInvalid(f"{what}, {text!r}, has characters that cannot be printed")


def _check_count(what: str, count: int, count_max: int) -> None:
    if count > count_max:
        raise MetadataInvalid(f"a node has {count} {what}; {count_max} are the limit")
