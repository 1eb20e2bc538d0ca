"""Detects the facts of a node's host: cores, memory, GPUs, devices, versions.

A fact that cannot be detected keeps its default; nothing is raised.  GPUs are listed by ``nvidia-smi`` or by the files
of the driver; no GPU library is loaded, which would take memory on each GPU.
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
"""The time limit of ``nvidia-smi``; it wakes sleeping devices, which takes seconds."""
OUTPUT_BYTES_MAX: Final = 65_536
"""The most output of ``nvidia-smi``, and the most bytes read of a file of the system."""
_DEVICES: Final = (
    ("infiniband", "sys/class/infiniband"),
    ("accelerator", "sys/class/accel"),
    ("kfd", "sys/class/kfd/kfd/topology/nodes"),
    ("render", "sys/class/drm"),
)
"""The kinds of devices, and the system's folders that list them."""


async def detect(*, root: Path = Path("/"), gpu_s_max: float = GPU_S_MAX) -> Facts:
    """Return the facts of this host.

    root: the root of the system's files, for tests.  gpu_s_max: the time limit of ``nvidia-smi``; 0 does not run it.
    """
    gpus = await _ask_nvidia_smi(gpu_s_max) if gpu_s_max > 0 else None
    return await asyncio.to_thread(_detect, root, gpus)


def read_nvidia_smi(output: str) -> tuple[Gpu, ...]:
    """Return the GPUs of lines of ``name, memory in MiB``, as ``--format=csv,noheader,nounits`` writes them."""
    gpus: list[Gpu] = []
    for line in output.splitlines():
        name, comma, mebibytes = line.rpartition(",")
        name, mebibytes = _cleaned(name), mebibytes.strip()
        if comma and name and len(gpus) < DEVICES_MAX:
            known = mebibytes.isascii() and mebibytes.isdecimal() and len(mebibytes) < 12  # it may say [N/A]
            gpus.append(Gpu(name=name, memory_bytes=int(mebibytes) * 2**20 if known else 0))
    return tuple(gpus)


async def _ask_nvidia_smi(timeout_s: float) -> tuple[Gpu, ...] | None:
    """Return the GPUs that it lists; None when it is not installed, fails, or takes too long."""
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
    assert process.stdout is not None, "a pipe was requested"
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
            # The process is reaped once its pipe is at the end, so the rest is read and dropped.
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
    """Return the runnable work for each core, over the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0] / max(1, cores)
    except (AttributeError, OSError):  # not on every system
        return None


def _cores(root: Path) -> int:
    """Return the cores that this process may use, by its affinity and the quota of its control group."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    quota, _, period = _text(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        count = min(count, -(-int(quota) // int(period)))
    return max(count, 1)


def _memory_bytes(root: Path) -> int:
    """Return the memory of the host, or the limit of the control group if it is lower."""
    import psutil  # noqa: PLC0415  `import trouper` does not pay for it

    total = psutil.virtual_memory().total
    limit = _text(root / "sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit.isdecimal() else total


def _driver_gpus(root: Path) -> tuple[Gpu, ...]:
    """Return the GPUs that the files of NVIDIA's driver list, without their memory."""
    found: list[Gpu] = []
    for folder in _entries(root / "proc/driver/nvidia/gpus"):
        for line in _text(folder / "information").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model" and _cleaned(value):
                found.append(Gpu(name=_cleaned(value)))
    return tuple(found[:DEVICES_MAX])


def _devices(root: Path) -> tuple[str, ...]:
    """Return accelerators and network devices, as ``KIND:NAME``."""
    found = [
        _cleaned(f"{kind}:{entry.name}")
        for kind, folder in _DEVICES
        for entry in _entries(root / folder)
        if kind != "render" or entry.name.startswith("renderD")
    ]
    return tuple(found[:DEVICES_MAX])


def _boot_time() -> str:
    """Return the time of the host's start, where the system has no boot id."""
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
    """Return the text of a small file of the system; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _cleaned(text: str) -> str:
    """Return a text of the system in the form that metadata allows."""
    return "".join(sign for sign in text.strip() if sign.isprintable())[:DEVICE_CHARS_MAX]
