import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import play, until
from trouper.runtime.session.transport import EndpointInvalid
from trouper.transports.folders import make_private, why_replaceable
from trouper.transports.keys import KeyRing, KeysInvalid, make_cluster_keys
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq import wire as wire_module

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to other users")
STRANGER = 12_345


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_folders_are_made_private_whatever_the_umask_is(tmp_path: Path) -> None:
    """Those above the keys and the sockets too, since others could replace what they may write to."""
    make_private(tmp_path / "a" / "b" / "c")
    make_cluster_keys(tmp_path / "d" / "keys")
    made = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert len(made) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


def test_a_folder_that_another_user_could_replace_is_named(tmp_path: Path) -> None:
    """One above it is open to others; with the sticky bit they can add to it, and replace nothing."""
    above = tmp_path / "above"
    make_private(above / "mine")
    assert why_replaceable(above / "mine") is None
    above.chmod(0o777)
    assert why_replaceable(above / "mine") == f"others can change {above} (mode 777)"
    above.chmod(0o1777)
    assert why_replaceable(above / "mine") is None


def test_keys_below_a_folder_that_others_can_change_are_refused(tmp_path: Path) -> None:
    """The error names that folder."""
    above = tmp_path / "above"
    make_cluster_keys(above / "keys")
    above.chmod(0o777)
    with pytest.raises(
        KeysInvalid, match=rf"^another user could replace .*, since others can change {above} \(mode 777\)"
    ):
        KeyRing.load(above / "keys")


@as_root
def test_links_and_folders_of_another_user_are_refused(tmp_path: Path) -> None:
    """Where the link leads to makes no difference: its owner can turn it at any time."""
    make_private(tmp_path / "mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "mine")
    assert why_replaceable(link) is None, "it is a link of this user"
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    assert why_replaceable(link) == f"{link} is a link of user {STRANGER}"
    make_private(tmp_path / "theirs" / "mine")
    make_cluster_keys(tmp_path / "theirs" / "keys")
    os.chown(tmp_path / "theirs", STRANGER, STRANGER)
    assert why_replaceable(tmp_path / "theirs" / "mine") == f"{tmp_path / 'theirs'} belongs to user {STRANGER}"
    with pytest.raises(KeysInvalid, match=f"belongs to user {STRANGER}: use another$"):
        KeyRing.load(tmp_path / "theirs" / "keys")


@as_root
def test_a_wire_greets_no_socket_in_a_folder_that_has_become_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is missing when the wire is made, and another user makes it before a node listens there."""
    monkeypatch.setattr(wire_module, "RETRY_MAX_S", 0.1)
    folder, theirs = tmp_path / "trouper", tmp_path / "theirs"
    theirs.mkdir(mode=0o700)

    async def scene() -> None:
        thief, b = Owner(), Owner()
        sender, impostor, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(thief), ZeroMQTransport(b)
        wire = sender.connect(f"ipc://{folder}/a")
        wire.send_nowait([b"confidential"])
        await impostor.listen(f"ipc://{theirs}/a")
        folder.symlink_to(theirs)
        os.chown(folder, STRANGER, STRANGER, follow_symlinks=False)
        with pytest.raises(EndpointInvalid, match=f"since {folder} is a link of user {STRANGER}: use another$"):
            sender.connect(f"ipc://{folder}/b")
        await until(lambda: sender.rejections.counts["dial_failed"] >= 1)
        assert thief.frames == []
        await impostor.close()
        folder.unlink()
        await receiver.listen(f"ipc://{folder}/a")
        await b.until_frames(1)
        assert thief.frames == []
        for transport in (sender, receiver):
            await transport.close()

    play(scene)
