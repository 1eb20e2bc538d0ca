"""Writes `docs/reference/permissions.md`: which role may send which message to a node, from the code that checks it.

`python docs/build_permissions.py` writes the page; `tests/test_docs.py` fails while the page that is committed is not
the one that would be written.
"""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

from trouper import Node
from trouper.cluster import ClusterConfig
from trouper.runtime.net.control import CONTROLS
from trouper.runtime.net.permissions import TO_ACTOR
from trouper.runtime.session.identity import INCLUDES, ROLES, Allow, holders

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "permissions.md"
PREFACE = """\
# Permissions

What a peer may send to a node, by the role of its identity. Written by `make docs` from the tables that the node
uses; the guide is [Security](../guides/security.md). A message that is not in this list is refused, for every sender;
an extension says for each request that it serves which role it takes (`ctx.serve(Message, handler, allow=role)`).
"""


def build() -> str:
    """The whole page as Markdown."""
    lines = [PREFACE, "## Roles\n", "| role | has the rights of |", "|---|---|"]
    lines += [f"| `{role}` | {', '.join(f'`{each}`' for each in ROLES if each in INCLUDES[role])} |" for role in ROLES]
    lines += ["", "## Messages\n", f"| message | served by | {' | '.join(ROLES)} | what it asks for |"]
    lines += [f"|---|---|{'---|' * (len(ROLES) + 1)}"]
    lines += [_row("any message to an exported actor", "the actor", TO_ACTOR, "What the actor does with it.")]
    lines += [_row(f"`{name}`", owner, allow, text) for name, owner, allow, text in sorted(asyncio.run(_messages()))]
    return "\n".join(lines) + "\n"


async def _messages() -> list[tuple[str, str, tuple[Allow, ...], str]]:
    """Return name, owner, roles and first line of the docstring of each message that nodes take."""
    found = {type_: ("the runtime", allow) for type_, allow in CONTROLS.items()}
    for cluster in (None, ClusterConfig(name="page")):
        async with Node("page", listen="inprocess://page", cluster=cluster) as node:
            for type_ in node.network.request_handlers:
                served = node.network.request_handlers.get(type_)
                if served is not None:
                    found[type_] = (served.owner, (served.allow,))
    return [(type_.__qualname__, owner, allow, _first_line(type_)) for type_, (owner, allow) in found.items()]


def _row(message: str, owner: str, allow: tuple[Allow, ...], text: str) -> str:
    may = holders(*allow)
    return f"| {message} | {owner} | {' | '.join('yes' if role in may else '' for role in ROLES)} | {text} |"


def _first_line(type_: type) -> str:
    lines: Iterator[str] = iter((inspect.getdoc(type_) or "").splitlines())
    return next(lines, "").replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(build(), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
