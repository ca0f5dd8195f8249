"""The worker's Python: where it is, what it lacks, and the commands that create or repair it.

Standard library only: it is used inside QGIS, in ``scripts/`` and by the tests. It never touches QGIS's own Python.
"""

import os
import sys
from pathlib import Path

# Set by users who bring an interpreter of their own (conda, system); the QGIS setting of the same purpose comes second.
VARIABLE = "CARBON_SPATIALIZER_PYTHON"
SETTING = "carbon_spatializer/python"


def default_folder() -> Path:
    """Folder of the virtual environment that the plugin makes, one for all profiles of a user."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "carbon_spatializer" / "python"


def python_in(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def interpreter(setting: str = "") -> Path:
    """The worker's interpreter: the environment variable, else the user's setting, else the plugin's own."""
    chosen = os.environ.get(VARIABLE) or setting
    return Path(chosen) if chosen else python_in(default_folder())
