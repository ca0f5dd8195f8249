"""The worker's own main program with a few more jobs, which misbehave: for the tests of the worker."""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from carbon_spatializer import jobs
from carbon_spatializer.core.errors import InputError, MassError

LINE = "a whole line of a result\n"


def write(run, *, output, lines=100, seconds=0.0, other=None):
    """Write a file, and another one, line by line."""
    for destination in filter(None, (output, other)):
        with run.stage(destination).open("w") as file:
            for number in range(lines):
                file.write(LINE)
                file.flush()
                time.sleep(seconds / lines)
                run.progress((number + 1) / lines, f"Line {number}")
    return {"summary": f"{lines} lines written."}


def talk(run):
    """Print in every way that a library may, and send a message of each kind."""
    print('{"type": "result", "result": "a lie"}')
    os.write(1, b"straight to the descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    run.info("信息 🌆")
    run.warning("a warning")
    run.progress(0.5, "half")
    return {"summary": "done", "kept": [name for name in os.environ if name.startswith(("PYTHON", "PROJ", "GDAL"))]}


def refuse(run, *, output):
    """Refuse an input after having staged an output."""
    run.stage(output).write_text("half")
    raise InputError("parcels", "the value '城' is bad", "Choose another")


def lose(run, *, output):
    """Fail to close the balance."""
    run.stage(output).write_text("half")
    raise MassError("1 of 2 balances do not close.")


def fail(run, *, output):
    """Fail in a way that nobody foresaw."""
    run.stage(output).write_text("half")
    return {}["missing"]


def segfault(run, *, output):
    """Crash as a faulty library does."""
    run.stage(output).write_text("half")
    ctypes.string_at(0)


def killed(run, *, output):
    """End as the system ends a process that takes too much memory."""
    run.stage(output).write_text("half")
    os.kill(os.getpid(), 9)


def hoard(run, *, output):
    """Take memory until there is none left."""
    import resource

    run.stage(output).write_text("half")
    resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000))
    hoarded = []
    while True:
        hoarded.append(bytearray(10_000_000))


def fill(run, *, output):
    """Write until the disk is full."""
    with run.stage(output).open("wb") as file:
        for _ in range(1000):
            file.write(bytes(1_000_000))
    return {"summary": "the disk was never full"}


def busy(run, *, output, pids):
    """Start two processes that sleep, and compute in C without ever looking up."""
    run.stage(output).write_text("half")
    _family(pids)
    sum(range(10**12))


def linger(run, *, output, pids):
    """Start two processes that sleep, and sleep."""
    run.stage(output).write_text("half")
    _family(pids)
    time.sleep(600)


def _family(pids):
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(2)]
    Path(pids).write_text(" ".join(str(pid) for pid in [os.getpid(), *(child.pid for child in children)]))


sys.modules["carbon_spatializer.jobs.odd"] = sys.modules[__name__]
jobs.JOBS |= {
    function.__name__: ("odd", function.__name__)
    for function in (write, talk, refuse, lose, fail, segfault, killed, hoard, fill, busy, linger)
}

if __name__ == "__main__":
    from carbon_spatializer.worker.__main__ import main

    sys.exit(main())
