import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.facts import detect, load_of, read_nvidia_smi
from trouper.actors.cluster.metadata import DEVICES_MAX, Facts, Gpu, check, make_metadata


def detected(root: Path = Path("/"), gpu_s_max: float = 0.0) -> Facts:
    """The facts of a host with these files."""
    return asyncio.run(detect(root=root, gpu_s_max=gpu_s_max))


def _eight_cores(process: int) -> set[int]:
    return set(range(8))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_host_has_facts_within_the_limits() -> None:
    """They make metadata as they are; a second look sees the same host."""
    found = detected()
    check(make_metadata(found))
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
    assert found.python.endswith(".".join(map(str, sys.version_info[:3])))
    assert found.host
    assert found.boot_id == detected().boot_id != ""


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Affinity counts, and so does the quota of the control group, rounded up; one is left in any case."""
    monkeypatch.setattr(os, "sched_getaffinity", _eight_cores, raising=False)
    assert detected(tmp_path).cores == 8
    for text, cores in (("250000 100000", 3), ("max 100000", 8), ("1000 100000", 1), ("1 0", 8), ("x", 8), ("", 8)):
        _write(tmp_path / "sys/fs/cgroup/cpu.max", text)
        assert detected(tmp_path).cores == cores


def test_cores_are_counted_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not every system has it."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)  # Python 3.13's threads ask it
    assert detected(tmp_path).cores == 5


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    """A container has less than its host; no limit is the host's memory."""
    for text, expected in (("1048576", 1_048_576), ("max", psutil.virtual_memory().total)):
        _write(tmp_path / "sys/fs/cgroup/memory.max", text)
        assert detected(tmp_path).memory_bytes == expected


def test_a_host_without_files_has_a_boot_time(tmp_path: Path) -> None:
    """Where the system names no life of a host, its beginning does."""
    assert detected(tmp_path).boot_id.isdecimal()


def test_gpus_and_devices_are_read_from_the_files_of_drivers(tmp_path: Path) -> None:
    """What cannot be read is left out; names are cleaned, and so many are told."""
    _write(tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t NVIDIA H200\nIRQ: 1\n")
    _write(tmp_path / "proc/driver/nvidia/gpus/0000:02:00.0/information", "Model:\nnothing\n")
    for name in ("card0", "renderD128", "renderD129"):
        _write(tmp_path / f"sys/class/drm/{name}/dev", "")
    for number in range(40):
        _write(tmp_path / f"sys/class/infiniband/mlx5_{number:02}/node", "")
    found = detected(tmp_path)
    assert found.gpus == (Gpu(name="NVIDIA H200"),)
    assert found.devices[:2] == ("infiniband:mlx5_00", "infiniband:mlx5_01")
    assert len(found.devices) == DEVICES_MAX
    for number in range(40):
        (tmp_path / f"sys/class/infiniband/mlx5_{number:02}/node").unlink()
        (tmp_path / f"sys/class/infiniband/mlx5_{number:02}").rmdir()
    assert detected(tmp_path).devices == ("render:renderD128", "render:renderD129")


def test_what_nvidia_smi_says_is_read() -> None:
    """A name may hold a comma, and memory may be unknown."""
    output = "NVIDIA A100-SXM4-80GB, 81920\nNVIDIA GH200, 480GB, [N/A]\n\nno comma\n, 1\n"
    assert read_nvidia_smi(output) == (
        Gpu(name="NVIDIA A100-SXM4-80GB", memory_bytes=85_899_345_920),
        Gpu(name="NVIDIA GH200, 480GB"),
    )


@given(st.text())
def test_whatever_nvidia_smi_says_is_within_the_limits(output: str) -> None:
    """Warnings, errors and other text make no metadata that is refused later."""
    check(make_metadata(Facts(gpus=read_nvidia_smi(output))))
    assert len(read_nvidia_smi("a, 1\n" * 100)) == DEVICES_MAX


SAYS = "#!/bin/sh\necho 'NVIDIA H200, 143771'\n"
FAILS = "#!/bin/sh\necho 'NVIDIA H200, 1'\nexit 9\n"
HANGS = "#!/bin/sh\nexec sleep 100\n"
FLOODS = "#!/bin/sh\nexec yes 'a, 1'\n"


@pytest.mark.parametrize(
    ("program", "timeout_s", "expected"),
    [
        (SAYS, 30.0, (Gpu(name="NVIDIA H200", memory_bytes=143_771 * 2**20),)),
        (FAILS, 30.0, (Gpu(name="of the driver"),)),
        (HANGS, 0.05, (Gpu(name="of the driver"),)),
        (FLOODS, 0.2, (Gpu(name="of the driver"),)),
        ("no program", 30.0, (Gpu(name="of the driver"),)),
        (SAYS, 0.0, (Gpu(name="of the driver"),)),
    ],
)
def test_nvidia_smi_is_asked_and_may_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, timeout_s: float, expected: tuple[Gpu, ...]
) -> None:
    """One that fails, hangs, floods, or is none, is ended, and the driver's files are read instead."""
    path = tmp_path / "nvidia-smi"
    path.write_text(program)
    path.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    _write(tmp_path / "proc/driver/nvidia/gpus/0/information", "Model: of the driver\n")
    assert detected(tmp_path, timeout_s).gpus == expected
    assert not [child for child in psutil.Process().children() if "nvidia-smi" in child.name()]


def test_load_is_for_each_core_and_unknown_where_no_system_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that hosts of different sizes can be compared."""
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 1.0, 1.0))
    assert (load_of(2), load_of(0)) == (1.5, 3.0)
    monkeypatch.delattr(os, "getloadavg")
    assert load_of(2) is None
