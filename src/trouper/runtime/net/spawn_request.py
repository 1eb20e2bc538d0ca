"""Spawn requests: an actor's class is sent by its qualified name, its arguments as typed msgpack.

Law of this file: bytes from outside choose among modules that are loaded here, or that the node was told to allow;
no other module is ever imported for them, unless the node was told to accept code (``code_shipping``).  To look a name
up imports nothing and calls nothing.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, cast, get_origin, get_type_hints

import msgspec

from ..kernel.bare_actor import BareActor
from ..kernel.errors import InvalidHandler, InvalidOption, WireError
from ..kernel.executor import LOOP
from ..kernel.mailbox import Mailbox, Policy
from ..kernel.program import program_name, program_names
from ..kernel.supervision import NO_OVERRIDES, Overrides
from ..session.codec import SessionCodec
from ..session.copier import WireCopier
from .control import SpawnActor

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.ref import ActorRef, Down
    from .code_shipping import CodeShipping


SENT_LIMIT_MAX = 1_000_000
"""Messages that a mailbox may hold whose limit another node has set."""


def spawn_request(
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    shutdown_s: float | None,
    shipping: CodeShipping | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> SpawnActor:
    """Make the request to start an actor on another node.

    actor, args: as of ``Node.spawn``.  name: None makes one up.  shutdown_s: seconds it may take to stop; None for no
    limit. shipping: limits for code that no module defines; None sends none.  overrides: what is in place of the
    attributes of the class.  Raises ``InvalidOption`` for overrides that cannot be sent, ``InvalidHandler`` for an
    actor that another process cannot find by name, ``TypeError`` for too many or too few arguments, and ``WireError``
    for an argument that cannot be sent, or does not match the annotation of its parameter. The node that starts the
    actor checks all of it again.
    """
    keywords: dict[str, object] = {}
    if isinstance(actor, partial):
        part = cast("partial[object]", actor)
        actor, args, keywords = part.func, (*part.args, *args), dict(part.keywords)
    actor = get_origin(actor) or actor  # Cache[int]: its parameters are for type checkers
    wanted = qualified_name(actor)
    module, _, qualified = wanted.partition(":")
    shipped = None if shipping is None else _shipped(actor, shipping)
    if shipped is None and (find_loaded(module, qualified) is not actor or module == "__main__"):
        where = "at the top of a module"
        if module == "__main__":
            where = "in a file and run `python FILE.py`, since what came from stdin, -c or a prompt cannot be imported"
        raise InvalidHandler(
            f"{actor!r} cannot be spawned on another node: define it {where}, "
            "or let code travel by Node(code_shipping=True) on both"
        )
    if isinstance(actor, type):
        inspect.signature(actor).bind(*args, **keywords)
        _read_arguments(actor, args, keywords, WireCopier().value, qualified)
    elif args or keywords:
        raise InvalidHandler(f"{wanted} is a function: it takes messages, not the arguments {args!r}")
    return SpawnActor(
        wanted,
        cast("msgspec.Raw", list(args)),  # msgspec writes what a field holds; it is read as Raw
        cast("msgspec.Raw", keywords),
        name,
        shutdown_s,
        shipped=shipped,
        mailbox=_packed_mailbox(overrides.mailbox),
        resume=None if overrides.resume is None else tuple(map(_findable, overrides.resume)),
        executor=overrides.executor,
    )


def _packed_mailbox(mailbox: Mailbox | None) -> tuple[int, int, str, float | None] | None:
    if mailbox is None:
        return None
    if mailbox.queue is not None:
        raise InvalidOption(
            "a mailbox with a queue of its own cannot be sent to another node: set it in the actor's class"
        )
    return mailbox.high_water, mailbox.limit, mailbox.when_full, mailbox.rate_per_s


def _findable(error: type[Exception]) -> str:
    name = qualified_name(error)
    module, _, qualified = name.partition(":")
    if find_loaded(module, qualified) is not error:
        raise InvalidOption(f"resume: {error!r} cannot be found by name on another node: define it in a module")
    return name


def resolve_overrides(spawn: SpawnActor) -> Overrides:
    """Return what a request says in place of the attributes of the class; raises ``WireError`` for what it must not."""
    mailbox, resume = spawn.mailbox, spawn.resume
    try:
        return Overrides(
            None if mailbox is None else _checked_mailbox(*mailbox),
            None if resume is None else tuple(map(_exception, resume)),
            spawn.executor,
        )
    except InvalidOption as error:
        raise WireError(f"{spawn.actor} cannot be spawned so: {error}") from error


def executor_of(made: Callable[..., object], overrides: Overrides) -> str:
    """Return the executor that an actor of a request will have.  made: what ``resolve_spawn`` has returned."""
    actor = cast("partial[object]", made).func if isinstance(made, partial) else made
    return overrides.executor or cast("str", getattr(actor, "executor", LOOP))


def _checked_mailbox(high_water: int, limit: int, when_full: str, rate_per_s: float | None) -> Mailbox:
    if limit > SENT_LIMIT_MAX:
        raise InvalidOption(f"limit={limit} of a mailbox from another node must be {SENT_LIMIT_MAX} at most")
    return Mailbox(high_water, limit, cast("Policy", when_full), None, rate_per_s)


def _exception(name: str) -> type[Exception]:
    module, _, qualified = name.partition(":")
    found = find_loaded(module, qualified)
    if not isinstance(found, type) or not issubclass(found, Exception):
        raise InvalidOption(f"resume: {name!r:.200} is no class of exceptions that is loaded here")
    return found


def _shipped(actor: Callable[..., object], shipping: CodeShipping) -> bytes | None:
    from .code_shipping import is_by_value, pack  # noqa: PLC0415  only who uses it pays for it

    return pack(actor, shipping) if is_by_value(actor) else None


def resolve_spawn(
    spawn: SpawnActor, codec: SessionCodec, allowed: Collection[str], shipping: CodeShipping | None = None
) -> Callable[..., object]:
    """Return what makes the actor of a request: its class with the arguments, or its function.

    allowed: modules that may be imported.  shipping: limits for code that comes by value; None refuses it.
    Raises ``WireError`` saying what is wrong with the request.
    """
    qualified = spawn.actor.partition(":")[2]
    actor = _found(spawn, allowed) if spawn.shipped is None else _unpacked(spawn.actor, spawn.shipped, shipping)
    is_class = isinstance(actor, type) and issubclass(actor, BareActor)
    if not is_class and not isinstance(actor, FunctionType):
        raise WireError(f"{spawn.actor} is no actor class or function of this node")
    found = cast("Callable[..., object]", actor)
    what = f"the arguments of {qualified}"
    values = cast("list[msgspec.Raw]", codec.read_as(list[msgspec.Raw], spawn.args, what))
    named = cast("dict[str, msgspec.Raw]", codec.read_as(dict[str, msgspec.Raw], spawn.keywords, what))
    if not values and not named:
        return found
    if not is_class:
        raise WireError(f"{spawn.actor} is a function: it takes messages, not arguments")

    def read(annotation: object, value: object, what: str) -> object:
        return codec.read_as(annotation, cast("msgspec.Raw", value), what)

    args, keywords = _read_arguments(found, values, named, read, qualified)
    return partial(found, *args, **keywords)


def _found(spawn: SpawnActor, allowed: Collection[str]) -> object:
    module, _, qualified = spawn.actor.partition(":")
    if loaded_names(module) is None:
        if module not in allowed:
            raise WireError(
                f"the module {module!r} is not loaded here and not in allowed_modules: allow it, or import it"
            )
        importlib.import_module(module)
    return find_loaded(module, qualified)


def _unpacked(name: str, shipped: bytes, shipping: CodeShipping | None) -> object:
    if shipping is None:
        raise WireError(f"{name} came as code, which this node does not take: give it Node(code_shipping=True) too")
    from .code_shipping import unpack  # noqa: PLC0415  only who uses it pays for it

    return unpack(shipped, shipping)


def _read_arguments(
    actor: Callable[..., object],
    values: Sequence[object],
    named: Mapping[str, object],
    read_as: Callable[[object, object, str], object],
    name: str,
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Read each argument by the annotation of its parameter; a parameter without one takes any value."""
    try:
        bound = inspect.signature(actor).bind(*values, **named)
        hints = get_type_hints(getattr(actor, "__init__"), include_extras=True)  # noqa: B009  each class has its own
    except (TypeError, NameError) as error:
        raise WireError(f"{name} cannot be made from these arguments: {error}") from error

    def read(parameter: str, value: object) -> object:
        return read_as(hints.get(parameter, object), value, f"the argument {parameter!r} of {name}")

    for parameter in bound.signature.parameters.values():
        if parameter.name not in bound.arguments:
            continue
        given = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            bound.arguments[parameter.name] = tuple(read(parameter.name, value) for value in given)
        elif parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[parameter.name] = {key: read(parameter.name, value) for key, value in given.items()}
        else:
            bound.arguments[parameter.name] = read(parameter.name, given)
    return bound.args, bound.kwargs


# --- names -----------------------------------------------------------------------------------------------------------


def qualified_name(thing: object) -> str:
    """Return ``module:qualified.name`` of a class or function; ``<`` is in it if it is not at the top of a module.

    A script's ``__main__`` is named by its file's stem, as in the tags of messages, so that a process which imports the
    script agrees on the name.
    """
    module = str(getattr(thing, "__module__", "<none>"))
    if module == "__main__":
        module = program_name() or module
    return f"{module}:{getattr(thing, '__qualname__', '<none>')}"


def find_loaded(module: str, qualified: str) -> object:
    """Return what a loaded module has under a qualified name; None when it has no such thing."""
    names = loaded_names(module) or {}
    found: object = None
    for part in qualified.split("."):
        found = names.get(part)
        names = vars(found) if hasattr(found, "__dict__") else {}
    return found


def loaded_names(module: str) -> Mapping[str, object] | None:
    """Return the global names of a module that is loaded already; None when it is not."""
    if module == program_name():
        return program_names()
    loaded = sys.modules.get(module)
    return None if loaded is None else vars(loaded)


# --- owners ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Owner:
    """Watches the owner of an actor, and stops the actor when the owner ends."""

    owner: Cell
    owned: Cell

    def on_down(self, down: Down) -> None:  # noqa: ARG002  the reason does not matter
        self.owned.remove_watcher(_Owned(self.owner, self.owned))
        self.owned.request_stop()


@dataclass(frozen=True, slots=True)
class _Owned:
    """Watches an actor that has an owner: when it ends, its owner need not be watched any more."""

    owner: Cell
    owned: Cell

    def on_down(self, down: Down) -> None:  # noqa: ARG002  the reason does not matter
        self.owner.remove_watcher(_Owner(self.owner, self.owned))


def stop_with_owner(owned: ActorRef, owner: ActorRef) -> None:
    """Stop an actor when its owner ends; at once when the owner has ended already, or its node is lost."""
    one, two = owned._cell, owner._cell  # noqa: SLF001  a ref is the runtime's own
    one.add_watcher(_Owned(two, one))
    two.add_watcher(_Owner(two, one))
