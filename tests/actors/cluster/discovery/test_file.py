import asyncio
import os
from pathlib import Path

import pytest

from trouper.actors.cluster.discovery.file import FileDiscovery
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryLimits


def test_a_changed_file_changes_what_is_found(tmp_path: Path) -> None:
    """The file is read anew at each call."""
    path = tmp_path / "seeds"
    discovery = FileDiscovery(path)
    path.write_text("tcp://a:1  # the first\n")
    assert asyncio.run(discovery.find()) == ("tcp://a:1",)
    path.write_text("tcp://b:1\n")
    assert asyncio.run(discovery.find()) == ("tcp://b:1",)


def test_bad_lines_are_named_and_the_others_carried(tmp_path: Path) -> None:
    """A typing error in one line does not keep a node from its cluster."""
    path = tmp_path / "seeds"
    path.write_text("tcp://a:1\nb\n")
    with pytest.raises(DiscoveryFailed, match=rf"^the file {path}: line 2: 'b' is not an endpoint") as caught:
        asyncio.run(FileDiscovery(path).find())
    assert caught.value.endpoints == ("tcp://a:1",)


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    """Missing, a folder, a pipe without a writer, an impossible name: each is said, none hangs."""
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "none": "No such file or directory",
        tmp_path: "Is a directory|is not a regular file",
        tmp_path / "pipe": "is not a regular file",
        tmp_path / "a\0b": "null",
    }
    for path, problem in cases.items():
        with pytest.raises(DiscoveryFailed, match=problem):
            asyncio.run(FileDiscovery(path).find())


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    """A file of another kind is not read into memory."""
    path = tmp_path / "seeds"
    path.write_bytes(b"#" * 11)
    with pytest.raises(DiscoveryFailed, match=r"has more than 10 bytes \(text_bytes_max\)"):
        asyncio.run(FileDiscovery(path, limits=DiscoveryLimits(text_bytes_max=10)).find())
    assert asyncio.run(FileDiscovery(path, limits=DiscoveryLimits(text_bytes_max=11)).find()) == ()


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    """A file in another encoding is a bad line, and no crash."""
    path = tmp_path / "seeds"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(DiscoveryFailed, match="line 1"):
        asyncio.run(FileDiscovery(path).find())
