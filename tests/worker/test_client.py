"""QGIS's side of the seam: progress, cancel, dead workers, and runs side by side."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="needs QGIS's own Python")

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from carbon_spatializer.worker import client, environment

pytestmark = pytest.mark.qgis

PYTHON = Path(sys.executable)
LINE = "a whole line of a result\n"


class Log(QgsProcessingFeedback):
    """A feedback that keeps what it is told."""

    def __init__(self):
        super().__init__(False)
        self.said = []

    def pushInfo(self, info):
        self.said.append(("info", info))

    def pushWarning(self, warning):
        self.said.append(("warning", warning))

    def pushDebugInfo(self, info):
        self.said.append(("debug", info))


@pytest.fixture(autouse=True)
def odd_worker(qgis_app, monkeypatch):
    monkeypatch.setattr(client, "_MAIN", Path(__file__).with_name("odd_jobs.py"))


def run(job, output=None, feedback=None, **arguments):
    if output is not None:
        arguments["output"] = str(output)
    return client.run(job, arguments, [str(output)] if output else [], feedback or Log(), PYTHON)


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children():
    """Processes that this one started."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for file in lists for pid in file.read_text().split()]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def kill_children(delay):
    wait_for(children)
    time.sleep(delay)
    for pid in children():
        os.kill(pid, signal.SIGKILL)


def test_result_messages_and_progress_are_relayed():
    log = Log()
    result = run("talk", feedback=log)
    assert result["summary"] == "done"
    assert ("info", "信息 🌆") in log.said
    assert ("warning", "a warning") in log.said
    assert log.progress() == 50


def test_output_in_a_folder_with_blanks_chinese_and_emoji(tmp_path):
    folder = tmp_path / "有 空格 🌆"
    folder.mkdir()
    run("write", folder / "结果 1.txt", lines=3)
    assert (folder / "结果 1.txt").read_text() == 3 * LINE


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("refuse", "Parameter parcels: the value '城' is bad. Choose another."),
        ("fail", "KeyError"),
        ("hoard", "ran out of memory"),
        ("segfault", "crashed"),
        ("killed", "memory"),
    ],
)
def test_dead_workers_give_one_sentence_and_no_output(tmp_path, job, told):
    with pytest.raises(QgsProcessingException) as error:
        run(job, tmp_path / "result.txt")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert leftovers(tmp_path) == []


def test_killed_at_20_random_moments(tmp_path):
    moments = random.Random(3)
    outcomes = set()
    for number in range(20):
        output = tmp_path / f"result{number}.txt"

        killer = threading.Thread(target=kill_children, args=(moments.uniform(0, 0.6),))
        killer.start()
        with suppress(QgsProcessingException):
            run("write", output, lines=50, seconds=0.2)
        killer.join()
        outcomes.add(output.exists())
        assert not output.exists() or output.read_text() == 50 * LINE
        assert not list(tmp_path.glob(".carbon-*"))
    assert outcomes == {True, False}, "the moments must cover both ends"


def test_cancel_ends_the_whole_process_tree_within_2_seconds(tmp_path, record_property):
    log, pids, cancelled = Log(), tmp_path / "pids", []

    def cancel():
        wait_for(pids.exists)
        time.sleep(0.5)  # into the loop in C
        cancelled.append(time.monotonic())
        log.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("busy", tmp_path / "result.txt", log, pids=str(pids))
    canceller.join()
    tree = [int(pid) for pid in pids.read_text().split()]
    assert wait_for(lambda: not any(map(alive, tree)), 2)
    took = time.monotonic() - cancelled[0]
    record_property("seconds", took)
    assert took < 2
    assert len(tree) == 3
    assert leftovers(tmp_path) == ["pids"]


def test_cancel_before_the_worker_answers(tmp_path):
    log = Log()
    log.cancel()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("write", tmp_path / "result.txt", log, seconds=20)
    assert leftovers(tmp_path) == []


def test_interrupt_cancels_the_job(tmp_path):
    log = Log()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = signal.getsignal(signal.SIGINT)
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("write", tmp_path / "result.txt", log, seconds=30)
    assert time.monotonic() - started < 3
    assert signal.getsignal(signal.SIGINT) is before
    assert leftovers(tmp_path) == []


def test_side_by_side_in_threads(tmp_path):
    """Four runs at once into one folder, one of them cancelled and one killed: the others do not notice."""
    logs = [Log() for _ in range(4)]
    outputs = [tmp_path / f"result{number}.txt" for number in range(4)]
    jobs = ["write", "write", "write", "killed"]
    arguments = [{"lines": 50, "seconds": 2}] * 3 + [{}]

    def one(number):
        try:
            return run(jobs[number], outputs[number], logs[number], **arguments[number])
        except QgsProcessingException as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(one, number) for number in range(4)]
        time.sleep(0.8)
        logs[2].cancel()
        results = [future.result() for future in futures]
    assert results[0] == results[1] == {"summary": "50 lines written."}
    assert "Cancelled" in results[2]
    assert "memory" in results[3]
    for output in outputs[:2]:
        assert output.read_text() == 50 * LINE
    assert leftovers(tmp_path) == ["result0.txt", "result0.txt.run.json", "result1.txt", "result1.txt.run.json"]


def test_worker_ends_when_qgis_is_gone(tmp_path):
    """A process that starts a job as QGIS does, and is killed, takes the job and its children along."""
    pids = tmp_path / "pids"
    request = tmp_path / "request.json"
    request.write_text(f'{{"output": "{tmp_path}/result.txt", "pids": "{pids}"}}')
    code = (
        "import os, subprocess, sys; "
        f"subprocess.run([sys.executable, '-I', {str(client._MAIN)!r}, 'linger', {str(request)!r}, "
        "'--parent', str(os.getpid())])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as parent:
        assert wait_for(pids.exists)
        time.sleep(0.2)
        tree = [int(pid) for pid in pids.read_text().split()]
        assert all(map(alive, tree))
        parent.kill()
    assert wait_for(lambda: not any(map(alive, tree)), 2)
    assert leftovers(tmp_path) == ["pids"]


def test_missing_interpreter(tmp_path):
    with pytest.raises(QgsProcessingException, match=r"does not exist.*Set up environment"):
        client.run("write", {}, [], Log(), tmp_path / "none")


def test_interrupted_environment(tmp_path):
    python = environment.python_in(tmp_path)
    python.parent.mkdir(parents=True)
    python.symlink_to(PYTHON)
    environment.mark(tmp_path, [])
    with pytest.raises(QgsProcessingException, match=r"interrupted.*Set up environment"):
        client.run("write", {}, [], Log(), python)
    environment.mark(tmp_path, ["base"])
    assert client.run("talk", {}, [], Log(), python)["summary"] == "done"


def test_interpreter_that_is_no_python(tmp_path):
    with pytest.raises(QgsProcessingException, match="ended with status"):
        client.run("write", {}, [], Log(), Path("/bin/false"))


def test_interpreter_that_may_not_be_run(tmp_path):
    file = tmp_path / "python"
    file.write_text("text")
    with pytest.raises(QgsProcessingException, match="could not be started"):
        client.run("write", {}, [], Log(), file)


def test_interpreter_without_packages(tmp_path, monkeypatch):
    """A bare Python says what it lacks and what to run."""
    monkeypatch.setattr(client, "_MAIN", Path(client.__file__).with_name("__main__.py"))
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(QgsProcessingException, match=r"lacks '\w+'; run the tool 'Set up environment'"):
        client.run(
            "aggregatetogrid",
            {"input": "x.gpkg", "output": str(tmp_path / "o.gpkg")},
            [],
            Log(),
            environment.python_in(tmp_path / "bare"),
        )
