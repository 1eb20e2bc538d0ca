"""Links in Markdown: each relative link leads to an existing file, and its anchor to a heading of that file."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(
    r"\[[^\]\[]*\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(?P<defined>\S+)", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def broken_links(path: str, text: str, documents: Mapping[str, str], files: frozenset[str]) -> list[str]:
    """The relative links of one document that are broken.

    `documents` are all Markdown files by their path from the root, `files` the paths of everything a link may lead to,
    folders included.
    """
    return [
        f"{path}: {target} leads nowhere: {problem}"
        for target in _targets(text)
        if not _ELSEWHERE.match(target) and (problem := _problem(path, target, documents, files))
    ]


def anchors(text: str) -> set[str]:
    """What can follow a `#` in a link to this document: a heading in the spelling of the usual Markdown hosts."""
    found: set[str] = set()
    for heading in _HEADING.finditer(_FENCE.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["title"])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        numbered = (f"{slug}-{number}" for number in range(1, 1_000))
        found.add(slug if slug not in found else next(name for name in numbered if name not in found))
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def _targets(text: str) -> list[str]:
    prose = _CODE.sub("code", _FENCE.sub("", text))
    return [match["target"] or match["defined"] for match in _LINK.finditer(prose)]


def _problem(path: str, target: str, documents: Mapping[str, str], files: frozenset[str]) -> str:
    """Why the link leads nowhere; empty when it leads somewhere."""
    place, _, anchor = target.partition("#")
    if place.startswith("/"):
        return "a link inside the repository is relative"
    there = _joined(PurePosixPath(path).parent, place) if place else path
    if there is None or there not in files:
        return f"there is no {there or 'such place in the repository'}"
    if anchor and there in documents and anchor not in anchors(documents[there]):
        return f"{there} has no heading {anchor!r}"
    return ""


def _joined(folder: PurePosixPath, place: str) -> str | None:
    """The path from the root, with `..` resolved; None for one that leaves the repository."""
    parts: list[str] = []
    for part in (*folder.parts, *PurePosixPath(place).parts):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)
