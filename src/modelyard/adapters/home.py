"""The home folder: where one installation keeps everything that is not in a remote database."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid

PEPPER_BYTES: Final = 32
SEALING_BYTES: Final = 32


class ServerFile(msgspec.Struct, frozen=True):
    """How a local client finds the running server.

    `grpc_url` is `host:port`, as gRPC clients take it; empty where no gRPC is served.
    """

    url: str
    pid: int
    grpc_url: str = ""


class Home:
    """The paths of a home, and the three secrets in it.

    The folder is its owner's alone (mode 0700), and so is each secret (0600).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "modelyard.db"
        self.blobs = path / "blobs"
        self.journal = path / "journal"
        self.uploads = path / "uploads"
        self.scratch = path / "scratch"
        self.checkpoints = path / "checkpoints"
        self.replicas = path / "replicas"
        self.metrics = path / "metrics"
        self.run = path / "run"
        self.allowances = path / "allowances"
        self._pepper = path / "secrets" / "pepper"
        self._sealing_key = path / "secrets" / "sealing.key"
        self._admin_key = path / "admin.key"
        self._server = path / "server.json"
        self._lock = path / "lock"

    def prepare(self) -> None:
        """Make what is missing.

        Raises:
            Invalid: the folder cannot be made, or a secret in it can be read by others.
        """
        try:
            for folder in (self.path, self.blobs, self.journal, self.uploads, self.scratch):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._pepper.parent.mkdir(mode=0o700, exist_ok=True)
            if not self._pepper.exists():
                _write_secret(self._pepper, secrets.token_bytes(PEPPER_BYTES))
            if not self._sealing_key.exists():
                _write_secret(self._sealing_key, secrets.token_bytes(SEALING_BYTES))
        except OSError as error:
            raise self._useless(error) from None
        self.check()

    def check(self) -> None:
        """Look at what there is.

        Raises:
            Invalid: a secret in it can be read by others.
        """
        for secret in (self._pepper, self._sealing_key, self._admin_key):
            _check_private(secret)

    def in_use(self) -> bool:
        """Whether a server that has announced itself here still runs."""
        try:
            said = msgspec.json.decode(self._server.read_bytes(), type=ServerFile)
            os.kill(said.pid, 0)
        except (OSError, msgspec.DecodeError):
            return False
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the home for this server alone; the lock goes with the process, however it ends.

        What a killed server left half written is removed.

        Raises:
            Invalid: another server has it, or it cannot be written to.
        """
        try:
            lock = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._useless(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Invalid(f"another server runs in home {self.path}") from None
        try:
            self._clear_leftovers()
            yield
        finally:
            os.close(lock)

    def _useless(self, error: OSError) -> Invalid:
        return Invalid(f"home {self.path} cannot be used: {error.strerror}")

    def pepper(self) -> bytes:
        """The server's secret for hashing keys.

        Raises:
            Invalid: it has been cut short; without it no key can be recognised.
        """
        return _read_secret(self._pepper, PEPPER_BYTES)

    def sealing_key(self) -> bytes:
        """The server's secret for sealing those of others.

        Raises:
            Invalid: it has been cut short; without it none of them can be opened.
        """
        return _read_secret(self._sealing_key, SEALING_BYTES)

    def save_admin_key(self, secret: str) -> Path:
        """Keep the operator's key for the local command line; returns where."""
        _write_secret(self._admin_key, secret.encode())
        return self._admin_key

    def announce(self, url: str, grpc_url: str) -> None:
        """Tell local clients that the server is up."""
        fresh = self._server.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(ServerFile(url, os.getpid(), grpc_url)))
        fresh.replace(self._server)

    def withdraw(self) -> None:
        """Tell local clients that the server is down."""
        self._server.unlink(missing_ok=True)

    def clear_metrics(self) -> None:
        """Begin the counters anew: a server start is a reset, as Prometheus expects."""
        self.metrics.mkdir(mode=0o700, exist_ok=True)
        for file in self.metrics.iterdir():
            file.unlink()

    def _clear_leftovers(self) -> None:
        """Nobody writes in these places before the server's processes are up."""
        unfinished = (
            *self.uploads.glob("upload-*"),
            *(self.blobs / "incoming").glob("*"),
            *self.journal.glob(".*.new"),
        )
        for file in unfinished:
            file.unlink()


def _write_secret(path: Path, content: bytes) -> None:
    """Write through a new file, so that neither a kill nor a power cut leaves half a secret."""
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "wb") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_secret(path: Path, size: int) -> bytes:
    secret = path.read_bytes()
    if len(secret) != size:
        raise Invalid(f"{path} must hold {size} bytes: restore it")
    return secret


def _check_private(path: Path) -> None:
    if not path.exists():
        return
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Invalid(
            f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}); "
            f"it is a secret: run 'chmod 600 {path}'"
        )
