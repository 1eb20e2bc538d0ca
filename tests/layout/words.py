"""The vocabulary: words that are kept out of names and prose, each with the term that is used instead.

Names are the terms of the field (OTP, Akka, SWIM, Raft, asyncio), so that a reader who knows one of these guesses
right.  A `Term` says how far its ban goes.  A word of ordinary English ("life", "room") is banned only as the whole
name of a module or class of the package; a rarer one as a part of any name; and one without an ordinary use in this
code in prose too.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .sources import Source

Reach = Literal["titles", "names", "prose"]
"""titles: whole names of modules and classes of the package.  names: parts of any name.  prose: text as well."""


@dataclass(frozen=True)
class Term:
    """Banned words that mean the same, and the term to use instead."""

    words: tuple[str, ...]
    use: str
    reach: Reach


def _term(words: str, use: str, reach: Reach) -> Term:
    return Term(tuple(words.split()), use, reach)


TERMS: Sequence[Term] = (
    # nodes and peers
    _term("furniture fittings furnish furnished", "node services, install", "prose"),
    _term("surroundings", "peer context", "names"),
    _term("around", "context", "titles"),
    _term("home homes", "node id", "titles"),
    _term("homeward", "log forwarder", "prose"),
    _term("life lives", "generation (of a node)", "titles"),
    _term("door", "control ref", "names"),
    _term("doorkeeper", "request handlers", "prose"),
    _term("serves", "request handlers", "titles"),
    _term("reaching", "connector", "titles"),
    _term("hang_up hangup", "cancel_dial", "names"),
    _term("attendant attendants attending attends", "admin client, admin service", "names"),
    _term("switchboard", "session manager", "prose"),
    _term("greeter", "handshake", "titles"),
    _term("doubt wishes", "duplicate-name check, desired peers", "titles"),
    _term("missing", "gap tracker", "titles"),
    _term("flow way wiring linkway", "session, session sender, transports", "titles"),
    _term("outbox", "send buffer", "prose"),
    _term("hurry crowded", "flush_now, above_high_water", "names"),
    # large data
    _term("parcel parcels", "out-of-band buffers", "prose"),
    _term("beside", "out-of-band buffers", "titles"),
    _term("arena", "buffer pool", "prose"),
    _term("lent lend lender borrowed", "shared-memory segment, mapping", "titles"),
    # cluster
    _term("commons", "shared state", "prose"),
    _term("board boards marks", "replicated map, member status", "titles"),
    _term("cards card face", "member metadata, api", "titles"),
    _term("roll standing standings", "member list, member status", "titles"),
    _term("scout sighted", "discovery actor, discovered", "prose"),
    _term("vitals survey surveyor surveying", "node metrics, poller", "prose"),
    _term("strain wear", "local health, decay", "titles"),
    _term("rosters", "group synchronisation", "prose"),
    _term("ringing rings", "deadlock detection, wait-for graph", "titles"),
    _term("exits", "remote edges", "titles"),
    # kernel and actors
    _term("lane", "system queue (of an actor), stream (of a session)", "prose"),
    _term("attend attention", "process_signals, slow_path", "names"),
    _term("settle parked press pressed room fuel refuel refuels renew", "reschedule, blocked, backpressure", "titles"),
    _term("turn excuse owes asides", "invocation, cancel_reason, reply_owed, reentrant", "titles"),
    _term("unusual elsewhere", "slow_path, not_counted", "titles"),
    _term("belonging belongings", "actor resource", "prose"),
    _term("stand_still conduct let_go", "suspend, run_transition, abandon", "names"),
    _term("ledger", "supervisor state", "titles"),
    _term("round", "group restart", "titles"),
    _term("passing take_over", "forwarding, detach_reply", "titles"),
    _term("blame beat look", "loop watchdog, heartbeat, sample", "titles"),
    # workers
    _term("staff trouble left", "worker manager, start error, stopped", "titles"),
    # command line and benchmarks
    _term("cast crew works floor show", "bench actors, demo workers, workloads, baseline, progress", "titles"),
    _term("foreman mishap", "coordinator, fault", "prose"),
    # messages and reports
    _term("culprit culprits grumble grumbles confession lament", "warning kinds, omitted_notice, report", "prose"),
    _term("mourn mourns despair bury morgue", "dead_letter, down_if_isolated, dispose, dead tasks", "prose"),
    # the project's own texts
    _term("wing wings tenant tenants", "package, extension", "prose"),
    _term("house", "layout", "titles"),
    # sentences without a subject
    _term("whoever whom whomever", "the subject: the node, the caller", "prose"),
)

_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PROSE = {word: term for term in TERMS if term.reach == "prose" for word in term.words}
_NAMES = {word: term for term in TERMS if term.reach != "titles" for word in term.words}
_TITLES = {word: term for term in TERMS for word in term.words}


@dataclass(frozen=True)
class Use:
    """One use of a banned word."""

    at: str
    word: str
    found: str
    use: str

    def __str__(self) -> str:
        return f"{self.at}: {self.word!r} in {self.found!r}; write {self.use}"


def in_code(source: Source) -> list[Use]:
    """The banned words of one Python file: in its name, in the names that it defines, in docstrings and comments."""
    stem = source.stem.removeprefix("test_")
    uses = [*_title(source.at(1), stem), *_name(source.at(1), stem)]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            uses += _title(source.at(node.lineno), node.name)
        for line, name in _defined(node):
            uses += _name(source.at(line), name)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            uses += _text(source.path, node.lineno, node.value)
    for line, comment in source.comments:
        uses += _text(source.path, line, comment)
    return uses


def in_text(path: str, text: str) -> list[Use]:
    """The banned words of one document."""
    return [*_text(path, 1, text)]


def doubled_classes(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Public classes of one name in several files: the name, and where each is."""
    places: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(source.at(node.lineno))
    return {name: at for name, at in sorted(places.items()) if len(at) > 1}


def paired_modules(sources: Iterable[Source]) -> list[str]:
    """Modules beside each other that only the ending tells apart: `names.py` and `naming.py`.

    The pure half of a pair is `x.py`, the shell `x_actor.py` or `x_api.py`.
    """
    stems: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        stems[source.path.rpartition("/")[0]].add(source.stem)
    return [
        f"{folder}: {stem}.py beside {other}.py: name them by role, as in x.py and x_actor.py"
        for folder, names in sorted(stems.items())
        for stem in sorted(names)
        if stem.endswith("ing")
        for other in sorted(names - {stem})
        if other in _roots(stem.removesuffix("ing"))
    ]


def _roots(base: str) -> set[str]:
    shorter = {base[:-1]} if len(base) > 2 and base[-1] == base[-2] else set[str]()
    return {ending for root in {base, *shorter} for ending in (root, f"{root}e", f"{root}s", f"{root}es", f"{root}er")}


def _defined(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The names that a node defines, each with its line."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.lineno, node.name
    elif isinstance(node, ast.arg):
        yield node.lineno, node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.attr


def _title(at: str, name: str) -> Iterator[Use]:
    plain = "_".join(part.lower() for part in _PART.findall(name))
    if at.startswith("src/") and (term := _look_up(plain, _TITLES)) and not _look_up(plain, _NAMES):
        yield Use(at, plain, name, term.use)


def _name(at: str, name: str) -> Iterator[Use]:
    parts = [part.lower() for part in _PART.findall(name)]
    pairs = [f"{one}_{two}" for one, two in pairwise(parts)]
    for part in (*parts, *pairs):
        if term := _look_up(part, _NAMES):
            yield Use(at, part, name, term.use)


def _text(path: str, line: int, text: str) -> Iterator[Use]:
    for number, each in enumerate(text.splitlines(), line):
        for found in _WORD.finditer(each):
            if term := _look_up(word := found[0].lower(), _PROSE):
                yield Use(f"{path}:{number}", word, each.strip()[:80], term.use)


def _look_up(word: str, terms: Mapping[str, Term]) -> Term | None:
    """The term by which a word is banned, in the singular or the plural."""
    return terms.get(word) or terms.get(word.removesuffix("s"))
