"""The engines for containers that Debian has, each with folders of its own, and an image for them."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, NotFound
from packaging.requirements import Requirement
from requests.exceptions import RequestException

from tests.abaco.running import SECONDS, eventually
from tests.conftest import ROOT

PROBE = Path(__file__).with_name("probe.py")
IMAGE = "localhost/probe:1"
"""What the engines have, on this machine only: Python, the actor `probe`, and the project's own."""
MANAGER = "localhost/manager:1"
"""The same by another name."""
ACTOR = ("strictjson", "yamlfiles", "reactors", "datacatalog", "manager", "schemas")
FILES = ("message.jsonschema", "config.yml", "reactor.py")
UMOUNT, LDD = (shutil.which(name) or name for name in ("umount", "ldd"))
_UNUSED = re.compile(
    r"(^|/)(test|tests|idlelib|tkinter|ensurepip|lib2to3|site-packages|config-[^/]*)(/|$)|_tkinter|\.a$"
)
_NOT_IMPORTED = {"py", "pytest", "tzdata"}
"""What the packages require, and the actor does without."""
_CHANGES = (
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    "ENV LD_LIBRARY_PATH=/usr/local/lib",
    "ENV PYTHONUNBUFFERED=1",
    "ENV PYTHONDONTWRITEBYTECODE=1",
    "USER 10001",
    'CMD ["python3", "/probe.py"]',
    "WORKDIR /work",
)


class Engine:
    """An engine that runs.

    Attributes:
        name: `docker` or `podman`.
        socket: where it listens.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.socket = folder / "socket"
        self._folder = folder
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Engine:
        """Start it; return when it answers."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def listens() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket(socket.AF_UNIX) as client:
                return client.connect_ex(str(self.socket)) == 0

        eventually(listens)
        self.api = docker.APIClient(base_url=f"unix://{self.socket}", version="1.41")
        return self

    def stop(self) -> None:
        """End it with all that it has."""
        with contextlib.suppress(DockerException, RequestException):
            for each in self.api.containers(all=True, quiet=True):
                self.api.remove_container(each["Id"], force=True)
        self.api.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS)
        with contextlib.suppress(FileNotFoundError):
            for line in Path("/proc/self/mounts").read_text().splitlines():
                place = line.split()[1]
                if place.startswith(f"{self._folder}/"):
                    subprocess.run([UMOUNT, "--lazy", place], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def containers(self) -> list[str]:
        """Return the ids of all containers, those that have ended as well."""
        return [each["Id"] for each in self.described()]

    def described(self) -> list[dict[str, Any]]:
        """Return what the engine tells of each container; for a moment it lists those that it has removed."""
        found = []
        for listed in self.api.containers(all=True, quiet=True):
            with contextlib.suppress(NotFound):
                found.append(self.api.inspect_container(listed["Id"]))
        return found

    def program(self) -> list[str]:
        """Return the beginning of its command line."""
        if self.name == "docker":
            return ["docker", "--host", f"unix://{self.socket}"]
        return [
            *("podman", "--root", str(self._folder / "root")),
            *("--runroot", str(self._folder / "run"), "--tmpdir", str(self._folder / "tmp")),
            *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "none", "--runtime", "runc"),
        ]

    def _command(self) -> list[str]:
        if self.name == "podman":
            return [*self.program(), "system", "service", "--time=0", f"unix://{self.socket}"]
        return [
            *("dockerd", "--host", f"unix://{self.socket}"),
            *("--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec")),
            *("--pidfile", str(self._folder / "pid"), "--storage-driver", "overlay2"),
            *("--bridge", "none", "--iptables=false"),
        ]


@contextlib.contextmanager
def running(name: str) -> Iterator[Engine]:
    """Run an engine that has the image."""
    # podman takes no long path
    engine = Engine(name, Path(tempfile.mkdtemp(prefix="engine")))
    try:
        engine.start()
        changes = [f"--change={change}" for change in _CHANGES]
        done = subprocess.run(
            [*engine.program(), "import", *changes, "-", IMAGE],
            input=files(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        path, _, tag = MANAGER.partition(":")
        engine.api.tag(IMAGE, path, tag)
        yield engine
    finally:
        engine.stop()


def files() -> bytes:
    """Return the files of an image in which this Python runs the actor, without any registry.

    They are those of this machine: so no test waits for a network, or for a build.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in ("tmp", "work"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        python = Path(sys.executable).resolve()
        version = f"python{sysconfig.get_python_version()}"
        library = Path(sysconfig.get_path("stdlib"))
        extensions = (
            each for each in library.glob("lib-dynload/*.so") if "tkinter" not in each.name
        )
        programs = [python, Path("/bin/sh"), *extensions]
        _add(tar, python, "usr/local/bin/python3")
        _add(tar, Path("/bin/sh").resolve(), "bin/sh")
        _add(tar, library, f"usr/local/lib/{version}")
        for distribution in _needed():
            for file in distribution.files or ():
                if file.parts[0] != "..":
                    place = Path(str(distribution.locate_file(file)))
                    _add(tar, place, f"usr/local/lib/{version}/site-packages/{file}")
                    programs += [place] if place.suffix == ".so" else []
        for found in _libraries(programs):
            _add(tar, found.resolve(), f"usr/local/lib/{found.name}")
        loader = next(Path("/lib64").glob("ld-linux*"), None) or next(Path("/lib").glob("ld-*"))
        _add(tar, loader.resolve(), str(loader).lstrip("/"))
        for name in (*ACTOR, *FILES):
            _add(tar, ROOT / name, name)
        _add(tar, PROBE, PROBE.name)
    return content.getvalue()


def _needed() -> list[metadata.Distribution]:
    """Return what the actor imports, with what that needs."""
    project = "pipelinejobs-manager"
    found: dict[str, metadata.Distribution] = {}
    waiting = [project]
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        for each in map(Requirement, distribution.requires or ()):
            wanted = each.marker is None or each.marker.evaluate({"extra": ""})
            if wanted and each.name not in {*found, *_NOT_IMPORTED}:
                found[each.name] = metadata.distribution(each.name)
                waiting.append(each.name)
    return list(found.values())


def _libraries(programs: list[Path]) -> set[Path]:
    done = subprocess.run([LDD, *map(str, programs)], capture_output=True, text=True, check=False)
    return {Path(path) for path in re.findall(r"=> (/\S+)", done.stdout)}


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    def changed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        inside = entry.name.removeprefix(name.lstrip("/"))
        if inside and _UNUSED.search(inside):
            return None
        entry.uid = entry.gid = 0
        entry.mode |= 0o444 if entry.isfile() else 0o555
        return entry

    tar.add(path, name, filter=changed)
