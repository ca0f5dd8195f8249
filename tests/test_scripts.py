"""The parts of the scripts that can go wrong on other machines than the one they were written on."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

SOURCES = {
    "one-line.list": (
        "# deb http://commented.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb http://other.example/debian bookworm-updates main\n"
        "deb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian bookworm main contrib\n",
        "list\ndeb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian bookworm-backports main\n",
    ),
    "plain.list": (
        "deb\thttp://mirror.example/debian  bookworm\tmain\n",
        "list\ndeb\thttp://mirror.example/debian bookworm-backports main\n",
    ),
    "stanzas.sources": (
        "Types: deb\nURIs: http://security.example/debian\nSuites: bookworm-security\nComponents: main\n\n"
        "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main non-free\nSigned-By: /keys/a.gpg\n",
        "sources\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n"
        "Signed-By: /keys/a.gpg\n",
    ),
}


def backports_source(*files):
    code = '. "$0/scripts/_common.sh" && backports_source bookworm "$@"'
    call = ["bash", "-c", code, str(PROJECT), *map(str, files)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_of_backports_follows_the_machines_own(tmp_path, name):
    given, expected = SOURCES[name]
    (tmp_path / name).write_text(given)
    run = backports_source(tmp_path / "none.list", tmp_path / name)
    assert run.returncode == 0
    assert run.stdout == expected


def test_no_source_of_the_suite(tmp_path):
    (tmp_path / "a.list").write_text("deb http://mirror.example/debian trixie main\n")
    run = backports_source(tmp_path / "a.list", tmp_path)
    assert run.returncode == 1
    assert run.stdout == ""


@pytest.mark.parametrize("script", ["demo", "test", "package", "render", "bench", "_common.sh", "../.ci/run"])
def test_scripts_are_complete(script):
    """Runnable ones are executable, shell scripts parse, and none names a host."""
    file = PROJECT / "scripts" / script
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    if script != "_common.sh":
        assert text.startswith("#!")
        assert file.stat().st_mode & 0o111
    if not text.startswith("#!/usr/bin"):
        assert subprocess.run(["bash", "-n", str(file)], check=False).returncode == 0
