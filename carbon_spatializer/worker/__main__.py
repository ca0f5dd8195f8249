"""The worker's side of the seam: one JSON request in, JSON lines out.

``python -m carbon_spatializer.worker JOB request.json`` runs a job without QGIS; ``--help`` lists the jobs.
QGIS starts this file by its path with ``python -I``.
"""

import os
import sys

for _name in [name for name in os.environ if name.startswith(("PYTHON", "PROJ", "GDAL"))]:
    # QGIS's own settings would lead the worker's libraries to the wrong PROJ and GDAL data.
    del os.environ[_name]
if not __package__:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    __package__ = "carbon_spatializer.worker"

import argparse  # noqa: E402
import inspect  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
import uuid  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402

from carbon_spatializer import jobs  # noqa: E402
from carbon_spatializer.core.errors import Cancelled, CarbonError, InputError  # noqa: E402
from carbon_spatializer.jobs.run import Run  # noqa: E402

_POLL_SECONDS = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Run one job; returns the exit status: 0 done, 1 refused or failed, 2 wrong call, 3 cancelled."""
    parser = argparse.ArgumentParser(
        prog="python -m carbon_spatializer.worker",
        description="Run a job of Carbon spatializer without QGIS. Replies are JSON lines on standard output.",
        epilog="Jobs: " + ", ".join(jobs.JOBS) + ". JOB --help shows a job's arguments.",
        add_help=False,
    )
    parser.add_argument("job", nargs="?", choices=list(jobs.JOBS), metavar="JOB")
    parser.add_argument("request", nargs="?", type=Path, metavar="request.json", help="the job's arguments")
    parser.add_argument("-h", "--help", action="store_true", help="show this, or the arguments of JOB")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--run-id", default=uuid.uuid4().hex[:12], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.help:
        print(_job_help(options.job) if options.job else parser.format_help())
        return 0
    if options.job is None or options.request is None:
        parser.print_usage(sys.stderr)
        return 2
    # A shell that starts programs in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    emit = _protocol()
    run = Run(emit, options.run_id)
    if options.parent:
        _own_process_group()
        _stop_with_parent(options.parent, run)
    emit({"type": "started", "pid": os.getpid()})
    try:
        arguments = _read(options.request)
        if options.parent:
            # Nobody else would remove it if QGIS were killed.
            options.request.unlink(missing_ok=True)
        emit({"type": "result", "result": _run(options.job, arguments, run)})
        return 0
    except Cancelled as error:
        emit({"type": "error", "text": str(error)})
        return 3
    except KeyboardInterrupt:
        emit({"type": "error", "text": str(Cancelled())})
        return 3
    except CarbonError as error:
        emit({"type": "error", "text": str(error), "traceback": traceback.format_exc()})
    except MemoryError:
        emit({"type": "error", "text": "The job ran out of memory; run it on a smaller area or close other programs."})
    except ImportError as error:
        text = f"The worker's Python lacks '{error.name}'; run the tool 'Set up environment' and try again."
        emit({"type": "error", "text": text, "traceback": traceback.format_exc()})
    except Exception as error:
        emit({"type": "error", "text": _unexpected(error, run), "traceback": traceback.format_exc()})
    finally:
        run.discard()
    return 1


def _read(request: Path) -> dict:
    try:
        arguments = json.loads(request.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("request.json", f"'{request}' cannot be read ({error})", "Give a JSON file") from None
    if not isinstance(arguments, dict):
        raise InputError("request.json", f"'{request}' holds no JSON object", "Give the job's arguments by name")
    return arguments


def _run(job: str, arguments: dict, run: Run) -> dict:
    function = jobs.find(job)
    jobs.check_arguments(function, arguments)
    started = time.time()
    result = function(run, **arguments)
    run.commit(
        {
            "job": job,
            "arguments": arguments,
            "result": result,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started, 1),
            "versions": _versions(),
        }
    )
    return result


def _versions() -> dict:
    """Versions of what took part in the run."""
    from importlib import metadata

    top = Path(__file__).resolve().parents[2] / "metadata.txt"
    inside = Path(__file__).resolve().parents[1] / "metadata.txt"
    text = next((file.read_text(encoding="utf-8") for file in (inside, top) if file.exists()), "")
    own = next((line.partition("=")[2] for line in text.splitlines() if line.startswith("version=")), "")
    names = ("numpy", "pandas", "geopandas", "shapely", "rasterio", "torch", "transformers")
    found = {name: metadata.version(name) for name in names if name in sys.modules}
    return {"carbon_spatializer": own, "python": sys.version.split()[0], **found}


def _unexpected(error: Exception, run: Run) -> str:
    """A sentence for an error that no check foresaw."""
    try:
        run.require_space()  # libraries tell a full disk in many ways
    except CarbonError as full:
        return str(full)
    if isinstance(error, PermissionError):
        return f"'{error.filename}' may not be written; choose another folder for the outputs. Nothing was written."
    return f"The job failed unexpectedly ({type(error).__name__}: {error}); the log holds the details."


def _protocol():
    """Keep standard output for replies: whatever a library prints there goes to standard error instead."""
    stream = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(reply: dict) -> None:
        with lock:
            stream.write(json.dumps(reply, default=_plain) + "\n")
            stream.flush()

    return emit


def _plain(value):
    """numpy scalars and paths as JSON."""
    return value.item() if hasattr(value, "item") else str(value)


def _own_process_group() -> None:
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def _stop_with_parent(parent: int, run: Run) -> None:
    """End this process and its children when QGIS, which started it, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        run.discard()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(3)

    if os.name != "nt":
        threading.Thread(target=watch, daemon=True).start()


def _job_help(job: str) -> str:
    function = jobs.find(job)
    return f"{job}{inspect.signature(function)}\n\n{inspect.getdoc(function)}"


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written; giving the memory back piece by piece would only keep the user waiting.
    os._exit(status)
