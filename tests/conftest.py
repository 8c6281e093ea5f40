"""What holds for every test: no network but loopback, repeatable chance, a clean environment."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.postgres", "tests.replicas"]

_ADDRESSED = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_RESOLVED = {"socket.getaddrinfo", "socket.gethostbyname"}
_LOCAL_NAMES = {None, "", "localhost", b"", b"localhost"}


class NetworkUsedError(RuntimeError):
    """A test tried to reach something beyond this machine."""


def _is_local(host: object) -> bool:
    if host in _LOCAL_NAMES:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in _ADDRESSED:
        # (socket, address): a path for a Unix socket, None where the socket is connected already.
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in _RESOLVED:
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        raise NetworkUsedError(f"{event}: {host!r} is not on this machine")


# pytest-socket guards socket.connect() while a test runs. This hook sees the rest too: name
# look-ups, UDP, connect_ex(), and code that runs at import or between tests. Neither sees native
# code that opens sockets of its own, as uvloop does.
sys.addaudithook(_refuse_network)

# Libraries that compute on a thread for each core are far slower where the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Unless this is set before its first import, onnxruntime writes a device id and may send reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

hypothesis.settings.register_profile("dev", deadline=None)
# In CI a commit always tries the same examples: a failure there is the commit's, not the dice's.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins, so that in the end no worker is left alone with it; first of all what
    shares a whole server, which then stops.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: ("e2e" not in item.path.parts, item.path not in slow))


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the tests away from the developer's own settings and ~/.modelyard."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            # MODELYARD_TEST_* is what a developer tells the tests themselves.
            ours = name.startswith("MODELYARD_") and not name.startswith("MODELYARD_TEST_")
            if ours or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        yield home
