"""A PostgreSQL server of the tests' own: private data, a free port on loopback, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

USER = "modelyard"
# Nothing here has to survive a crash.
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB")


def find_programs() -> Path | None:
    """The newest folder that holds both `initdb` and `postgres`."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    folders.append(Path("/usr/local/bin"))
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    return None


def unprivileged() -> dict[str, Any]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is no user for it here")


class Server:
    """A running server. `url` is its first database's, for SQLAlchemy."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._programs = programs
        self._password = secrets.token_hex(16)
        self._account = unprivileged()
        if self._account:
            os.chown(folder, self._account["user"], self._account["group"])
        self._initialise()
        self._process, self._port = self._start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def stop(self) -> None:
        """Stop at once, open connections or not."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The server and its backends hold still: connections stay, and nothing answers."""
        import psutil

        postmaster = psutil.Process(self._process.pid)
        # No new backend can come once the first is stopped.
        postmaster.suspend()
        backends = postmaster.children(recursive=True)
        for backend in backends:
            backend.suspend()
        try:
            yield
        finally:
            for process in (*backends, postmaster):
                process.resume()

    def _initialise(self) -> None:
        initdb = str(self._programs / "initdb")
        options = [f"--username={USER}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        if "--locale-provider" in subprocess.check_output([initdb, "--help"], text=True):
            # A locale that does not sort byte by byte, as many servers have.
            options += ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        password = self._folder / "password"
        password.write_text(self._password)
        if self._account:
            os.chown(password, self._account["user"], self._account["group"])
        command = [initdb, "-D", str(self._data), f"--pwfile={password}", *options]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", **self._account
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        for _ in range(3):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port: int = free.getsockname()[1]
            settings = [*FAST, "unix_socket_directories=", "listen_addresses=127.0.0.1"]
            command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(port)]
            command += [word for setting in settings for word in ("-c", setting)]
            with (self._folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd="/", **self._account
                )
            if self._answers(process, port):
                return process, port
        raise RuntimeError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()}")

    def _answers(self, process: subprocess.Popen[bytes], port: int) -> bool:
        import psycopg

        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(
                    host="127.0.0.1",
                    port=port,
                    user=USER,
                    password=self._password,
                    dbname="postgres",
                    connect_timeout=3,
                ).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        process.kill()
        process.wait()
        return False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server for the whole run; the test is left out, loudly, where none is installed."""
    programs = find_programs()
    if programs is None:
        reason = "PostgreSQL's initdb and postgres are not installed: its tests are LEFT OUT"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="modelyard-postgres-"))
    try:
        server = Server(programs, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
