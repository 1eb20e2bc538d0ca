import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trouper.actors.cluster.discovery import local
from trouper.actors.cluster.discovery.local import LocalAnnouncement, LocalDiscovery, runtime_folder
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of announcements, not made yet, in one that is private."""
    tmp_path.chmod(0o700)
    return tmp_path / "trouper" / "prices"


def test_nodes_find_each_other_while_they_live(folder: Path) -> None:
    """What is announced is found until it is taken back; the folders that were made are closed to others."""

    async def scene() -> None:
        discovery = LocalDiscovery(folder)
        assert await discovery.find() == ()
        async with LocalAnnouncement(folder, "b", ["ipc://b"]):
            async with LocalAnnouncement(folder, "a", ["ipc:///run/a", "tcp://127.0.0.1:1"]):
                assert await discovery.find() == ("ipc:///run/a", "tcp://127.0.0.1:1", "ipc://b")
                few = LocalDiscovery(folder, limits=DiscoveryLimits(endpoints_max=1))
                assert await few.find() == ("ipc:///run/a",)
            assert await discovery.find() == ("ipc://b",)
        assert await discovery.find() == ()

    asyncio.run(scene())
    assert list(folder.iterdir()) == []
    assert [place.stat().st_mode & 0o777 for place in (folder, folder.parent)] == [0o700, 0o700]


DIES = """
import asyncio, os, sys
from pathlib import Path
from trouper.actors.cluster.discovery.local import LocalAnnouncement
async def main():
    await LocalAnnouncement(Path(sys.argv[1]), "ada", ["ipc://ada"]).__aenter__()
    os._exit(0)
asyncio.run(main())
"""


def test_what_a_dead_node_left_is_removed(folder: Path) -> None:
    """A process that ended without a word is not found, and its name is free again."""
    subprocess.run([sys.executable, "-c", DIES, str(folder)], check=True)
    assert [path.name for path in folder.iterdir()] == ["ada.node"]

    assert asyncio.run(LocalDiscovery(folder).find()) == ()
    assert list(folder.iterdir()) == []
    subprocess.run([sys.executable, "-c", DIES, str(folder)], check=True)

    async def scene() -> None:
        async with LocalAnnouncement(folder, "ada", ["ipc://new"]):
            assert await LocalDiscovery(folder).find() == ("ipc://new",)

    asyncio.run(scene())


def test_a_name_is_announced_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second node of a name is refused while the first one lives, which stays as it is."""
    monkeypatch.setattr(local, "LOCK_TRIES_MAX", 2)

    async def scene() -> None:
        async with LocalAnnouncement(folder, "ada", ["ipc://one"]):
            with pytest.raises(DiscoveryFailed, match="is locked by a living node of this name: use another name"):
                await LocalAnnouncement(folder, "ada", ["ipc://two"]).__aenter__()
            assert await LocalDiscovery(folder).find() == ("ipc://one",)

    asyncio.run(scene())


def test_an_announcer_outlasts_a_finder_that_looks(folder: Path) -> None:
    """A finder that holds the file for an instant, and removes it, does not keep a node from announcing itself."""
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    path = folder / "ada.node"
    path.touch()
    finder = os.open(path, os.O_RDONLY)
    fcntl.flock(finder, fcntl.LOCK_SH)

    def ends() -> None:
        path.unlink()
        os.close(finder)

    async def scene() -> None:
        asyncio.get_running_loop().call_later(0.02, ends)
        async with LocalAnnouncement(folder, "ada", ["ipc://ada"]):
            assert await LocalDiscovery(folder).find() == ("ipc://ada",)

    asyncio.run(scene())


def test_a_folder_that_is_open_to_others_is_not_used(folder: Path) -> None:
    """Any user could announce anything there; the error says how to repair it."""
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    folder.chmod(0o770)

    async def announce() -> None:
        await LocalAnnouncement(folder, "ada", ["ipc://ada"]).__aenter__()

    for use in (LocalDiscovery(folder).find, announce):
        with pytest.raises(DiscoveryFailed, match=rf"is open to others \(mode 770\): chmod 700 {folder}$"):
            asyncio.run(use())
    folder.chmod(0o700)
    folder.parent.chmod(0o777)
    with pytest.raises(DiscoveryFailed, match=rf"chmod 700 {folder.parent}$"):
        asyncio.run(announce())


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """The user who made the link chooses where it leads."""
    folder.parent.mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiscoveryFailed, match=r"is not a folder; remove it$"):
        asyncio.run(LocalDiscovery(folder).find())


def test_what_no_node_announced_is_passed_over(folder: Path) -> None:
    """Other files, links, pipes and broken text neither hang nor fail a look, and other files stay."""

    async def scene() -> None:
        async with LocalAnnouncement(folder, "ada", ["ipc://ada"]):
            (folder / "note.txt").write_text("ipc://note")
            (folder / "link.node").symlink_to(folder / "note.txt")
            os.mkfifo(folder / "pipe.node")
            broken = folder / "broken.node"
            broken.write_bytes(b"\xff\nipc://good\nbad\n")
            with broken.open() as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                assert await LocalDiscovery(folder).find() == ("ipc://ada", "ipc://good")
            assert (folder / "note.txt").exists()

    asyncio.run(scene())


def test_names_that_lead_elsewhere_are_refused(folder: Path) -> None:
    """A name becomes that of a file, and stays in the folder."""
    for name in ("", "..", "../a", "a/b", ".a", "a\n", "a" * 129):
        with pytest.raises(DiscoveryInvalid, match="is not valid as a file name"):
            LocalAnnouncement(folder, name, [])
        with pytest.raises(DiscoveryInvalid, match="is not valid as a file name"):
            runtime_folder(name)
    with pytest.raises(DiscoveryInvalid, match=r"over 8192$"):
        LocalAnnouncement(folder, "ada", [f"ipc:///{'a' * 400}{number}" for number in range(30)])


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below the runtime folder of the session where there is one, else among temporary files by the user's number."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder("prices") == tmp_path / "trouper" / "prices"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_folder("prices").parts[-2:] == (f"trouper-{os.getuid()}", "prices")
    assert LocalDiscovery(tmp_path).describe() == f"this user's nodes on this host ({tmp_path})"
