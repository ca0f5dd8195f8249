"""What a job sees of the process that runs it: progress, messages, cancel, and outputs that appear only when whole."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..core.errors import Cancelled, CarbonError, InputError

_LEAST_FREE_BYTES = 1_000_000


def staging_folder(destination: str | Path, run_id: str) -> Path:
    """Folder beside a destination where one run writes; whoever outlives the run may remove it."""
    return Path(destination).absolute().parent / f".carbon-{run_id}"


class Run:
    """One run of a job.

    Parameters
    ----------
    emit : takes one reply, a dictionary with ``type`` (progress, info, warning) and its content.
    run_id : names the staging folders, so that runs side by side do not meet.
    is_cancelled : says whether the user asked to stop.
    """

    def __init__(
        self,
        emit: Callable[[dict], None] = lambda reply: None,
        run_id: str = "run",
        is_cancelled: Callable[[], bool] = lambda: False,
    ):
        self._emit = emit
        self._run_id = run_id
        self._is_cancelled = is_cancelled
        self._staged: dict[Path, Path] = {}

    def progress(self, fraction: float, text: str = "") -> None:
        """Report progress between 0 and 1, and stop here when the run was cancelled."""
        if self._is_cancelled():
            raise Cancelled
        self._emit({"type": "progress", "fraction": float(fraction), "text": text})

    def part(self, start: float, end: float) -> Callable[..., None]:
        """A progress callable for a step that covers only ``start`` to ``end`` of the whole."""
        return lambda fraction, text="": self.progress(start + (end - start) * fraction, text)

    def info(self, text: str) -> None:
        """Write a line to the log."""
        self._emit({"type": "info", "text": text})

    def warning(self, text: str) -> None:
        """Write a warning to the log."""
        self._emit({"type": "warning", "text": text})

    def stage(self, destination: str | Path, parameter: str = "output") -> Path:
        """Path to write to in place of ``destination``; the file moves there when the whole job is done."""
        final = Path(destination).absolute()
        if final.is_dir():
            raise InputError(parameter, f"'{final}' is a folder", "Give a file name")
        if final in self._staged:
            raise InputError(parameter, f"'{final}' is the file of another output too", "Give each output its own file")
        folder = staging_folder(final, self._run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                parameter,
                f"the folder of '{final}' cannot be written ({error.strerror})",
                "Choose a folder that you may write to",
            ) from None
        self._staged[final] = folder / final.name
        return self._staged[final]

    def commit(self, record: dict) -> None:
        """Move every output to its destination and write the run record beside the first one."""
        if self._is_cancelled():
            raise Cancelled
        self.require_space()
        for index, (final, staged) in enumerate(self._staged.items()):
            if index == 0:
                name = f"{final.name}.run.json"
                (staged.parent / name).write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
                os.replace(staged.parent / name, final.parent / name)
            for file in sorted(staged.parent.glob(f"{_escape(staged.stem)}.*")):
                _replace(file, final.parent / file.name)
            # What GDAL has noted beside an earlier raster of this name (statistics) is no longer true.
            final.with_name(f"{final.name}.aux.xml").unlink(missing_ok=True)
        self.discard()

    def require_space(self) -> None:
        """Raise when a disk that outputs are staged on is full: GDAL may lose data there without an error."""
        for final, staged in self._staged.items():
            if shutil.disk_usage(staged.parent).free < _LEAST_FREE_BYTES:
                raise CarbonError(
                    f"The disk is full in '{final.parent}'; free some space or choose another folder for the outputs. "
                    "Nothing was written."
                )

    def discard(self) -> None:
        """Remove whatever was staged."""
        for staged in self._staged.values():
            shutil.rmtree(staged.parent, ignore_errors=True)
        self._staged.clear()


def _escape(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _replace(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except PermissionError:
        raise InputError(
            "output",
            f"'{target}' is open in another program",
            "Remove the layer from the project or choose another name",
        ) from None
