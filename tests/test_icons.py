"""The icons, their manifest and the groups of tools belong together."""

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ICONS = PROJECT / "carbon_spatializer" / "icons"
FILES = sorted(ICONS.glob("*.svg"))


def groups() -> list[str]:
    """Keys of CarbonAlgorithm.GROUPS, read without importing QGIS."""
    tree = ast.parse((PROJECT / "carbon_spatializer" / "algorithms" / "base.py").read_text(encoding="utf-8"))
    [found] = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and getattr(_target(node), "id", "") == "GROUPS"
    ]
    return list(found)


def _target(node):
    return node.target if isinstance(node, ast.AnnAssign) else node.targets[0]


def test_manifest_holds_the_icons_and_nothing_else():
    manifest = ElementTree.parse(PROJECT / "resources.qrc").getroot()
    listed = [entry.text for entry in manifest.iter("file")]
    assert listed == [file.relative_to(PROJECT).as_posix() for file in sorted(ICONS.iterdir())]


def test_each_group_has_its_icon():
    assert {file.stem for file in FILES} == {*groups(), "provider"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_icon_is_a_small_square_drawing_of_its_own(file):
    root = ElementTree.parse(file).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    _, _, width, height = root.get("viewBox").split()
    assert width == height
    assert not list(root.iter("{http://www.w3.org/2000/svg}image"))
    assert file.stat().st_size < 4096
