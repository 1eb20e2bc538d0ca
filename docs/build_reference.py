"""Writes `docs/reference/api.md` from the docstrings of everything that a user can import from the facade.

The source is read, never run, so the page is the same on every machine. `python docs/build_reference.py` writes it;
`tests/test_docs.py` fails while the page that is committed is not the one that would be written.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"
FACADES = ("trouper", "trouper.cluster", "trouper.delivery", "trouper.lowlevel", "trouper.testing")
"""The modules whose `__all__` is public. One that is not there yet, or exports nothing, is left out."""

SIGNATURE_CHARS_MAX = 100
"""A longer signature is broken into one line a parameter."""

_PREFACE = """\
# API reference

Everything that is public, from the docstrings. Written by `make docs`: change the docstrings, not this page.
"""

_Kind = griffe.ParameterKind


def build(facades: Sequence[str] = FACADES, search_path: Path = ROOT / "src") -> str:
    """The whole page as Markdown."""
    parts = [_PREFACE]
    for facade in facades:
        things = public_names(facade, search_path)
        if things:
            parts += [f"## `{facade}`\n", *(entry for thing in things for entry in _entries(thing, things))]
    return "\n".join(parts).rstrip() + "\n"


def public_names(facade: str, search_path: Path = ROOT / "src") -> list[griffe.Object]:
    """What a facade exports, in the order of the alphabet; nothing for a facade that does not exist."""
    package, _, inside = facade.partition(".")
    loaded = _loaded(package, search_path)
    if inside and inside not in loaded.members:
        return []
    module = loaded[inside] if inside else loaded
    return [_real(module[name]) for name in sorted(map(str, module.exports or []), key=str.lower)]


@cache
def _loaded(package: str, search_path: Path) -> griffe.Object:
    """The package, read once for all facades: it takes seconds."""
    loaded = griffe.load(package, search_paths=[search_path], allow_inspection=False, resolve_aliases=True)
    assert isinstance(loaded, griffe.Module)
    return loaded


def undocumented(facades: Sequence[str] = FACADES, search_path: Path = ROOT / "src") -> list[str]:
    """The public classes, functions, methods and properties that have no docstring."""
    return [
        f"{each.path} (line {each.lineno})"
        for facade in facades
        for things in [public_names(facade, search_path)]
        for thing in things
        for each in (thing, *_members(thing, things))
        if not each.has_docstring and not _is_plain_value(each)
    ]


def main() -> None:
    """Write the page, and say so."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(build(), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def _entries(thing: griffe.Object, public: Iterable[griffe.Object]) -> Iterator[str]:
    """A public name, then its members, each as a heading, a signature and a text."""
    yield _entry(f"### `{thing.name}`", thing)
    for member in _members(thing, public):
        if member.has_docstring or not _is_plain_value(member):
            yield _entry(f"#### `{thing.name}.{member.name}`", member)


def _entry(heading: str, thing: griffe.Object) -> str:
    code = "\n".join(["```python", *_signatures(thing), "```"])
    return "\n\n".join([heading, code, *_text(thing)]) + "\n"


def _members(thing: griffe.Object, public: Iterable[griffe.Object]) -> list[griffe.Object]:
    """A class's public members in the order of the source, then what it has from bases that are not public."""
    if not thing.is_class:
        return []
    shown_elsewhere = {each.path for each in public}
    own = [_real(member) for member in thing.members.values() if _is_public(member.name)]
    inherited = [_real(member) for name, member in thing.inherited_members.items() if _is_public(name)]
    inherited = [member for member in inherited if _owner(member) not in shown_elsewhere]
    in_order = sorted(own, key=lambda member: member.lineno or 0)
    return in_order + sorted(inherited, key=lambda member: (_owner(member), member.lineno or 0))


def _owner(member: griffe.Object) -> str:
    """The dotted name of the class in which a member stands."""
    return member.path.rpartition(".")[0]


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _is_plain_value(thing: griffe.Object) -> bool:
    """A field or a constant, which its class or its comment may describe; a property is more than that."""
    return thing.is_attribute and "property" not in thing.labels


def _real(thing: griffe.Object | griffe.Alias) -> griffe.Object:
    return thing.final_target if isinstance(thing, griffe.Alias) else thing


def _signatures(thing: griffe.Object) -> Iterable[str]:
    """How the thing is written in Python, once for each overload; a class also as it is called to make an object."""
    if isinstance(thing, griffe.Class):
        bases = ", ".join(str(base) for base in thing.bases)
        made = _parameters(thing.parameters)
        return [f"class {thing.name}({bases})" if bases else f"class {thing.name}", *(_call(thing.name, made))]
    if isinstance(thing, griffe.Function):
        word = "async def" if "async" in thing.labels else "def"
        forms = thing.overloads or [thing]
        return [line for form in forms for line in _call(f"{word} {form.name}", _parameters(form.parameters), form)]
    if isinstance(thing, griffe.Attribute):
        return [f"{thing.name}: {thing.annotation}" if thing.annotation else f"{thing.name} = {thing.value}"]
    return [thing.name]


def _call(head: str, parameters: list[str], function: griffe.Function | None = None) -> list[str]:
    """`head(parameters) -> result`, with a line for each parameter when it is long; nothing for a class without any."""
    if function is None and not parameters:
        return []
    result = f" -> {function.returns}" if function is not None and function.returns else ""
    line = f"{head}({', '.join(parameters)}){result}"
    if len(line) <= SIGNATURE_CHARS_MAX:
        return [line]
    return [f"{head}(", *(f"    {parameter}," for parameter in parameters), f"){result}"]


def _parameters(parameters: griffe.Parameters) -> list[str]:
    """Each parameter as it is written, without `self`, with the marks `/` and `*` where Python wants them."""
    written: list[str] = []
    previous: griffe.ParameterKind | None = None
    for each in parameters:
        if each.name in {"self", "cls"}:
            continue
        if previous is _Kind.positional_only and each.kind is not _Kind.positional_only:
            written.append("/")
        if each.kind is _Kind.keyword_only and previous not in {_Kind.keyword_only, _Kind.var_positional}:
            written.append("*")
        written.append(_parameter(each))
        previous = each.kind
    return [*written, "/"] if previous is _Kind.positional_only else written


def _parameter(parameter: griffe.Parameter) -> str:
    stars = {_Kind.var_positional: "*", _Kind.var_keyword: "**"}.get(parameter.kind or _Kind.positional_or_keyword, "")
    name = f"{stars}{parameter.name}"
    if parameter.annotation is None:
        return name if stars or parameter.default is None else f"{name}={parameter.default}"
    annotated = f"{name}: {parameter.annotation}"
    return annotated if stars or parameter.default is None else f"{annotated} = {parameter.default}"


def _text(thing: griffe.Object) -> list[str]:
    """The docstring as Markdown: code in single backticks, doctests fenced; nothing where there is none."""
    if thing.docstring is None:
        return []
    text = thing.docstring.value.replace("``", "`")
    return [re.sub(r"(?m)^>>>.*\n?(?:.+\n?)*", _fenced, text).strip()]


def _fenced(match: re.Match[str]) -> str:
    return f"```pycon\n{match[0].rstrip()}\n```\n"


if __name__ == "__main__":
    main()
