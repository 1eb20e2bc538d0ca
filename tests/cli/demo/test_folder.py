import os
from pathlib import Path

import pytest

from trouper.cli.demo.folder import FILE_BYTES_MAX, FileCount, count_file, find_files, standard_library


def test_the_standard_library_is_its_python_files() -> None:
    """Without a folder the `.py` files of the standard library are found, and none of what was installed beside it."""
    found = find_files(None)
    assert standard_library() / "argparse.py" in found
    assert {path.suffix for path in found} == {".py"}
    assert not [path for path in found if "site-packages" in path.parts]
    assert found == sorted(found)


def test_a_folder_is_all_that_lies_below_it(tmp_path: Path) -> None:
    """Every file below a folder is found, whatever its name; links to folders are not followed."""
    (tmp_path / "inner").mkdir()
    for name in ("b.txt", "a", "inner/c.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert find_files(tmp_path) == [tmp_path / "a", tmp_path / "b.txt", tmp_path / "inner/c.py"]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"one two one", FileCount({"one": 2, "two": 1}, 11)),
        ("a.py", b"one = 'two'", FileCount({"one": 1}, 11)),
        ("bom.txt", b"\xef\xbb\xbfone", FileCount({"one": 1}, 6)),
        ("latin.py", b"# coding: latin-1\n\xe9t\xe9", FileCount({"été": 1}, 21)),
        ("empty", b"", FileCount({}, 0)),
        ("a.bin", b"PK\0\1", FileCount({}, 0, "binary")),
        ("latin.txt", b"\xe9t\xe9", FileCount({}, 0, "not text in utf-8")),
        ("odd.py", b"# coding: nowhere\n", FileCount({}, 0, "declares an unknown encoding")),
        ("hex.py", b"# coding: hex\n", FileCount({}, 0, "declares an unknown encoding")),
    ],
)
def test_a_file_is_counted_or_skipped_with_a_reason(
    tmp_path: Path, name: str, data: bytes, expected: FileCount
) -> None:
    """Text counts, Python's in the encoding that it declares; whatever is no text says why it was skipped."""
    (tmp_path / name).write_bytes(data)
    assert count_file(tmp_path / name) == expected


def test_a_huge_file_is_skipped(tmp_path: Path) -> None:
    """A file above the limit is not read; one at the limit is."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    assert count_file(tmp_path / "huge") == FileCount({}, 0, "larger than 16 MiB")
    os.truncate(tmp_path / "huge", FILE_BYTES_MAX)
    assert count_file(tmp_path / "huge").skipped == "binary"


def test_what_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    """A broken link and a pipe are skipped; the pipe is not even opened, which would wait for ever."""
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert count_file(tmp_path / "broken").skipped == "unreadable (No such file or directory)"
    assert count_file(tmp_path / "pipe").skipped == "not a regular file"
