"""``ExtensionManager``: the extensions of one node, in the order in which they require one another."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from ..kernel.errors import ActorError, ActorStopped, CallerError, InvalidOption, Unhandled
from .extension import AnyExtension, Extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.message import Message
    from ..net.peer import Peer
    from ..net.request_handlers import RequestHandlers
    from ..session.identity import Allow
    from .extension_run import ExtensionInfo, ExtensionRun
    from .node_base import NodeBase
    from .opening import NetworkOptions

E = TypeVar("E", bound="AnyExtension")


EXTENSIONS_GROUP = "trouper.extensions"
"""The group of entry points by which a package that is installed offers its extension classes, each by a name."""


def installed_extension(name: str) -> type[AnyExtension]:
    """Return the extension class that an installed package offers by a name; raises ``InvalidOption``."""
    from importlib.metadata import entry_points  # noqa: PLC0415  only a name needs it, and it takes milliseconds

    offered = {point.name: point for point in entry_points(group=EXTENSIONS_GROUP)}
    point = offered.get(name)
    if point is None:
        known = ", ".join(sorted(offered)) or "none"
        raise InvalidOption(f"no installed package offers an extension {name!r}; offered are: {known}")
    try:
        found = cast("object", point.load())
    except Exception as error:  # an import runs code of others, which may raise anything
        raise InvalidOption(f"the extension {name!r} is {point.value}, which cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Extension)):
        raise InvalidOption(f"the extension {name!r} is {point.value}, which is no Extension class")
    return found  # pyright: ignore[reportUnknownVariableType]  its settings are of whatever type


def extension_of_parent(name: str, settings: bytes) -> AnyExtension:
    """Make an extension in a worker, as ``ExtensionManager.for_workers`` of its parent describes it.

    Raises ``InvalidOption`` for a class that is not at the top of a module, and what importing its module raises.
    """
    from importlib import import_module  # noqa: PLC0415  only a worker needs it

    from ..kernel.untrusted import decode_untrusted  # noqa: PLC0415  as above
    from ..net.spawn_request import find_loaded, loaded_names  # noqa: PLC0415  as above

    module, _, qualified = name.partition(":")
    if loaded_names(module) is None:
        import_module(module)
    found = find_loaded(module, qualified)
    if not (isinstance(found, type) and issubclass(found, Extension)):
        raise InvalidOption(f"a worker cannot run the extension {name}: define its class at the top of a module")
    kind: type[AnyExtension] = found  # pyright: ignore[reportUnknownVariableType]  its settings are of any type
    wanted = kind.__settings_type__
    if wanted is None:
        return kind()
    return kind(decode_untrusted(msgspec.msgpack.Decoder(wanted).decode, settings, f"the settings of {name}"))


class ExtensionManager:
    """Declares, starts and stops the extensions of one node."""

    handlers: RequestHandlers
    """The requests that the node serves to its peers; on a node without a network, to itself."""

    def __init__(self, node: NodeBase) -> None:
        self.node = node
        self._runs: dict[type[AnyExtension], ExtensionRun] = {}

    def add(self, extension: AnyExtension | type[AnyExtension] | str) -> None:
        """Declare an extension; nothing of it is called yet.

        extension: an instance; or a class, or the name of an installed one, for its default settings.
        Raises ``InvalidOption`` for a class without a name, a name that another extension of the node has, an instance
        that belongs to a node already, and settings that are missing.
        """
        from .extension_run import ExtensionRun  # noqa: PLC0415  a node without extensions needs none of it

        if isinstance(extension, str):
            extension = installed_extension(extension)
        given = cast("object", extension)  # a caller without a type checker may pass anything
        if not (isinstance(given, Extension) or (isinstance(given, type) and issubclass(given, Extension))):
            raise InvalidOption(f"extensions: {given!r} is no Extension: pass instances or classes of one")
        made = extension() if isinstance(extension, type) else extension
        kind = type(made)
        if not kind.name:
            raise InvalidOption(f'{kind.__qualname__} has no name: write `class {kind.__name__}(..., name="...")`')
        other = self.find(kind.name)
        if other is not None:
            raise InvalidOption(
                f"{type(other).__qualname__} and {kind.__qualname__} both have the name {kind.name!r} on node "
                f"{self.node.name}: leave one of them out"
            )
        self._runs[kind] = run = ExtensionRun(self, made)
        made.__bind__(run)

    def get(self, kind: type[E]) -> E:
        """Return the extension of a class, or the only one of a subclass; raises ``InvalidOption`` for none."""
        run = self._runs.get(kind) or self._of_subclass(kind)
        if run is None:
            known = ", ".join(run.extension.name for run in self._runs.values()) or "none"
            raise InvalidOption(
                f"node {self.node.name} has no extension {kind.__qualname__}: give it to Node(extensions=[...]); "
                f"its extensions: {known}"
            )
        return cast("E", run.extension)

    def find(self, name: str) -> AnyExtension | None:
        """Return the extension of a name; None when the node has none."""
        return next((run.extension for run in self._runs.values() if run.extension.name == name), None)

    def _of_subclass(self, kind: type[AnyExtension]) -> ExtensionRun | None:
        found = [run for known, run in self._runs.items() if issubclass(known, kind)]
        return found[0] if len(found) == 1 else None

    def infos(self) -> list[ExtensionInfo]:
        """Return what each extension does now, in the order of their starts."""
        return [run.info for run in self._in_order()]

    def for_workers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the extensions that run on workers too: the name of each class, and its settings in msgpack."""
        from ..net.spawn_request import qualified_name  # noqa: PLC0415  only a node with workers needs it

        return tuple(
            (qualified_name(kind), msgspec.msgpack.encode(run.extension.settings_for_workers()))
            for kind, run in self._runs.items()
            if kind.on_workers
        )

    # --- the node's start and end ------------------------------------------------------------------------------------

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Return the options of the network, as the extensions want them; raises ``InvalidOption``."""
        for run in self._in_order():
            options = run.extension.network_options(options)
        return options

    async def start(self) -> None:
        """Start the extensions that are not dormant; one that fails is reported, and started again later.

        Raises the ``CallerError`` of an extension whose settings are wrong, and any error of an essential one.
        """
        from ..net.request_handlers import RequestHandlers  # noqa: PLC0415  a node without extensions needs none of it

        self.handlers = self.node.network.request_handlers if self.node.has_network else RequestHandlers()
        runs = self._in_order()
        for run in runs:
            if run.extension.starts_on:
                self.serve_while_away(run, run.extension.starts_on)
        for run in runs:
            if run.extension.starts_on is None:
                try:
                    await run.ready()
                except CallerError:
                    raise
                except ActorError:
                    if run.extension.essential:
                        raise

    async def stop(self) -> None:
        """Stop the extensions, each before those that it requires."""
        for run in reversed(self._in_order()):
            await run.stop()

    def release(self) -> None:
        """Have the extensions release what they hold; a failure of one is reported."""
        for run in reversed(list(self._runs.values())):
            try:
                run.extension.release()
            except Exception as error:  # noqa: BLE001  one that fails must not keep the others from it
                self.node.reports.problem(f"extension {run.extension.name} failed in release()", error)

    # --- requirements ------------------------------------------------------------------------------------------------

    def _in_order(self) -> Sequence[ExtensionRun]:
        """Return the extensions, each after those that it requires; raises ``InvalidOption`` when one is missing."""
        ordered: dict[type[AnyExtension], ExtensionRun] = {}

        def add(run: ExtensionRun) -> None:
            if type(run.extension) in ordered:
                return
            for required in self._required(run):
                add(required)
            ordered[type(run.extension)] = run

        for run in self._runs.values():
            add(run)
        return list(ordered.values())

    def _required(self, run: ExtensionRun) -> list[ExtensionRun]:
        found: list[ExtensionRun] = []
        for kind in run.extension.requires:
            required = self._runs.get(kind) or self._of_subclass(kind)
            if required is None:
                raise InvalidOption(
                    f"the extension {run.extension.name} requires {kind.__qualname__}, which node {self.node.name} "
                    "does not have: give it to the node too"
                )
            found.append(required)
        return found

    async def start_required(self, run: ExtensionRun) -> None:
        """Start what an extension requires, and wait until it runs; raises what ``Extension.ready`` raises."""
        for required in self._required(run):
            await required.ready()

    async def interrupt_dependents(self, run: ExtensionRun) -> None:
        """Stop those that require an extension, since it stops; they start again once it runs."""
        dependents = [other for other in self._runs.values() if run in self._required(other)]
        await asyncio.gather(*(dependent.interrupt() for dependent in dependents))

    # --- requests ----------------------------------------------------------------------------------------------------

    def serve_while_away(self, run: ExtensionRun, types: Mapping[type, Allow]) -> None:
        """Have the first message of these types start an extension, or wait for its next start."""

        async def handle(message: Message[Any], peer: Peer) -> object:  # Any: of whatever reply
            await self._wait_until_ready(run, type(message))
            served = self.handlers.get(type(message))
            reply = None if served is None else served.handler(message, peer)
            return await reply if inspect.iscoroutine(reply) else reply

        handler: Callable[[Any, Peer], object] = handle  # Any: as above
        wanted: dict[type, Allow] = {**types, **(run.extension.starts_on or {})}
        for type_, allow in wanted.items():
            if self.handlers.get(type_) is None:
                self.handlers.serve(type_, handler, owner=run.extension.name, allow=allow, starting=True)

    async def _wait_until_ready(self, run: ExtensionRun, type_: type) -> None:
        """Wait until an extension serves a type; raises ``ActorStopped`` when it does not start in time."""
        try:
            async with asyncio.timeout(run.limit_s):
                await run.ready()
        except TimeoutError as error:
            raise ActorStopped(
                f"extension {run.extension.name} of node {self.node.name} does not run: {run.error or run.state}"
            ) from error
        served = self.handlers.get(type_)
        if served is None or served.starting:
            raise Unhandled(
                f"extension {run.extension.name} of node {self.node.name} serves no {type_.__qualname__} any more"
            )

    def forget_not_served(self, run: ExtensionRun) -> None:
        """Serve those types no more that an extension has not served at its present start."""
        for type_ in list(self.handlers):
            served = self.handlers.get(type_)
            if served is not None and served.starting and served.owner == run.extension.name:
                self.handlers.unserve(type_, owner=run.extension.name)

    def serve_own(self, message: Message[Any]) -> object:  # Any: of whatever reply
        """Handle a message that this node sends to itself; returns the reply, or a coroutine that does.

        Raises ``Unhandled`` when no extension serves its type.
        """
        served = self.handlers.get(type(message))
        run = None
        if served is not None:
            run = next((run for run in self._runs.values() if run.extension.name == served.owner), None)
        if served is None or run is None:
            raise Unhandled(f"node {self.node.name} was itself sent a {type(message).__qualname__}, which none serves")
        if served.starting or run.context is None:
            return self._serve_own_later(run, message)
        return run.context.serve_own(message)

    async def _serve_own_later(self, run: ExtensionRun, message: Message[Any]) -> object:  # Any: as above
        await self._wait_until_ready(run, type(message))
        reply = self.serve_own(message)
        return await reply if inspect.iscoroutine(reply) else reply
