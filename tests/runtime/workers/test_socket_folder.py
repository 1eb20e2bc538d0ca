"""The folder of the sockets: private, removed, and removed later when every process was killed."""

import stat
from pathlib import Path

import pytest

from trouper.runtime.workers.socket_folder import LOCK, PREFIX, SocketFolder


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_folder_is_private_and_removed_with_what_is_in_it(tmp_path: Path) -> None:
    """No other user can enter it, and nothing of it is left."""
    made = SocketFolder()
    assert made.path.parent == tmp_path
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert made.endpoint("worker-1") == f"ipc://{made.path}/worker-1"
    (made.path / "worker-1").touch()
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_node_is_gone_is_swept_and_one_in_use_is_not(tmp_path: Path) -> None:
    """A lock tells them apart; another folder, a link to one, or one that is being created, is left alone."""
    (tmp_path / "else").mkdir()
    (tmp_path / f"{PREFIX}new").mkdir()
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / LOCK).touch()
    (tmp_path / "else" / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "else")
    used = SocketFolder()
    again = SocketFolder()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["else", f"{PREFIX}new", f"{PREFIX}link", used.path.name, again.path.name]
    )
    assert (tmp_path / "else" / LOCK).exists()
    used.remove()
    again.remove()


def test_without_a_runtime_folder_it_is_among_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the runtime folder is set and does not exist."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = SocketFolder()
    assert made.path.parent == tmp_path
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_where_the_usual_folder_is_too_deep_for_a_socket_it_is_in_tmp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a Unix socket ends at about 100 bytes, and the folders of batch systems are longer."""
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    made = SocketFolder()
    assert made.path.parent == Path("/tmp")
    made.remove()
