"""The zip: what it holds, that it meets the rules of plugins.qgis.org, and that it works from an empty profile."""

import ast
import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = sorted((PROJECT / "carbon_spatializer").rglob("*.py"))
TEXT_ENDINGS = {".py", ".csv", ".svg", ".txt", ".md", ".model3", ".qml", ".qrc", ""}


def names(package):
    with zipfile.ZipFile(package) as archive:
        return archive.namelist()


def test_one_folder_with_all_that_is_needed(package):
    found = names(package)
    assert {name.split("/")[0] for name in found} == {"carbon_spatializer"}
    for file in ("__init__.py", "metadata.txt", "LICENSE", "README.md", "CHANGELOG.md", "resources.qrc"):
        assert f"carbon_spatializer/{file}" in found
    for file in SOURCES:
        assert file.relative_to(PROJECT).as_posix() in found


def test_no_binaries_no_caches_and_small(package):
    for name in names(package):
        assert Path(name).suffix in TEXT_ENDINGS, name
        assert "__pycache__" not in name
        assert not Path(name).name.startswith("."), name
    with zipfile.ZipFile(package) as archive:
        for name in names(package):
            archive.read(name).decode("utf-8")
    assert package.stat().st_size < 25_000_000


@pytest.fixture
def project(tmp_path):
    """A copy of what scripts/package reads."""
    for folder in ("carbon_spatializer", "scripts"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("metadata.txt", "LICENSE", "README.md", "CHANGELOG.md", "resources.qrc"):
        shutil.copy(PROJECT / file, tmp_path)
    return tmp_path


def make(project):
    script = str(project / "scripts" / "package")
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)


def test_same_sources_give_the_same_zip(project):
    archives = set()
    for moment in (1e9, 1.5e9):
        for file in project.rglob("*"):
            os.utime(file, (moment, moment))
        assert make(project).returncode == 0
        archives.add(hashlib.sha256((project / "dist" / "carbon_spatializer.zip").read_bytes()).hexdigest())
    assert len(archives) == 1


def test_unknown_files_are_refused(project):
    (project / "carbon_spatializer" / "data" / "stray.bin").write_bytes(b"\0")
    run = make(project)
    assert run.returncode == 1
    assert "stray.bin" in run.stderr
    assert not (project / "dist").exists()


def test_metadata(package):
    with zipfile.ZipFile(package) as archive:
        text = archive.read("carbon_spatializer/metadata.txt").decode("utf-8")
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string(text)
    general = parser["general"]
    for key in ("name", "description", "about", "version", "author", "email", "homepage", "repository", "tracker"):
        assert general[key].strip(), key
    assert general["qgisMinimumVersion"] == "3.40"
    assert general["qgisMaximumVersion"] == "4.99"
    assert general["hasProcessingProvider"] == "yes"
    assert f"carbon_spatializer/{general['icon']}" in names(package)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_no_dangerous_calls(file):
    """No pickle, eval, exec, os.system or shell=True anywhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & {"pickle", "marshal", "shelve", "dill"}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in {"pickle", "marshal", "shelve", "dill"}
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, node.lineno
            if isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in {"os.system", "os.popen", "pandas.read_pickle", "pd.read_pickle"}, node.lineno
            for keyword in node.keywords:
                assert keyword.arg != "shell", node.lineno


def test_all_tools_are_listed_from_an_empty_profile(qgis_process):
    sys.path.insert(0, str(PROJECT))
    from carbon_spatializer.jobs import JOBS

    status, output = qgis_process("list", CARBON_SPATIALIZER_PYTHON="/none")
    assert status == 0
    for name in JOBS:
        assert f"carbon:{name}" in output


def test_a_tool_runs_from_an_empty_profile(qgis_process, tmp_path):
    folder = tmp_path / "城市 🌆"
    folder.mkdir()
    outputs = {name: folder / f"{name}.gpkg" for name in ("parcels", "pois", "roads", "townships")}
    status, output = qgis_process(
        "run",
        "carbon:createsamplecity",
        "--PARCELS_COUNT=500",
        *(f"--{name.upper()}={path}" for name, path in outputs.items()),
        f"--POPULATION={folder / 'population.tif'}",
        f"--ACTIVITY={folder / 'activity.csv'}",
        f"--TOTALS={folder / 'totals.csv'}",
    )
    assert status == 0, output
    for path in outputs.values():
        assert path.exists(), output


def test_without_the_workers_python_each_tool_says_in_one_sentence_what_to_run(qgis_process, tmp_path):
    status, output = qgis_process(
        "run", "carbon:createsamplecity", f"--PARCELS={tmp_path / 'p.gpkg'}", CARBON_SPATIALIZER_PYTHON=None
    )
    assert status != 0
    assert "does not exist; run the tool 'Set up environment' (carbon:setupenvironment) once" in output
    assert not list(tmp_path.iterdir())
