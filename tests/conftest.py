"""What all tests share: the real data, where they are at hand."""

import os
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
