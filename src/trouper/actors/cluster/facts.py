"""Detecting the facts of a node's host: cores, memory, GPUs, devices, versions.

Nothing here raises for what cannot be found out: it stays at its default.  GPUs are asked of ``nvidia-smi`` or read
from the driver's files; no library of theirs is loaded, which would take memory on each of them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from .metadata import DEVICE_CHARS_MAX, DEVICES_MAX, Facts, Gpu

GPU_S_MAX: Final = 5.0
"""How long ``nvidia-smi`` may take; it wakes sleeping devices, which takes seconds."""
OUTPUT_BYTES_MAX: Final = 65_536
"""Of what ``nvidia-smi`` says, and of a file of the system."""
_DEVICES: Final = (
    ("infiniband", "sys/class/infiniband"),
    ("accelerator", "sys/class/accel"),
    ("kfd", "sys/class/kfd/kfd/topology/nodes"),
    ("render", "sys/class/drm"),
)
"""Kinds of devices, and the folders of the system that list them."""


async def detect(*, root: Path = Path("/"), gpu_s_max: float = GPU_S_MAX) -> Facts:
    """Detect the facts of this host.

    root: where the system's files are, for tests.  gpu_s_max: how long ``nvidia-smi`` may take; 0 does not ask it.
    """
    gpus = await _ask_nvidia_smi(gpu_s_max) if gpu_s_max > 0 else None
    return await asyncio.to_thread(_detect, root, gpus)


def read_nvidia_smi(output: str) -> tuple[Gpu, ...]:
    """Read lines of ``name, memory in MiB``, as ``nvidia-smi --format=csv,noheader,nounits`` writes them."""
    gpus: list[Gpu] = []
    for line in output.splitlines():
        name, comma, mebibytes = line.rpartition(",")
        name, mebibytes = _cleaned(name), mebibytes.strip()
        if comma and name and len(gpus) < DEVICES_MAX:
            known = mebibytes.isascii() and mebibytes.isdecimal() and len(mebibytes) < 12  # it may say [N/A]
            gpus.append(Gpu(name=name, memory_bytes=int(mebibytes) * 2**20 if known else 0))
    return tuple(gpus)


async def _ask_nvidia_smi(timeout_s: float) -> tuple[Gpu, ...] | None:
    """What it says; None when there is none, it fails, or takes too long."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--query-gpu=name,memory.total",
            "--format=csv,noheader,nounits",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    assert process.stdout is not None, "it was asked for"
    try:
        async with asyncio.timeout(timeout_s):
            output = b""
            while len(output) < OUTPUT_BYTES_MAX and (more := await process.stdout.read(OUTPUT_BYTES_MAX)):
                output += more
            failed = await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            # The wait ends when the pipe has, and that when it has been read: here by a reader that keeps nothing.
            while await process.stdout.read(OUTPUT_BYTES_MAX):
                pass
            await process.wait()
    return None if failed else read_nvidia_smi(output.decode("utf-8", "replace"))


def _detect(root: Path, gpus: tuple[Gpu, ...] | None) -> Facts:
    return Facts(
        cores=_cores(root),
        memory_bytes=_memory_bytes(root),
        gpus=_driver_gpus(root) if gpus is None else gpus,
        devices=_devices(root),
        host=_cleaned(socket.gethostname()),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id") or _boot_time(),
        system=_cleaned(f"{platform.system()} {platform.release()} {platform.machine()}"),
        python=_cleaned(f"{platform.python_implementation()} {platform.python_version()}"),
        trouper=_trouper_version(),
    )


def load_of(cores: int) -> float | None:
    """Return the runnable work for each of so many cores, over the last minute; None where no system tells."""
    try:
        return os.getloadavg()[0] / max(1, cores)
    except (AttributeError, OSError):  # not on every system
        return None


def _cores(root: Path) -> int:
    """The cores of this process: those of its affinity, and no more than its control group pays for."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    quota, _, period = _text(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        count = min(count, -(-int(quota) // int(period)))
    return max(count, 1)


def _memory_bytes(root: Path) -> int:
    """The memory of the host, or what the control group leaves of it."""
    import psutil  # noqa: PLC0415  `import trouper` does not pay for it

    total = psutil.virtual_memory().total
    limit = _text(root / "sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit.isdecimal() else total


def _driver_gpus(root: Path) -> tuple[Gpu, ...]:
    """The GPUs that the driver of NVIDIA lists in files, without their memory."""
    found: list[Gpu] = []
    for folder in _entries(root / "proc/driver/nvidia/gpus"):
        for line in _text(folder / "information").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model" and _cleaned(value):
                found.append(Gpu(name=_cleaned(value)))
    return tuple(found[:DEVICES_MAX])


def _devices(root: Path) -> tuple[str, ...]:
    """Other devices that compute or connect, as ``KIND:NAME``."""
    found = [
        _cleaned(f"{kind}:{entry.name}")
        for kind, folder in _DEVICES
        for entry in _entries(root / folder)
        if kind != "render" or entry.name.startswith("renderD")
    ]
    return tuple(found[:DEVICES_MAX])


def _boot_time() -> str:
    """When the host started, which tells two of its lives apart where the system gives them no name."""
    import psutil  # noqa: PLC0415  `import trouper` does not pay for it

    return f"{psutil.boot_time():.0f}"


def _trouper_version() -> str:
    try:
        return version("trouper")
    except PackageNotFoundError:
        return ""  # run from its sources


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """A small file of the system; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _cleaned(text: str) -> str:
    """A text of the system as metadata takes it."""
    return "".join(sign for sign in text.strip() if sign.isprintable())[:DEVICE_CHARS_MAX]
