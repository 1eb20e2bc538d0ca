"""Schemas: a fingerprint of a message type, by which two nodes notice that their versions of it differ.

The fingerprint covers the fields' names, their order, whether they are required, their types as written, and the
reply.  It does not look into the types of fields: a difference inside them is an error of decoding, which names the
place.  A mismatch fails the messages of that type, with an error that names the fields.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from functools import lru_cache
from typing import cast

from ..kernel.message import Message, reply_annotation

FINGERPRINT_BYTES = 8
_MODULE = re.compile(r"(?:[^\W\d]\w*\.|<locals>\.)+(?=[^\W\d])")
"""All of a dotted name before its last part."""
_ARRAY = re.compile(r"ndarray\[(?:tuple\[(?:int|Any),\.\.\.\]|Any),dtype\[([^\[\]]+)\]\]")
"""How numpy's ``NDArray[...]`` is written, which differs between versions of numpy and of Python."""


@lru_cache(maxsize=4096)
def fingerprint(type_: type) -> bytes:
    """Return 8 bytes that are equal for equal types, in every process."""
    described = "\n".join([*fields_of(type_), f"-> {_shown(reply_annotation(type_))}"])
    return hashlib.sha256(described.encode()).digest()[:FINGERPRINT_BYTES]


def fields_of(type_: type) -> list[str]:
    """Return one line for each field: its name, its type as written, and whether it may be left out."""
    struct = cast("type[Message[object]]", type_)
    optional = len(struct.__struct_defaults__)
    required = len(struct.__struct_fields__) - optional
    hints: dict[str, object] = {}
    for base in reversed(type_.__mro__):
        hints.update(inspect.get_annotations(base))
    return [
        f"{name}: {_shown(hints.get(field, ''))}{'' if place < required else ' = ...'}"
        for place, (field, name) in enumerate(
            zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
        )
    ]


def _shown(annotation: object) -> str:
    """Write an annotation the same way whether it was kept as text or evaluated."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__qualname__.rpartition(".")[2]
    plain = str(annotation).replace("NoneType", "None").replace("'", "").replace('"', "")
    return _ARRAY.sub(r"NDArray[\1]", _MODULE.sub("", plain).replace(" ", ""))
