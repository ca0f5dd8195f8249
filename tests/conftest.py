"""What all tests share: the real data, where they are at hand."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data sets; tests that need it skip visibly where it is absent."""
    folder = Path(os.environ.get("CARBON_SPATIALIZER_DATA") or PROJECT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the real data are not at hand (looked in '{folder}')")
    return folder


@pytest.fixture(scope="session")
def package() -> Path:
    """The plugin's zip, freshly made."""
    subprocess.run([sys.executable, str(PROJECT / "scripts" / "package")], check=True, capture_output=True)
    return PROJECT / "dist" / "carbon_spatializer.zip"


class QgisProcess:
    """``qgis_process`` with the zip unpacked into an empty profile, as a user's QGIS has it."""

    def __init__(self, folder: Path, package: Path):
        plugins = folder / "profile" / "profiles" / "default" / "python" / "plugins"
        plugins.mkdir(parents=True)
        with zipfile.ZipFile(package) as archive:
            archive.extractall(plugins)
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self.environment = os.environ | {
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_DATA_HOME": str(folder / "data"),
            "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
            # Another python3 in front of QGIS's own would lead QGIS to the wrong library.
            "PATH": f"/usr/bin:/bin:{os.environ['PATH']}",
        }
        self.environment.pop("QGIS_PLUGINPATH", None)
        self.environment.setdefault("CARBON_SPATIALIZER_PYTHON", sys.executable)
        self("plugins", "enable", "carbon_spatializer")

    def start(self, *arguments, **environment) -> subprocess.Popen:
        """Start it in a process group of its own; an environment variable set to None is removed."""
        merged = {name: value for name, value in (self.environment | environment).items() if value is not None}
        return subprocess.Popen(
            ["qgis_process", *map(str, arguments)],
            env=merged,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def __call__(self, *arguments, **environment) -> tuple[int, str]:
        """Run it to its end; its exit status and all that it printed."""
        with self.start(*arguments, **environment) as process:
            output = process.stdout.read()
        return process.returncode, output


@pytest.fixture(scope="session")
def qgis_process(tmp_path_factory, package) -> QgisProcess:
    """Runs ``qgis_process``: ``status, output = qgis_process("run", "carbon:...", "--INPUT=...")``."""
    return _new_qgis_process(tmp_path_factory, package)


@pytest.fixture
def new_qgis_process(tmp_path_factory, package) -> QgisProcess:
    """The same with a profile for one test that changes settings."""
    return _new_qgis_process(tmp_path_factory, package)


def _new_qgis_process(tmp_path_factory, package) -> QgisProcess:
    if not shutil.which("qgis_process"):
        pytest.skip("qgis_process is not installed")
    return QgisProcess(tmp_path_factory.mktemp("qgis"), package)
