import stat
from pathlib import Path

from click.testing import CliRunner

from trouper.cli.commands import trouper
from trouper.transports.keys import KeyRing


def test_keys_are_made_in_a_private_folder(tmp_path: Path) -> None:
    """`trouper keygen FOLDER` prints what it wrote, which is what a node loads; the secret is not printed."""
    folder = tmp_path / "keys"
    result = CliRunner().invoke(trouper, ["keygen", str(folder)])
    assert (result.exit_code, result.output) == (0, f"{folder}/cluster.key_secret\n")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "cluster.key_secret").stat().st_mode) == 0o600
    assert KeyRing.load(folder).node is None
    result = CliRunner().invoke(trouper, ["keygen", "--node", "ada", str(folder)])
    assert (result.exit_code, result.output) == (0, f"{folder}/node.key_secret\n{folder}/ada.key\n")
    assert KeyRing.load(folder).node is not None


def test_keys_are_made_where_nodes_look_for_them(tmp_path: Path) -> None:
    """Without a folder it is the default one."""
    result = CliRunner(env={"TROUPER_KEYS": str(tmp_path / "mine")}).invoke(trouper, ["keygen"])
    assert (result.exit_code, result.output) == (0, f"{tmp_path}/mine/cluster.key_secret\n")


def test_keys_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    """The second call fails with the reason, and leaves the first one's keys."""
    folder = tmp_path / "keys"
    CliRunner().invoke(trouper, ["keygen", str(folder)])
    before = (folder / "cluster.key_secret").read_bytes()
    result = CliRunner().invoke(trouper, ["keygen", str(folder)])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {folder}/cluster.key_secret is there already, and is not overwritten; choose another folder\n"
    )
    assert (folder / "cluster.key_secret").read_bytes() == before


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """No secret is written to where others could exchange it."""
    tmp_path.chmod(0o777)
    result = CliRunner().invoke(trouper, ["keygen", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: others can change {tmp_path} (mode 777), so it is not used: chmod go-w {tmp_path}\n"
    )


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    """An error of the system is told as one, without a traceback."""
    (tmp_path / "file").touch()
    result = CliRunner().invoke(trouper, ["keygen", str(tmp_path / "file" / "keys")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "Not a directory" in result.output
