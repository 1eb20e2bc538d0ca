"""Hosts that are network namespaces of Linux, on one bridge: for tests over a real network that a test can break.

Each host has a namespace, an address and a link to the bridge, which is in a namespace of its own, so that nothing of
the machine's network is touched.  ``why_not`` says why there can be none here: not root, no ``ip``, no permission.

    with Hosts(2) as hosts:
        process = subprocess.Popen(hosts.command(0, sys.executable, "-m", "program"))
        hosts.cut(0)
        hosts.heal(0)

Whatever happens, at the end of the ``with`` every process in a namespace is killed, and the namespaces are removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from functools import cache
from types import TracebackType
from typing import Self

NOWHERE = "02:00:00:00:00:fe"
"""An address that no network card here has."""


def _ip(*words: str) -> str:
    """Run ``ip``; raises ``CalledProcessError``, whose ``stderr`` says what it did not like."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10).stdout


@cache
def why_not() -> str | None:
    """Why no namespaces can be made here; None when they can."""
    if shutil.which("ip") is None:
        return "there is no ip (iproute2)"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    try:
        with Hosts(1):
            return None
    except (subprocess.CalledProcessError, OSError) as error:
        return f"network namespaces cannot be made here: {getattr(error, 'stderr', '') or error}".strip()


@cache
def why_no_netem() -> str | None:
    """Why ``worsen`` is not possible here; None when it is."""
    if (reason := why_not()) is not None:
        return reason
    if shutil.which("tc") is None:
        return "there is no tc (iproute2)"
    with Hosts(1) as hosts:
        try:
            hosts.worsen(0, delay_ms=1)
        except subprocess.CalledProcessError as error:
            return f"this kernel has no netem: {error.stderr}".strip()
    return None


class Hosts:
    """So many hosts, from 0 on, that all reach each other; see the top of the file."""

    def __init__(self, count: int) -> None:
        self._prefix = f"trouper-{os.getpid()}-{secrets.token_hex(2)}"
        self.count = count

    def __enter__(self) -> Self:
        try:
            self._make(self._bridge)
            _ip("-n", self._bridge, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._bridge, "link", "set", "bridge", "up")
            for host in range(self.count):
                self._add(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def address(self, host: int) -> str:
        """The address of a host."""
        return f"10.77.0.{host + 1}"

    def command(self, host: int, *words: str) -> list[str]:
        """The command line that runs these words on a host."""
        return ["ip", "netns", "exec", self._name(host), *words]

    def run(self, host: int, *words: str) -> str:
        """Run a short command on a host; returns what it printed."""
        command = self.command(host, *words)
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout

    # -- faults --------------------------------------------------------------------------------------------------------

    def cut(self, host: int) -> None:
        """Pull the plug of a host: nothing goes to it or comes from it, and it is not told."""
        _ip("-n", self._bridge, "link", "set", f"port{host}", "nomaster")

    def heal(self, host: int) -> None:
        """Put the plug in again."""
        _ip("-n", self._bridge, "link", "set", f"port{host}", "master", "bridge")

    def cut_one_way(self, source: int, target: int) -> None:
        """Lose everything from one host to another; the way back stays as it is."""
        entry = (self.address(target), "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")
        _ip("-n", self._name(source), "neigh", "replace", *entry)

    def heal_one_way(self, source: int, target: int) -> None:
        """Take back ``cut_one_way``."""
        _ip("-n", self._name(source), "neigh", "del", self.address(target), "dev", "eth0")

    def partition(self, a: int, b: int) -> None:
        """Lose everything between two hosts; others reach both."""
        self.cut_one_way(a, b)
        self.cut_one_way(b, a)

    def heal_partition(self, a: int, b: int) -> None:
        """Take back ``partition``."""
        self.heal_one_way(a, b)
        self.heal_one_way(b, a)

    def worsen(self, host: int, *, delay_ms: float = 0.0, loss_percent: float = 0.0) -> None:
        """Delay, and lose a part of, what a host sends; ``why_no_netem`` says whether this is possible."""
        netem = ("netem", "delay", f"{delay_ms}ms", "loss", f"{loss_percent}%")
        self.run(host, "tc", "qdisc", "replace", "dev", "eth0", "root", *netem)

    def give_up_connections_after(self, retries: int) -> None:
        """Let the TCP of every host give a connection up after so few retransmissions: 3 take a second or two."""
        for host in range(self.count):
            self.run(host, "sh", "-c", f"echo {retries} > /proc/sys/net/ipv4/tcp_retries2")

    # -- begin and end -------------------------------------------------------------------------------------------------

    @property
    def _bridge(self) -> str:
        return f"{self._prefix}-bridge"

    def _name(self, host: int) -> str:
        return f"{self._prefix}-{host}"

    def _make(self, name: str) -> None:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _add(self, host: int) -> None:
        name, port = self._name(host), f"port{host}"
        self._make(name)
        _ip("-n", self._bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", self._bridge, "link", "set", port, "master", "bridge", "up")
        _ip("-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")

    def _remove(self) -> None:
        """Kill what runs in the namespaces, and remove them; what was never made is passed over."""
        made = {line.split()[0] for line in _ip("netns", "list").splitlines() if line}
        for name in sorted(name for name in made if name.startswith(f"{self._prefix}-")):
            for pid in _ip("netns", "pids", name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", name)
