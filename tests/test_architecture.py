"""The rules of the architecture, checked by reading the sources."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from carbon_spatializer.jobs import JOBS

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "carbon_spatializer"
SOURCES = sorted(PACKAGE.rglob("*.py"))
QGIS_SIDE = [
    *sorted((PACKAGE / "algorithms").glob("*.py")),
    PACKAGE / "plugin.py",
    PACKAGE / "provider.py",
    PACKAGE / "worker" / "client.py",
]
# Modules that read or write files; core gets arrays and frames.
INPUT_OUTPUT = {"pyogrio", "fiona", "rasterio", "osgeo", "sqlite3", "openpyxl", "requests", "urllib", "socket"}
HEAVY = {"torch", "transformers", "safetensors"}


def name_of(file):
    return file.relative_to(PROJECT).as_posix()


@cache
def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file, at_load=False):
    """Absolute names of what a file imports: everywhere, or only what runs when the module is loaded."""
    package = list(file.relative_to(PROJECT).parent.parts)
    found = set()
    for node in _at_load(tree_of(file)) if at_load else ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def _at_load(node):
    """All nodes that run when a module is loaded: not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _at_load(child)


def tops(names):
    return {name.split(".")[0] for name in names}


def file_of(module):
    """File of a module of the package, or None."""
    path = PROJECT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def classes():
    """Class definitions of the tools: file, node."""
    for file in sorted((PACKAGE / "algorithms").glob("*.py")):
        for node in tree_of(file).body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "CarbonAlgorithm" for base in node.bases):
                yield file, node


def constants(node):
    """Class constants with literal values."""
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return found


@pytest.fixture(scope="module")
def qgis_python():
    """Runs code in QGIS's own Python and returns what it printed."""

    def run(code):
        call = ["/usr/bin/python3", "-c", code]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout

    try:
        run("import qgis.core")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("QGIS is not installed")
    return run


TOOLS = list(classes())
TOOL_NAMES = [node.name for _, node in TOOLS]

# Who may import what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").rglob("*.py")), ids=name_of)
def test_core_is_free_of_qgis_and_files(file):
    assert not tops(imports(file)) & {"qgis", "osgeo", "PyQt5", "PyQt6"}
    assert not tops(imports(file, at_load=True)) & INPUT_OUTPUT
    for name in imports(file):
        assert not name.startswith(("carbon_spatializer.jobs", "carbon_spatializer.worker")), name
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "open", f"line {node.lineno}"
            assert not called.startswith(("pd.read_", "gpd.read_", "print")), f"line {node.lineno}"
            assert not called.endswith((".read_text", ".write_text", ".to_csv", ".to_file")), f"line {node.lineno}"


@pytest.mark.parametrize("file", sorted((PACKAGE / "jobs").rglob("*.py")), ids=name_of)
def test_jobs_are_free_of_qgis(file):
    assert not tops(imports(file)) & {"qgis", "PyQt5", "PyQt6"}
    for name in imports(file):
        assert not name.startswith("carbon_spatializer.algorithms"), name


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_only_the_qgis_side_imports_qgis(file):
    if file not in QGIS_SIDE:
        assert "qgis" not in tops(imports(file))
    assert not tops(imports(file)) & {"PyQt5", "PyQt6", "PySide2", "PySide6"}, "Qt comes from qgis.PyQt"


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_neural_networks_are_imported_inside_functions(file):
    assert not tops(imports(file, at_load=True)) & HEAVY


def test_the_provider_loads_with_the_standard_library_and_qgis_alone():
    seen, waiting = set(), {"carbon_spatializer", "carbon_spatializer.plugin", "carbon_spatializer.provider"}
    while waiting:
        module = waiting.pop()
        file = file_of(module)
        if file is None or file in seen:
            continue
        seen.add(file)
        for name in imports(file, at_load=True):
            if tops([name]) == {"carbon_spatializer"}:
                parts = name.split(".")
                waiting |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            else:
                assert name.split(".")[0] in sys.stdlib_module_names | {"qgis"}, f"{name_of(file)} imports {name}"
    assert {name_of(file) for file in seen} >= {name_of(file) for file, _ in TOOLS}
    assert not any(file.is_relative_to(PACKAGE / "core") for file in seen)


def test_the_package_itself_imports_nothing():
    assert imports(PACKAGE / "__init__.py", at_load=True) == set()


# Tools and jobs -----------------------------------------------------------------------------------------------------


def test_each_job_is_a_tool_of_the_same_name():
    assert sorted(constants(node)["NAME"] for _, node in TOOLS) == sorted(JOBS)


def test_the_provider_lists_each_tool_once():
    [listed] = [
        [ast.unparse(element) for element in node.value.elts]
        for node in tree_of(PACKAGE / "provider.py").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ALGORITHMS"
    ]
    assert sorted(listed) == sorted(TOOL_NAMES)


@pytest.mark.parametrize(("file", "node"), TOOLS, ids=TOOL_NAMES)
def test_tools_say_who_they_are(file, node):
    own = constants(node)
    assert file.stem == own["NAME"] == node.name.lower()
    assert own["TITLE"]
    assert own["TAGS"]
    assert len(own["HELP"]) > 200
    assert (PACKAGE / "icons" / f"{own['GROUP']}.svg").is_file()


@pytest.mark.parametrize(("file", "node"), TOOLS, ids=TOOL_NAMES)
def test_parameters_are_added_with_their_help(file, node):
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            called = ast.unparse(call.func)
            assert called != "self.addParameter", f"line {call.lineno}: use self.add(parameter, help)"
            if called == "self.add":
                assert len(call.args) >= 2, f"line {call.lineno}"


@pytest.mark.parametrize("job", JOBS)
def test_jobs_document_their_arguments(job):
    module, function = JOBS[job]
    [node] = [
        node
        for node in tree_of(PACKAGE / "jobs" / f"{module}.py").body
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    text = ast.get_docstring(node) or ""
    assert [argument.arg for argument in node.args.args] == ["run"]
    for argument in node.args.kwonlyargs:
        assert argument.arg in text, f"{function}: {argument.arg}"


# QGIS 4 -------------------------------------------------------------------------------------------------------------


def members(file):
    """What is read from a class that comes from QGIS: (module, class, attribute, line); and from instances: lines."""
    tree = tree_of(file)
    origin = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis")
        for alias in node.names
    }
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in attributes} | {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assigned = [
        node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)
    ]
    enums = {ast.unparse(node.targets[0]) for node in assigned}  # names that stand for an enum
    of_classes, of_instances = [], []
    for node in attributes:
        if isinstance(node.value, ast.Name):
            if node.value.id in origin:
                of_classes.append([*origin[node.value.id], node.attr, f"{name_of(file)}:{node.lineno}"])
            elif re.match("[A-Z]+[a-z]", node.attr) and id(node) not in inner and node.value.id not in enums:
                of_instances.append(f"{name_of(file)}:{node.lineno}")
    return of_classes, of_instances


def test_enums_are_scoped(qgis_python):
    """Qt 6 and QGIS 4 know ``Class.Enum.Member`` only, so no member is read from a class or an instance itself."""
    of_classes = [entry for file in QGIS_SIDE for entry in members(file)[0]]
    assert of_classes
    code = f"""
import enum, importlib
for module, name, attribute, place in {of_classes!r}:
    value = getattr(getattr(importlib.import_module(module), name), attribute)
    if isinstance(value, (int, enum.Enum)):
        print(place, name, attribute)
"""
    assert qgis_python(code) == ""
    assert [place for file in QGIS_SIDE for place in members(file)[1]] == []


# Speed --------------------------------------------------------------------------------------------------------------


def test_loading_the_provider_takes_less_than_a_tenth_of_a_second(qgis_python):
    """In QGIS's own Python, beside qgis.core, which is loaded anyway; processor time, as other programs may run."""
    code = f"""
import sys, time
sys.path.insert(0, {str(PROJECT)!r})
from qgis.core import QgsApplication
from qgis.PyQt import QtCore, QtGui
started = time.process_time()
from carbon_spatializer import classFactory
classFactory(None)
from carbon_spatializer.provider import CarbonProvider
provider = CarbonProvider()
provider.loadAlgorithms()
print(time.process_time() - started, len(provider.algorithms()))
"""
    runs = [qgis_python(code).split() for _ in range(5)]
    assert {int(count) for _, count in runs} == {len(JOBS)}
    assert min(float(seconds) for seconds, _ in runs) < 0.1, runs
