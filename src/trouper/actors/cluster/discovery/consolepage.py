"""What a console answers to ``GET /cluster/endpoints``: a small JSON, read within limits (PURE).

    {"version": 1, "cluster": "prices", "endpoints": ["tcp://10.0.0.5:7400", "tcp://10.0.0.6:7400"]}

version: of this form; another one is refused.  cluster: its name; a page of another cluster is refused.
endpoints: of the members that are up, those of the answering node first; ``tcp`` only.  Fields that are not known are
passed over, so that later consoles may say more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from .addresses import gather, read_endpoint, shown
from .port import DiscoveryFailed, DiscoveryInvalid

PATH: Final = "/cluster/endpoints"
VERSION: Final = 1


class EndpointsPage(msgspec.Struct, frozen=True):
    """The answer, see above."""

    cluster: str
    endpoints: list[str]
    version: int = VERSION


def write_page(cluster: str, endpoints: Sequence[str]) -> bytes:
    """The page of a console."""
    return msgspec.json.encode(EndpointsPage(cluster, list(endpoints)))


def read_page(page: bytes, cluster: str, endpoints_max: int) -> tuple[str, ...]:
    """The endpoints of a page; raises ``DiscoveryFailed`` when it is none, or that of another cluster."""
    try:
        read = msgspec.json.decode(page, type=EndpointsPage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        raise DiscoveryFailed(f"the answer is no page of endpoints: {error}") from error
    if read.version != VERSION:
        raise DiscoveryFailed(f"the page of endpoints has version {read.version}; this node reads {VERSION}")
    if read.cluster != cluster:
        raise DiscoveryFailed(f"the console is one of the cluster {shown(read.cluster)}, not of {shown(cluster)}")
    try:
        return gather((read_endpoint(text, ("tcp",)) for text in read.endpoints), endpoints_max)
    except DiscoveryInvalid as error:
        raise DiscoveryFailed(f"the page of endpoints: {error}") from error
