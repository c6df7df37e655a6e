"""Google's emulators of Bigtable, Pub/Sub and Cloud Tasks, each on a free loopback port for as long as a `with` lasts.

They end with the process that started them, however it ends (see `infra.local.child`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.free_port import free_port
from infra.local.processes import READY_TIMEOUT_S, Child, ChildFailedError, ChildSpec
from shared.errors import PermanentError

HOST = "127.0.0.1"
TASKS_ENVIRONMENT = Path(__file__).parents[2] / ".cache" / "tasks-emulator"
_TASKS_REQUIREMENTS = Path(__file__).with_name("tasks_emulator.requirements.txt")
_TASKS_PROGRAM = Path(__file__).with_name("tasks_emulator.py")
_SDK_PLACES = (
    "/usr/lib/google-cloud-sdk",
    "/usr/lib/google-cloud-cli",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
    "/snap/google-cloud-sdk/current",
    "~/google-cloud-sdk",
)
# A short-lived test server: the quick compiler starts it in two thirds of the time.
_JAVA_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class EmulatorMissingError(PermanentError):
    """An emulator's program is not installed; the message says what to install."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator.

    Attributes:
      name: of the emulator.
      endpoint: `127.0.0.1:PORT`.
      environment: what sends clients to it. Google's clients read BIGTABLE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST; for
        Cloud Tasks there is no variable that they read: CLOUD_TASKS_EMULATOR_HOST is by convention, as in other tools.
    """

    name: str
    endpoint: str
    environment: Mapping[str, str]


@contextmanager
def bigtable_emulator(log_folder: Path | None = None) -> Iterator[Emulator]:
    """Google's Bigtable emulator; tables and rows live in its memory.

    Args:
      log_folder: gets the emulator's log; None for a temporary one.

    Raises:
      EmulatorMissingError: if the Cloud SDK or its component is not installed.
      ChildFailedError: if it does not start.
    """
    program = _sdk_file("bigtable-emulator", "cbtemulator")
    with _running("bigtable", lambda port: (str(program), "-host", HOST, "-port", str(port)), log_folder) as endpoint:
        yield Emulator("bigtable", endpoint, {"BIGTABLE_EMULATOR_HOST": endpoint})


@contextmanager
def pubsub_emulator(log_folder: Path | None = None) -> Iterator[Emulator]:
    """Google's Pub/Sub emulator. See `bigtable_emulator`; it needs Java too."""
    jar = _sdk_file("pubsub-emulator", "lib/cloud-pubsub-emulator-*-all.jar")
    java = _java()
    with _running(
        "pubsub", lambda port: (java, *_JAVA_OPTIONS, "-jar", str(jar), f"--host={HOST}", f"--port={port}"), log_folder
    ) as endpoint:
        yield Emulator("pubsub", endpoint, {"PUBSUB_EMULATOR_HOST": endpoint})


@contextmanager
def tasks_emulator(log_folder: Path | None = None, environment_folder: Path = TASKS_ENVIRONMENT) -> Iterator[Emulator]:
    """`gcloud-tasks-emulator`, with a few things nearer to Cloud Tasks; see `infra.local.tasks_emulator`.

    Args:
      log_folder: see `bigtable_emulator`.
      environment_folder: its virtual environment, made here at first use (some 10 s).

    Raises:
      EmulatorMissingError: if its packages cannot be installed.
      ChildFailedError: if it does not start.
    """
    python = _tasks_python(environment_folder)
    with _running("tasks", lambda port: (str(python), str(_TASKS_PROGRAM), str(port)), log_folder) as endpoint:
        yield Emulator("tasks", endpoint, {"CLOUD_TASKS_EMULATOR_HOST": endpoint})


@contextmanager
def _running(name: str, command: Callable[[int], tuple[str, ...]], log_folder: Path | None) -> Iterator[str]:
    """Runs a server's command while the `with` lasts; its endpoint."""
    with ExitStack() as stack:
        folder = log_folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulator-")))
        port = free_port()
        child = Child(ChildSpec(name, ("infra.local.program", *command(port))), folder / f"{name}-emulator.log")
        stack.callback(child.stop)
        _wait_until_listening(child, port)
        yield f"{HOST}:{port}"


def _wait_until_listening(child: Child, port: int) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        if not child.running or time.monotonic() > deadline_s:
            tail = child.log_file.read_text(errors="replace")[-2000:]
            raise ChildFailedError(f"the {child.spec.name} emulator did not start; the end of its log:\n{tail}")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


def _sdk_file(component: str, pattern: str) -> Path:
    """A file of a component of the Cloud SDK; the last by name if there are several versions."""
    for root in _sdk_roots():
        found = sorted((root / "platform" / component).glob(pattern))
        if found:
            return found[-1]
    raise EmulatorMissingError(
        f"the {component} is not installed: install the Google Cloud SDK (CLOUDSDK_ROOT names its folder if that is an "
        f"unusual one) and then `gcloud components install {component}`, or from Google's Debian or RPM repository "
        f"the package google-cloud-cli-{component}"
    )


def _sdk_roots() -> list[Path]:
    """Folders where the SDK may lie: the one that the environment names and no other, or else the usual ones."""
    named = os.environ.get("CLOUDSDK_ROOT") or os.environ.get("CLOUDSDK_ROOT_DIR")
    if named:
        return [Path(named)]
    gcloud = shutil.which("gcloud")
    places = [Path(place).expanduser() for place in _SDK_PLACES]
    return [Path(gcloud).resolve().parents[1], *places] if gcloud else places


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise EmulatorMissingError(
            "the pubsub emulator needs Java 11 or later: install a JRE, for example the Debian package "
            "default-jre-headless"
        )
    return java


def _tasks_python(folder: Path) -> Path:
    """The interpreter of the Cloud Tasks emulator's virtual environment, made anew if it is absent or outdated."""
    python, mark, wanted = folder / "bin" / "python", folder / "installed", _TASKS_REQUIREMENTS.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (python.exists() and mark.is_file() and mark.read_text() == wanted):
            _command(sys.executable, "-m", "venv", "--clear", str(folder))
            _command(str(python), "-m", "pip", "install", "--quiet", "--requirement", str(_TASKS_REQUIREMENTS))
            mark.write_text(wanted)
    return python


def _command(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorMissingError(
            f"the packages of the Cloud Tasks emulator ({_TASKS_REQUIREMENTS.name}) cannot be installed with "
            f"`python -m venv` and pip: {done.stderr.strip()[-500:]}"
        )
