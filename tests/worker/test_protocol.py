"""The worker without QGIS: one JSON request in, JSON lines out, and never half a file."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .odd_jobs import LINE

PROJECT = Path(__file__).resolve().parents[2]
ODD_JOBS = Path(__file__).with_name("odd_jobs.py")


def command(job, request, program=ODD_JOBS):
    return [sys.executable, "-I", "-X", "utf8", str(program), job, str(request)]


def written(folder, arguments):
    request = folder / "request.json"
    request.write_text(json.dumps(arguments), encoding="utf-8")
    return request


def call(folder, job, environment=None, **arguments):
    """Run a job; its exit status, its replies, and its standard error."""
    run = subprocess.run(
        command(job, written(folder, arguments)),
        capture_output=True,
        env=os.environ | (environment or {}),
        timeout=120,
        check=False,
    )
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines()], run.stderr.decode()


def module(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "carbon_spatializer.worker", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=120,
        check=False,
    )


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.name != "request.json")


def test_help_lists_the_jobs():
    run = module("--help")
    assert run.returncode == 0
    assert "aggregatetogrid" in run.stdout
    assert "setupenvironment" in run.stdout


def test_help_of_a_job_lists_its_arguments():
    run = module("setupenvironment", "--help")
    assert run.returncode == 0
    for argument in ("part", "folder", "device", "torch_index"):
        assert argument in run.stdout


def test_command_line_without_arguments():
    run = module()
    assert run.returncode == 2
    assert "usage" in run.stderr


def test_command_line_runs_a_job(tmp_path):
    run = module("checkenvironment", written(tmp_path, {}))
    replies = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0
    assert replies[-1]["result"]["base_ready"] is True
    assert replies[-1]["result"]["python"] == sys.executable


def test_unknown_job(tmp_path):
    run = module("countsheep", written(tmp_path, {}))
    assert run.returncode == 2
    assert "countsheep" in run.stderr
    assert "aggregatetogrid" in run.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"output": "x", "colour": "red"}', ["colour", "no such argument", "output, lines"]),
        ("{}", ["output", "missing"]),
        ("{", ["cannot be read"]),
        ("[1, 2]", ["no JSON object"]),
        (None, ["cannot be read"]),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(tmp_path, text, told):
    request = tmp_path / "request.json"
    if text is not None:
        request.write_text(text)
    run = subprocess.run(command("write", request), capture_output=True, timeout=60, check=False)
    error = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode == 1
    assert error["type"] == "error"
    for part in told:
        assert part in error["text"]
    assert "\n" not in error["text"]


def test_standard_output_holds_replies_only(tmp_path):
    status, replies, stderr = call(tmp_path, "talk")
    assert status == 0
    assert [reply["type"] for reply in replies] == ["started", "info", "warning", "progress", "result"]
    assert replies[1]["text"] == "信息 🌆"
    assert replies[-1]["result"]["summary"] == "done"
    for stray in ("a lie", "straight to the descriptor", "from a child"):
        assert stray in stderr


def test_settings_of_qgis_do_not_reach_the_libraries(tmp_path):
    of_qgis = {"PROJ_LIB": "/none", "PROJ_DATA": "/none", "GDAL_DATA": "/none", "PYTHONPATH": "/none"}
    _, replies, _ = call(tmp_path, "talk", of_qgis)
    assert replies[-1]["result"]["kept"] == []


def test_outputs_and_run_record_appear(tmp_path):
    folder = tmp_path / "a folder 城市 🌆"
    folder.mkdir()
    output, other = folder / "结果.txt", folder / "other.txt"
    status, replies, _ = call(tmp_path, "write", output=str(output), other=str(other), lines=5)
    assert status == 0
    assert output.read_text() == other.read_text() == 5 * LINE
    record = json.loads((folder / "结果.txt.run.json").read_text(encoding="utf-8"))
    assert record["job"] == "write"
    assert record["arguments"]["lines"] == 5
    assert record["result"]["summary"] == replies[-1]["result"]["summary"]
    assert leftovers(folder) == ["other.txt", "结果.txt", "结果.txt.run.json"]


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("refuse", "Parameter parcels: the value '城' is bad. Choose another."),
        ("lose", "1 of 2 balances do not close."),
        ("fail", "KeyError: 'missing'"),
        ("hoard", "ran out of memory"),
    ],
)
def test_failures_give_one_sentence_and_no_output(tmp_path, job, told):
    status, replies, _ = call(tmp_path, job, output=str(tmp_path / "result.txt"))
    assert status == 1
    assert told in replies[-1]["text"]
    assert "\n" not in replies[-1]["text"]
    assert leftovers(tmp_path) == []


def test_former_result_survives_a_failure(tmp_path):
    output = tmp_path / "result.txt"
    output.write_text("the former result")
    call(tmp_path, "fail", output=str(output))
    assert output.read_text() == "the former result"


def test_one_file_for_two_outputs_is_refused(tmp_path):
    output = str(tmp_path / "result.txt")
    status, replies, _ = call(tmp_path, "write", output=output, other=output)
    assert status == 1
    assert "result.txt" in replies[-1]["text"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("output", ["{folder}", "{folder}/request.json/result.txt", "/proc/none/result.txt"])
def test_outputs_that_cannot_be_written(tmp_path, output):
    status, replies, _ = call(tmp_path, "write", output=output.format(folder=tmp_path))
    assert status == 1
    assert "Parameter output" in replies[-1]["text"]
    assert leftovers(tmp_path) == []


def test_full_disk(tmp_path):
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({mounted.stderr.strip()})")
    try:
        status, replies, _ = call(tmp_path, "fill", output=str(folder / "result.bin"))
        assert status == 1
        assert "disk is full" in replies[-1]["text"]
        assert leftovers(folder) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_interrupt_ends_the_job(tmp_path):
    output = tmp_path / "result.txt"
    request = written(tmp_path, {"output": str(output), "seconds": 60})
    with subprocess.Popen(command("write", request), stdout=subprocess.PIPE) as process:
        while b"progress" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        replies = process.stdout.read().splitlines()
    assert process.returncode == 3
    assert "Cancelled" in json.loads(replies[-1])["text"]
    assert leftovers(tmp_path) == []


def test_killed_at_random_moments_never_leaves_half_a_file(tmp_path):
    """The job takes about a second with its start: the moments cover start, writing, moving and the end."""
    moments = random.Random(7)
    outcomes = set()
    for number in range(20):
        output = tmp_path / f"result{number}.txt"
        request = written(tmp_path, {"output": str(output), "lines": 50, "seconds": 0.3})
        with subprocess.Popen(command("write", request), stdout=subprocess.PIPE) as process:
            time.sleep(moments.uniform(0, 0.8))
            process.kill()
        outcomes.add(output.exists())
        assert not output.exists() or output.read_text() == 50 * LINE
    assert outcomes == {True, False}, "the moments must cover both ends"


def test_side_by_side_into_one_folder(tmp_path):
    """Eight workers at once, two of them for the same file: each file is whole, and nothing else is left."""
    processes, outputs = [], []
    for number in range(8):
        output = tmp_path / f"result{number // 2 if number < 2 else number}.txt"
        request = tmp_path / f"request{number}.json"
        request.write_text(json.dumps({"output": str(output), "lines": 40, "seconds": 0.3}))
        processes.append(subprocess.Popen(command("write", request), stdout=subprocess.DEVNULL))
        outputs.append(output)
    assert [process.wait(timeout=120) for process in processes] == [0] * 8
    for output in outputs:
        assert output.read_text() == 40 * LINE
    assert not list(tmp_path.glob(".carbon-*"))
