"""The worker's Python: found, made, interrupted, repaired, checked, and QGIS's own left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carbon_spatializer.core.errors import CarbonError, InputError
from carbon_spatializer.jobs import environment as job
from carbon_spatializer.jobs.run import Run
from carbon_spatializer.worker import environment

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Replies(list):
    """Collects what a job says."""

    def texts(self):
        return [reply["text"] for reply in self]


@pytest.fixture
def replies():
    return Replies()


@pytest.fixture
def set_up(replies):
    return lambda **arguments: job.set_up_environment(Run(replies.append), **arguments)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Parts of one small package each, so that an environment takes seconds."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    (folder / "base.txt").write_text("# small\npackaging>=20\n")
    (folder / "deep.txt").write_text("threadpoolctl>=3\n")
    monkeypatch.setattr(environment, "_REQUIREMENTS", folder)
    return folder


def fake(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# Where it is --------------------------------------------------------------------------------------------------------


def test_the_variable_comes_before_the_setting_before_the_own_environment(monkeypatch):
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    assert environment.interpreter() == environment.python_in(environment.default_folder())
    assert environment.interpreter("/conda/bin/python") == Path("/conda/bin/python")
    monkeypatch.setenv(environment.VARIABLE, "/other/bin/python")
    assert environment.interpreter("/conda/bin/python") == Path("/other/bin/python")


@pytest.mark.parametrize(
    ("platform", "variables", "folder", "python"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/carbon_spatializer/python", "bin/python"),
        ("linux", {"HOME": "/home/li"}, "/home/li/.local/share/carbon_spatializer/python", "bin/python"),
        ("darwin", {"HOME": "/U/li"}, "/U/li/Library/Application Support/carbon_spatializer/python", "bin/python"),
        ("win32", {"LOCALAPPDATA": "/U/李/Local"}, "/U/李/Local/carbon_spatializer/python", "Scripts/python.exe"),
    ],
)
def test_default_folder(monkeypatch, platform, variables, folder, python):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert environment.default_folder() == Path(folder)
    assert environment.python_in(Path("/e")) == Path("/e") / python


@pytest.mark.parametrize(
    ("platform", "executable", "base", "python"),
    [
        # OSGeo4W and the Windows installers: sys.executable is qgis, Python lies in apps
        ("win32", "bin/qgis-bin.exe", "apps/Python312", "apps/Python312/python.exe"),
        ("win32", "bin/python3.exe", "apps/Python312", "apps/Python312/python3.exe"),
        # the macOS bundle, before and after its rebuild
        ("darwin", "Contents/MacOS/QGIS", "Contents/Frameworks", "Contents/MacOS/bin/python3"),
        ("darwin", "Contents/MacOS/QGIS", "Contents/Frameworks", f"Contents/MacOS/python{VERSION}"),
        # Linux: python3 on the path may belong to another library than the one that QGIS has loaded
        ("linux", "pyenv/shims/python3", "usr", f"usr/bin/python{VERSION}"),
        ("linux", "pyenv/shims/python3", "usr", "usr/bin/python3"),
    ],
)
def test_interpreter_of_qgis_is_found(monkeypatch, tmp_path, platform, executable, base, python):
    fake(tmp_path / executable, "exit 1")
    fake(tmp_path / python, "exit 0")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "executable", str(tmp_path / executable))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / base))
    assert environment.candidates()[0] == tmp_path / python
    assert all(path.is_file() for path in environment.candidates())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo 3 8", "it is Python 3.8, and 3.11 or newer is needed"),
        ("echo 3 12; exit 1", "apt install python3-venv"),
        ("echo QGIS 3.40", "does not answer as a Python"),
        ("exit 0", "does not answer as a Python"),
    ],
)
def test_interpreters_that_cannot_be_used(monkeypatch, tmp_path, text, told):
    python = fake(tmp_path / "python3", text)
    assert told in environment.refusal(python)
    monkeypatch.setattr(environment, "candidates", lambda: [python, tmp_path / "none"])
    found, problem = environment.base_interpreter()
    assert found is None
    assert told in problem
    assert "does not start" in problem


def test_a_good_interpreter_is_taken():
    python, problem = environment.base_interpreter()
    assert problem == ""
    assert environment.refusal(python) == ""


# Making it ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [({"part": "all"}, "part"), ({"device": "tpu"}, "device"), ({"folder": "/proc/none/there"}, "folder")],
)
def test_bad_arguments(set_up, arguments, parameter):
    with pytest.raises(InputError, match=f"Parameter {parameter}: "):
        set_up(**arguments)


def test_a_foreign_folder_is_never_touched(set_up, tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match="holds files that this tool did not make"):
        set_up(folder=str(tmp_path))
    with pytest.raises(InputError, match="holds files that this tool did not make"):
        set_up(folder=str(tmp_path / "thesis.docx"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_parts_are_made_and_repaired(set_up, replies, small, tmp_path):
    folder = tmp_path / "环境 1"
    result = set_up(folder=str(folder))
    python = Path(result["python"])
    assert environment.installed_parts(folder) == ["base"]
    assert not environment.is_interrupted(python)
    assert any("packaging" in text for text in replies.texts())
    fractions = [reply["fraction"] for reply in replies if reply["type"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

    # the part deep comes on top, without making base anew
    witness = folder / "witness"
    witness.touch()
    assert set_up(folder=str(folder), part="deep")["parts"] == ["base", "deep"]
    assert witness.exists()

    # a package that has lost a file is not whole: it is noticed, and made anew on the next run
    next(folder.glob("lib/*/site-packages/packaging/__init__.py")).write_text("raise RuntimeError('torn')")
    with pytest.raises(CarbonError, match=r"does not load.*torn"):
        set_up(folder=str(folder))
    assert environment.is_interrupted(python)
    assert set_up(folder=str(folder))["parts"] == ["base"]
    assert not witness.exists()


def test_environment_whose_base_is_gone_is_made_anew(set_up, small, tmp_path):
    folder = tmp_path / "e"
    python = Path(set_up(folder=str(folder))["python"])
    python.unlink()
    python.symlink_to(tmp_path / "removed by a system upgrade")
    set_up(folder=str(folder))
    assert subprocess.run([str(python), "-c", "import packaging"], check=False).returncode == 0


def test_pip_uses_the_machines_configuration_and_says_when_it_fails(set_up, small, tmp_path, monkeypatch):
    """Were there an index of our own, pip would find the package in spite of this configuration."""
    configuration = tmp_path / "pip.conf"
    configuration.write_text("[global]\nno-index = true\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    with pytest.raises(
        CarbonError, match=r"pip could not install the part base \(No matching distribution.*run the tool again"
    ):
        set_up(folder=str(tmp_path / "e"))
    assert environment.installed_parts(tmp_path / "e") == []
    monkeypatch.delenv("PIP_CONFIG_FILE")
    monkeypatch.setenv("PIP_USER", "1")  # would put the packages outside the environment
    assert set_up(folder=str(tmp_path / "e"))["parts"] == ["base"]


def test_missing_venv_is_said_in_one_sentence(set_up, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(fake(tmp_path / "python3", "echo ensurepip is not available; exit 1")))
    with pytest.raises(CarbonError, match=r"ensurepip is not available.*sudo apt install python3-venv"):
        set_up(folder=str(tmp_path / "e"))


def test_the_device_cuda_is_checked(tmp_path):
    python = fake(tmp_path / "python", "echo 12.8 False")
    with pytest.raises(CarbonError, match="a CUDA build that finds no GPU"):
        job._require_cuda(python)
    with pytest.raises(CarbonError, match=r"a CPU build\. Give PyTorch's package index"):
        job._require_cuda(fake(python, "echo ' False'"))
    job._require_cuda(fake(python, "echo 12.8 True"))


def test_requirements_are_the_ones_that_the_jobs_import():
    assert job._distributions("deep")["torch"] == "==2.13.0"
    assert {"numpy", "geopandas", "exactextract", "rasterio", "openpyxl"} <= set(job._distributions("base"))


# Checking it --------------------------------------------------------------------------------------------------------


def test_check_reports_versions_and_the_mend(replies, monkeypatch):
    monkeypatch.setattr(job, "_distributions", {"base": {"packaging": ">=20"}, "deep": {"no-such": ">=1"}}.get)
    report = job.check_environment(Run(replies.append))
    assert report["base_ready"] is True
    assert report["deep_ready"] is False
    assert report["missing"]["deep"] == ["no-such"]
    assert "packaging" in report["packages"]
    assert "'Set up environment' with the part deep" in report["summary"]
    monkeypatch.setattr(job, "_distributions", {"base": {"packaging": ">=9000"}, "deep": {"no-such": ""}}.get)
    report = job.check_environment(Run(replies.append))
    assert report["base_ready"] is False
    assert any("is not the version wanted (>=9000)" in text for text in replies.texts())


# Through QGIS -------------------------------------------------------------------------------------------------------


def results(output):
    """The outputs that ``qgis_process`` printed."""
    found = {}
    for line in output.partition("Results")[2].splitlines():
        name, separator, value = line.partition(":\t")
        if separator:
            found[name] = value
    return found


def test_check_says_what_to_run_when_there_is_nothing(qgis_process):
    status, output = qgis_process("run", "carbon:checkenvironment", CARBON_SPATIALIZER_PYTHON=None)
    assert status == 0, output
    assert results(output)["OUTPUT_READY"] == "false"
    assert "does not exist; run the tool 'Set up environment'" in output


def test_existing_interpreter_is_checked_and_remembered(new_qgis_process, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    for python, told in (
        (bare / "bin" / "python", "lacks numpy, "),
        ("/bin/false", "ended with status 1"),
        (tmp_path, "does not exist"),
    ):
        status, output = new_qgis_process(
            "run", "carbon:setupenvironment", f"--PYTHON={python}", CARBON_SPATIALIZER_PYTHON=None
        )
        assert status != 0
        assert told in output
    status, output = new_qgis_process(
        "run", "carbon:setupenvironment", f"--PYTHON={sys.executable}", CARBON_SPATIALIZER_PYTHON=None
    )
    assert status == 0, output
    status, output = new_qgis_process("run", "carbon:checkenvironment", CARBON_SPATIALIZER_PYTHON=None)
    assert results(output)["OUTPUT_PYTHON"] == sys.executable
    assert results(output)["OUTPUT_READY"] == "true"


def system_packages():
    """Names and versions of all that QGIS's own Python sees, and when its folders were last changed."""
    code = (
        "import json, os, sys; from importlib.metadata import distributions; "
        "print(json.dumps([sorted([d.name, d.version] for d in distributions()), "
        "[[p, os.stat(p).st_mtime_ns] for p in sys.path if os.path.isdir(p) and p.startswith('/usr')]]))"
    )
    answer = subprocess.run(["/usr/bin/python3", "-I", "-c", code], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


@pytest.mark.slow
def test_cancelled_and_run_again(new_qgis_process, tmp_path):
    """The whole life of an environment: cancelled while pip works, noticed by the tools, repaired, used."""
    before = system_packages()
    folder = tmp_path / "Python 环境 🌆"
    call = ("run", "carbon:setupenvironment", f"--FOLDER={folder}")

    def in_folder():
        found = subprocess.run(["pgrep", "-f", str(folder / "bin")], capture_output=True, text=True, check=False)
        return found.stdout.split()

    with new_qgis_process.start(*call, CARBON_SPATIALIZER_PYTHON=None) as process:
        for line in process.stdout:
            if "Installing the part base" in line:
                break
        for line in process.stdout:  # pip's own lines reach the log while it works
            if line.startswith(("Collecting", "Processing", "Looking in")):
                break
        assert in_folder()
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        output = process.stdout.read()
    assert process.returncode != 0
    assert "Cancelled; run the tool again to finish the environment." in output
    while in_folder() and time.monotonic() - started < 10:
        time.sleep(0.02)
    assert time.monotonic() - started < 2
    assert environment.installed_parts(folder) == []

    python = environment.python_in(folder)
    status, output = new_qgis_process("run", "carbon:checkenvironment", CARBON_SPATIALIZER_PYTHON=str(python))
    assert "its set-up was interrupted; run the tool 'Set up environment'" in output

    status, output = new_qgis_process(*call, CARBON_SPATIALIZER_PYTHON=None)
    assert status == 0, output
    assert environment.installed_parts(folder) == ["base"]
    status, output = new_qgis_process("run", "carbon:checkenvironment", CARBON_SPATIALIZER_PYTHON=None)
    assert results(output)["OUTPUT_READY"] == "true"
    assert results(output)["OUTPUT_PYTHON"] == str(python)
    assert system_packages() == before
