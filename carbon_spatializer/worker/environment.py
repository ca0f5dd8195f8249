"""The worker's Python: where it is, whether it is whole, and which interpreter it can be made from.

Standard library only: it is used inside QGIS, by the job that sets the environment up, and by the tests.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Set by users who bring an interpreter of their own (conda, system); the QGIS setting of the same purpose comes second.
VARIABLE = "CARBON_SPATIALIZER_PYTHON"
SETTING = "carbon_spatializer/python"

MINIMUM = (3, 11)
PARTS = ("base", "deep")

# Lies in every environment that the plugin made, and lists the parts that were installed to the end.
_MARKER = "carbon_spatializer.json"
_REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
_PROBE = "import sys; print(*sys.version_info[:2]); import ensurepip, venv"
_PROBE_SECONDS = 60


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
    """The worker's interpreter: the environment variable, else the setting, else the plugin's own environment."""
    chosen = os.environ.get(VARIABLE) or setting
    return Path(chosen) if chosen else python_in(default_folder())


def requirements(part: str) -> Path:
    """pip's requirements file of a part, ``base`` or ``deep``."""
    return _REQUIREMENTS / f"{part}.txt"


def installed_parts(folder: Path) -> list[str] | None:
    """The parts that were installed to the end; None when the plugin did not make this folder."""
    try:
        return list(json.loads((folder / _MARKER).read_text(encoding="utf-8"))["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return [] if (folder / _MARKER).exists() else None


def mark(folder: Path, parts: list[str]) -> None:
    """Record the parts that are installed; the marker is replaced in one step."""
    new = folder / f"{_MARKER}.new"
    new.write_text(json.dumps({"parts": parts}), encoding="utf-8")
    os.replace(new, folder / _MARKER)


def is_interrupted(python: Path) -> bool:
    """Whether an interpreter belongs to an environment of the plugin whose set-up never came to its end."""
    parts = installed_parts(python.absolute().parents[1])
    return parts is not None and "base" not in parts


def candidates() -> list[Path]:
    """Interpreters that the environment could be made from, the Python that runs this code first.

    Inside QGIS ``sys.executable`` may be qgis itself (Windows, macOS) or whatever ``python3`` comes first on the
    path (Linux), so the interpreter is looked for beside the standard library in use.
    """
    base = Path(sys.base_prefix)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    executable = Path(sys.executable or base)
    if sys.platform == "win32":
        found = [base / "python.exe", base / "python3.exe", executable.with_name("python.exe")]
        names = ("py.exe", "python.exe")
    else:
        found = [base / "bin" / f"python{version}", base / "bin" / "python3"]
        # The QGIS bundle of macOS keeps its Python beside the program, in one of two places.
        found += [executable.parent / "bin" / "python3", executable.parent / f"python{version}"]
        found += [Path("/usr/bin/python3"), Path("/opt/homebrew/bin/python3"), Path("/usr/local/bin/python3")]
        names = (f"python{version}", "python3")
    found += [Path(path) for path in map(shutil.which, names) if path]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def refusal(python: Path) -> str:
    """Why an environment cannot be made from this interpreter, as the end of a sentence; empty when it can."""
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"it does not start ({error})"
    try:
        version = tuple(int(part) for part in answer.stdout.split())
    except ValueError:
        version = ()
    if len(version) != 2:
        return "it does not answer as a Python interpreter"
    if version < MINIMUM:
        return f"it is Python {version[0]}.{version[1]}, and {MINIMUM[0]}.{MINIMUM[1]} or newer is needed"
    if answer.returncode:
        return "it lacks the modules venv and ensurepip (on Debian and Ubuntu: sudo apt install python3-venv)"
    return ""


def base_interpreter() -> tuple[Path | None, str]:
    """The first candidate that an environment can be made from, and else what is wrong with each of them."""
    refusals = []
    for python in candidates():
        reason = refusal(python)
        if not reason:
            return python, ""
        refusals.append(f"'{python}': {reason}")
    return None, "; ".join(refusals) or "no Python interpreter was found"
