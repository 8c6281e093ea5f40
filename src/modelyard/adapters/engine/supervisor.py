"""Keeps a set of processes running, and stops them in order.

It knows nothing of what they do: commands, counts and order come in as data.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Final

import msgspec

from modelyard.adapters.engine.lifetime import die_with_parent
from modelyard.adapters.engine.status import describe
from modelyard.core.errors import Invalid
from modelyard.core.stopping import StopFlag

TICK: Final = 0.05
FIRST_DELAY: Final = 0.1
MOST_DELAY: Final = 10.0
STEADY_SECONDS: Final = 10.0
"""A child that lived so long is healthy: its next death counts as the first."""
FAILURES_TO_TELL: Final = 5
BACKLOG: Final = 2048
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


class ChildSpec(msgspec.Struct, frozen=True):
    """`count` processes of one command.

    With `listens` the command gets a last argument `--socket-fd=N`, the socket to accept from.
    Children of the lowest `stop_order` are asked to stop first, and have `grace` seconds. One that
    `yields` leaves the processor to the others until they are ready, but no longer than so many
    seconds.
    """

    name: str
    command: tuple[str, ...]
    count: int = 1
    listens: bool = False
    stop_order: int = 0
    grace: float = 10.0
    yields: float = 0.0


def listen(host: str, port: int, setting: str = "port") -> socket.socket:
    """A socket that accepts connections; port 0 takes a free one. Errors name the `setting`.

    Raises:
        Invalid: the address is not one of this host, or is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Invalid(f"cannot listen on {host}: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        instead = f"; set '{setting}' to another, or to 0 for a free one" if port else ""
        raise Invalid(f"cannot listen on {host} port {port}: {error.strerror}{instead}") from None
    return listener


class Supervisor:
    """Runs until a signal asks it to stop.

    `ready` is asked until it says yes, then `on_ready` is called, once. Both are called between
    other duties and should take well under a second.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        listener: socket.socket | None = None,
        ready: Callable[[], bool] = lambda: True,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._children = [
            _Child(spec, number, listener) for spec in children for number in range(spec.count)
        ]
        self._ready = ready
        self._on_ready = on_ready

    def run(self) -> int:
        """Start everything, keep it running, stop it when asked; return the exit status.

        The first SIGTERM, SIGINT or SIGHUP stops the children group by group; the second kills
        what is left of them. Runs in the main thread: the children die with it.
        """
        stop = StopFlag()
        before = {number: signal.getsignal(number) for number in SIGNALS}
        # What whoever started us had us ignore (nohup does) stays ignored.
        stop.on(number for number, handler in before.items() if handler != signal.SIG_IGN)
        try:
            self._keep_running(stop)
            self._stop(stop)
        finally:
            for child in self._children:
                child.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
            stop.close()
        return 0

    def _keep_running(self, stop: StopFlag) -> None:
        ready, began = False, time.monotonic()
        while not stop.wait(TICK):
            now = time.monotonic()
            for child in self._children:
                if ready or now - began >= child.spec.yields:
                    child.attend(now)
            if not ready and self._ready():
                ready = True
                self._on_ready()

    def _stop(self, stop: StopFlag) -> None:
        logger.info("stopping")
        in_order = sorted(self._children, key=lambda child: child.spec.stop_order)
        for _, group in groupby(in_order, key=lambda child: child.spec.stop_order):
            children = list(group)
            for child in children:
                child.ask_to_stop()
            deadline = time.monotonic() + max(child.spec.grace for child in children)
            while any(child.running for child in children):
                if stop.count > 1 or time.monotonic() >= deadline:
                    names = [child.name for child in children if child.running]
                    logger.warning("killing what did not stop", extra={"children": names})
                    break
                time.sleep(TICK)
            for child in children:
                child.kill()


class _Child:
    """One place that a process fills; when it dies, the next one does."""

    def __init__(self, spec: ChildSpec, number: int, listener: socket.socket | None) -> None:
        self.spec = spec
        self.name = f"{spec.name}-{number}" if spec.count > 1 else spec.name
        self._command = list(spec.command)
        self._fds: tuple[int, ...] = ()
        if spec.listens:
            if listener is None:
                raise ValueError(f"child '{spec.name}' listens, but there is no socket")
            self._fds = (listener.fileno(),)
            self._command.append(f"--socket-fd={listener.fileno()}")
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._failures = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._status(self._process) is None

    def attend(self, now: float) -> None:
        """Start the process when it is due; notice its death."""
        if self._process is not None:
            status = self._status(self._process)
            if status is not None:
                self._failed(f"it {describe(status)}", now)
        elif now >= self._start_at:
            self._start(now)

    def ask_to_stop(self) -> None:
        if self.running and self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and all that it left behind."""
        if self._process is not None:
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def _start(self, now: float) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                pass_fds=self._fds,
                # Away from the terminal's Ctrl-C: it is for us to say who stops when.
                start_new_session=True,
                # One thread runs here, so code between fork and exec is safe.
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._failed(f"it could not be started: {error}", now)
            return
        self._started_at = now
        logger.info("started", extra={"child": self.name, "pid": self._process.pid})

    def _failed(self, reason: str, now: float) -> None:
        if self._process is not None and now - self._started_at >= STEADY_SECONDS:
            self._failures = 0
        self._process = None
        delay = min(FIRST_DELAY * 2**self._failures, MOST_DELAY)
        self._failures += 1
        self._start_at = now + delay
        facts = {"child": self.name, "reason": reason, "restart_in": delay}
        if self._failures % FAILURES_TO_TELL:
            logger.warning("a child is gone", extra=facts)
        else:
            logger.error(
                "a child does not stay up",
                extra=facts | {"failures": self._failures, "command": " ".join(self._command)},
            )

    @staticmethod
    def _status(process: subprocess.Popen[bytes]) -> int | None:
        """How the process ended, or None; what it left behind is killed before it is reaped."""
        if process.returncode is None:
            # WNOWAIT leaves the dead child in place: its group's id cannot be another's yet.
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode
