"""``Extension``: a feature of a node, with actors of its own and requests that it serves to other nodes.

The guide is ``docs/guides/extensions.md``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast, get_args, get_origin

import msgspec

from ..kernel.address import checked_name
from ..kernel.errors import InvalidOption, NodeClosed
from ..kernel.supervision import OneForOne, Strategy

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ..session.identity import Allow
    from .extension_run import ExtensionRun
    from .node_context import NodeContext
    from .opening import NetworkOptions

    SettingsT = TypeVar("SettingsT", default=None)
else:
    from typing import TypeVar

    SettingsT = TypeVar("SettingsT")

LIMIT_S = 10.0
"""Seconds that ``start`` and ``stop`` of an extension may take, by default."""


class Extension(Generic[SettingsT]):
    """A feature of a node.  Subclass it, and give it to a node: ``Node(extensions=[RateLimiter(Limits(5.0))])``.

        class RateLimiter(Extension[Limits], name="rate_limiter"):
            async def start(self, ctx: NodeContext) -> None:
                self.bucket = await ctx.spawn(Bucket, self.settings.rate_per_s)

    The type argument is the type of ``settings``, a ``msgspec.Struct``; without one there are no settings.
    Class keywords, which are inherited but for ``name``:

    name: unique among the extensions of a node.  The extension's actors are under ``/system/NAME``.  A class without a
        name is a base for others, and cannot be given to a node.
    requires: extension classes.  This one starts after those, and stops before them.
    on_workers: True gives the worker processes of the node this extension too, with the same settings.
    essential: True ends the start of the node when the extension's first start fails, and fails the node when the
        extension fails later, in place of a restart.
    limit_s: seconds that ``start`` may take, and ``stop``; then it is cancelled, and counts as failed.  inf: no limit.
    starts_on: None starts the extension with its node.  A mapping keeps it dormant until the first ``await ready()``,
        or the first message of one of these types from a peer that has the role which is given for the type.

    settings: None is ``Settings()``, with the default of each field.
    Raises ``InvalidOption`` for settings of another type, and when a field has no default.
    """

    name: ClassVar[str] = ""
    requires: ClassVar[tuple[type[Extension[Any]], ...]] = ()  # Any: extensions with whatever settings
    on_workers: ClassVar[bool] = False
    essential: ClassVar[bool] = False
    limit_s: ClassVar[float] = LIMIT_S
    starts_on: ClassVar[Mapping[type, Allow] | None] = None
    settings: SettingsT
    supervision: Strategy = OneForOne()
    """How the actors that the extension spawns are restarted; an instance may have another one."""
    __settings_type__: ClassVar[type[msgspec.Struct] | None] = None
    __run: ExtensionRun | None = None

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        requires: Sequence[type[Extension[Any]]] | None = None,  # Any: as above
        on_workers: bool | None = None,
        essential: bool | None = None,
        limit_s: float | None = None,
        starts_on: Mapping[type, Allow] | None = None,
        **options: object,
    ) -> None:
        super().__init_subclass__(**options)
        cls.name = checked_name(name) if name else ""
        cls.requires = cls.requires if requires is None else tuple(requires)
        cls.on_workers = cls.on_workers if on_workers is None else on_workers
        cls.essential = cls.essential if essential is None else essential
        cls.limit_s = cls.limit_s if limit_s is None else limit_s
        cls.starts_on = cls.starts_on if starts_on is None else dict(starts_on)
        cls.__settings_type__ = _settings_type(cls) or cls.__settings_type__
        _check_class(cls)

    def __init__(self, settings: SettingsT | None = None) -> None:
        self.settings = cast("SettingsT", _checked_settings(type(self), settings))

    # --- what a subclass overrides -----------------------------------------------------------------------------------

    async def start(self, ctx: NodeContext) -> None:
        """Spawn actors, serve requests, subscribe.  Called again on the same instance after a failure.

        An error, or more than ``limit_s`` seconds, undoes what was done by ``ctx``, is reported, and lets the extension
        start again after a delay.  ``stop`` is not called then.
        """

    async def stop(self) -> None:
        """Finish, while the actors of the extension still run; after a failure it is called when they have ended.

        What was spawned, served and subscribed by ``ctx`` needs no care here: it ends by itself after this.
        """

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Return the options with which the node opens its network; called before it does, and before ``start``.

        An error ends the start of the node: raise ``InvalidOption`` where the extension cannot be used.
        """
        return options

    def settings_for_workers(self) -> SettingsT:
        """Return the settings that the extension has on the workers of the node, with ``on_workers``; its own here."""
        return self.settings

    def release(self) -> None:
        """Release files and sockets, as the last step of the node's shutdown; called also where ``start`` was not."""

    # --- what its users call -----------------------------------------------------------------------------------------

    @property
    def context(self) -> NodeContext:
        """What ``start`` was given; raises ``NodeClosed`` while the extension does not run."""
        run = self.__run
        if run is None or run.context is None:
            raise NodeClosed(f"the extension {self.name} does not run: await its ready() on a started node first")
        return run.context

    async def ready(self) -> None:
        """Start the extension, if it is dormant, and wait until it runs.

        Raises what ``start`` raises for a wrong setting (a ``CallerError``), ``StartFailed`` for any other error of
        it, and ``NodeClosed`` when no running node has this extension.
        """
        if self.__run is None:
            raise NodeClosed(f"the extension {self.name} belongs to no node: give it to Node(extensions=[...])")
        await self.__run.ready()

    def __bind__(self, run: ExtensionRun) -> None:
        """Give this instance to a node; raises ``InvalidOption`` when a node has it already."""
        if self.__run is not None:
            raise InvalidOption(f"this {type(self).__qualname__} belongs to a node already: make one for each node")
        self.__run = run

    def __repr__(self) -> str:
        state = "without a node" if self.__run is None else self.__run.state
        return f"<{type(self).__qualname__} {self.name}: {state}>"


AnyExtension = Extension[Any]  # Any: an extension with whatever settings


def _settings_type(cls: type) -> type[msgspec.Struct] | None:
    """Return the type argument of the base ``Extension[...]``; None when the class does not name one."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Extension):
            argument: object = get_args(base)[0]
            if isinstance(argument, type) and issubclass(argument, msgspec.Struct):
                return argument
            if argument is not type(None) and not isinstance(argument, TypeVar):
                raise InvalidOption(f"{cls.__qualname__}: the settings {argument!r} must be a msgspec.Struct")
    return None


def _check_class(cls: type[AnyExtension]) -> None:
    where = cls.__qualname__
    for required in cls.requires:
        given = cast("object", required)  # a caller without a type checker may pass anything
        if not (isinstance(given, type) and issubclass(given, Extension)):
            raise InvalidOption(f"{where}: requires={required!r} must be an Extension class")
    if not cls.limit_s > 0:
        raise InvalidOption(f"{where}: limit_s={cls.limit_s} must be above 0")
    for hook in (cls.start, cls.stop):
        if not inspect.iscoroutinefunction(hook):
            raise InvalidOption(f"{where}: make {hook.__name__} `async def`")


def _checked_settings(cls: type[AnyExtension], given: object) -> object:
    wanted = cls.__settings_type__
    if wanted is None:
        if given is not None:
            raise InvalidOption(f"{cls.__qualname__} has no settings, and was given {given!r}")
        return None
    if given is None:
        try:
            return wanted()
        except TypeError as error:
            raise InvalidOption(f"{cls.__qualname__} needs settings: pass a {wanted.__qualname__}") from error
    if not isinstance(given, wanted):
        raise InvalidOption(f"{cls.__qualname__} takes a {wanted.__qualname__} as its settings, not {given!r}")
    return given
