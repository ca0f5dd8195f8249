"""Where independent tasks run: on threads of this machine, or on the workers of a Dask scheduler."""

import os
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
_CONNECT_SECONDS = 15
# Each thread holds a tile and its layers in memory, so many processors must not mean gigabytes.
_MOST_THREADS = 8


@dataclass(frozen=True)
class Pool:
    """An executor and how many tasks it works on at a time."""

    executor: Executor
    slots: int
    place: str  # for the log

    def map(self, task: Callable, arguments: Iterable[tuple]) -> Iterator:
        """Results of ``task(*arguments)`` in the order of the arguments.

        Arguments are taken only as results are taken, so that few of either lie in memory, however many there are.
        """
        waiting = deque()
        try:
            for entry in arguments:
                waiting.append(self.executor.submit(task, *entry))
                if len(waiting) > 2 * self.slots:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def pool(scheduler: str | None = None, threads: int | None = None) -> Iterator[Pool]:
    """Threads of this machine, or with the address of a Dask scheduler (``tcp://host:8786``) its workers.

    Parameters
    ----------
    scheduler : address; None or an empty text takes threads.
    threads : number of threads; None takes the processors of this machine.

    Raises
    ------
    InputError : Dask is not installed, the scheduler does not answer, or it has no workers.
    """
    if not scheduler:
        slots = threads or min(_processors(), _MOST_THREADS)
        executor = ThreadPoolExecutor(slots)
        try:
            yield Pool(executor, slots, f"{slots} threads")
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        return
    with _client(scheduler) as client:
        slots = sum(client.nthreads().values())
        if slots == 0:
            raise InputError("scheduler", f"'{scheduler}' has no workers", "Start workers, or leave it empty")
        _upload_package(client)
        yield Pool(client.get_executor(pure=False), slots, f"{slots} threads of Dask workers at {scheduler}")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _client(scheduler: str):
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "scheduler",
            "the worker's Python lacks Dask",
            "Install the package 'distributed' there, or leave the scheduler empty",
        ) from None
    try:
        return Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "scheduler",
            f"no Dask scheduler answers at '{scheduler}' ({error})",
            "Give its address, such as tcp://host:8786, or leave it empty",
        ) from None


def _upload_package(client) -> None:
    """Send the workers what the tasks are made of, so that they need the libraries only."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{_PACKAGE.name}.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for source in [_PACKAGE / "__init__.py", *sorted((_PACKAGE / "core").rglob("*.py"))]:
                archive.write(source, source.relative_to(_PACKAGE.parent))
        client.upload_file(str(file))
