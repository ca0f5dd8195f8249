"""QGIS's side of the seam: run one job in the worker, relay its replies, and turn failures into one sentence."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

from qgis.core import QgsBlockingProcess, QgsProcessingException, QgsProcessingFeedback, QgsSettings
from qgis.PyQt.QtCore import QProcess

from . import environment

_MAIN = Path(__file__).with_name("__main__.py")
_KEPT_STDERR_BYTES = 20000


def interpreter() -> Path:
    """The worker's interpreter as set up by the user."""
    return environment.interpreter(QgsSettings().value(environment.SETTING, "", str))


def run(
    job: str,
    arguments: dict,
    destinations: list[str],
    feedback: QgsProcessingFeedback,
    python: Path | None = None,
) -> dict:
    """Run a job in the worker and return its result.

    Parameters
    ----------
    job : name of the job.
    arguments : its request.
    destinations : the files that the job writes; whatever a dead worker left beside them is removed.
    feedback : receives progress and messages, and says when to stop.
    python : interpreter to run the job in; None takes the one that is set up.

    Raises
    ------
    QgsProcessingException : the worker is missing, refused the request, failed, or was stopped; one sentence.
    """
    python = python or interpreter()
    if not python.is_file() or environment.is_interrupted(python):
        state = "is not whole, because its set-up was interrupted" if python.is_file() else "does not exist"
        raise QgsProcessingException(
            f"The worker's Python '{python}' {state}; run the tool 'Set up environment' "
            "(carbon:setupenvironment) once, then run this tool again."
        )
    run_id = uuid.uuid4().hex[:12]
    replies = _Replies(feedback)
    request = Path(tempfile.gettempdir()) / f"carbon-request-{run_id}.json"
    try:
        request.write_text(json.dumps(arguments), encoding="utf-8")
        call = ["-I", "-X", "utf8", str(_MAIN), job, str(request)]
        call += ["--parent", str(os.getpid()), "--run-id", run_id]
        with _cancelled_by_interrupt(feedback):
            status, crashed = run_process(str(python), call, feedback, replies.stdout, replies.stderr)
    finally:
        replies.end_process_tree()
        request.unlink(missing_ok=True)
        for destination in destinations:
            shutil.rmtree(Path(destination).absolute().parent / f".carbon-{run_id}", ignore_errors=True)
    return replies.result(status, crashed)


def run_process(program: str, arguments: list[str], feedback, on_stdout, on_stderr) -> tuple[int, bool]:
    """Run a program with feedback and cancel; returns its exit status and whether it crashed or was killed."""
    if feedback.isCanceled():
        # QGIS notices only what happens while the program runs.
        return 0, True
    process = QgsBlockingProcess(program, arguments)
    # Both handlers must be set and stay referenced until the end, or QGIS aborts.
    process.setStdOutHandler(on_stdout)
    process.setStdErrHandler(on_stderr)
    status = process.run(feedback)
    if process.processError() == QProcess.ProcessError.FailedToStart:
        raise QgsProcessingException(
            f"'{program}' could not be started; run the tool 'Check environment', or 'Set up environment' to mend it."
        )
    return status, process.exitStatus() != QProcess.ExitStatus.NormalExit


@contextmanager
def _cancelled_by_interrupt(feedback):
    """Have Ctrl-C cancel the job when it runs in the main thread, as in ``qgis_process``.

    Python would act on the signal only once QGIS has waited for the worker to end, so a thread of its own listens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    listening, waking = socket.socketpair()
    waking.setblocking(False)

    def listen() -> None:
        with listening:
            if listening.recv(1) == bytes([signal.SIGINT]):
                feedback.cancel()

    threading.Thread(target=listen, daemon=True).start()
    former = signal.signal(signal.SIGINT, lambda *_: None)
    former_fd = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_fd)
        signal.signal(signal.SIGINT, former or signal.SIG_DFL)
        waking.close()


class _Replies:
    """Collects what the worker says."""

    def __init__(self, feedback: QgsProcessingFeedback):
        self._feedback = feedback
        self._pending = b""
        self._stderr = b""
        self._pid = None
        self._result = None
        self._error = None
        self._step = ""
        # The bound methods themselves are kept: QgsBlockingProcess does not hold a reference.
        self.stdout = self._on_stdout
        self.stderr = self._on_stderr

    def _on_stdout(self, data) -> None:
        self._pending += bytes(data)
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            try:
                self._reply(json.loads(line))
            except ValueError:
                # Printed before the worker took over its standard output, by a sitecustomize for example.
                self._feedback.pushDebugInfo(line.decode("utf-8", "replace"))

    def _on_stderr(self, data) -> None:
        self._stderr = (self._stderr + bytes(data))[-_KEPT_STDERR_BYTES:]

    def _reply(self, reply: dict) -> None:
        if self._feedback.isCanceled():
            self.end_process_tree()
        kind = reply["type"]
        if kind == "progress":
            self._feedback.setProgress(100 * reply["fraction"])
            if reply["text"] not in ("", self._step):
                # QGIS writes each text to the log; once per step is enough.
                self._step = reply["text"]
                self._feedback.setProgressText(self._step)
        elif kind == "info":
            self._feedback.pushInfo(reply["text"])
        elif kind == "warning":
            self._feedback.pushWarning(reply["text"])
        elif kind == "started":
            self._pid = reply["pid"]
        elif kind == "result":
            self._result = reply["result"]
        elif kind == "error":
            self._error = reply["text"]
            if reply.get("traceback"):
                self._feedback.pushDebugInfo(reply["traceback"])

    def end_process_tree(self) -> None:
        """Kill whatever the worker left running, once QGIS has seen the worker itself end."""
        if self._pid is None:
            return
        if os.name == "nt":
            taskkill = Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "taskkill.exe"
            subprocess.run([str(taskkill), "/T", "/F", "/PID", str(self._pid)], capture_output=True, check=False)
        else:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def result(self, status: int, crashed: bool) -> dict:
        """The job's result, or the reason why there is none."""
        if self._feedback.isCanceled():
            raise QgsProcessingException("Cancelled; nothing was written.")
        if self._error is not None:
            raise QgsProcessingException(self._error)
        if self._result is None or status != 0 or crashed:
            details = self._stderr.decode("utf-8", "replace").strip()
            if details:
                self._feedback.pushDebugInfo(details)
            raise QgsProcessingException(f"{_death(status, crashed)} Nothing was written; the log holds the details.")
        return self._result


def _death(status: int, crashed: bool) -> str:
    """What became of a worker that ended without a word."""
    if crashed and status == getattr(signal, "SIGKILL", None):
        return (
            "The worker was ended by the system, most often because the memory ran out: close other programs or run "
            "the tool on a smaller area."
        )
    if crashed:
        return (
            f"The worker crashed (code {status}): run the tool 'Check environment', and 'Set up environment' if "
            "it finds anything."
        )
    return f"The worker's Python ended with status {status}: run the tool 'Set up environment' to mend it."
