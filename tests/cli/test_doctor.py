import platform

import pytest

from trouper.cli import doctor


def test_doctor_shows_each_fact_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line begins with the name of a fact; versions are those of this interpreter."""
    doctor.show_doctor()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[0] for line in lines if line][:-1]
    assert names[:7] == ["trouper", "python", "system", "event loop", "cores", "memory", "open files"]
    assert len(names) == len(set(names))
    assert platform.python_version() in lines[1]


def test_what_is_lacking_comes_with_advice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A dependency that is not there is said so, with the command that installs it, and counted at the end."""
    monkeypatch.setattr(doctor, "DEPENDENCIES", ("no-such-package",))
    monkeypatch.setattr(doctor, "OPEN_FILES_WANTED", 0)
    monkeypatch.setattr(doctor, "MEMORY_BYTES_WANTED", 0)
    doctor.show_doctor()
    out = capsys.readouterr().out
    assert "no-such-package  not installed   <- pip install no-such-package\n" in out
    assert out.rstrip().endswith("to look at")
