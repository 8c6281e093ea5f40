import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.settings import SECRETS, Settings, misspelt, resolve


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_flag_beats_environment_beats_file_beats_default(home: Path) -> None:
    (home / "modelyard.toml").write_text('port = 1\nworkers = 1\nhost = "h1"\n')
    environ = {"MODELYARD_HOME": str(home), "MODELYARD_PORT": "2", "MODELYARD_WORKERS": "2"}
    resolved = resolve({"port": 3, "workers": None}, environ)
    settings, sources = resolved.settings, resolved.sources
    assert (settings.port, sources["port"]) == (3, "flag")
    assert (settings.workers, sources["workers"]) == (2, "MODELYARD_WORKERS")
    assert (settings.host, sources["host"]) == ("h1", str(home / "modelyard.toml"))
    assert (settings.currency, sources["currency"]) == ("USD", "default")


def test_the_home_of_the_flag_decides_which_file_is_read(home: Path) -> None:
    (home / "modelyard.toml").write_text("port = 7\n")
    settings = resolve({"home": str(home)}, {"MODELYARD_HOME": "/nowhere"}).settings
    assert settings.port == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "80.5"),
        ("port", ""),
        ("workers", "many"),
        ("journal_sync", "never"),
        ("currency", "usd"),
        ("drain_seconds", "nan"),
        ("drain_seconds", "inf"),
        ("inline_ms", "0"),
        ("home", ""),
    ],
)
def test_a_bad_value_names_its_source(home: Path, name: str, value: str) -> None:
    environ = {"MODELYARD_HOME": str(home), f"MODELYARD_{name.upper()}": value}
    with pytest.raises(Invalid, match=f"'{name}' from MODELYARD_{name.upper()}"):
        resolve({}, environ)


@pytest.mark.parametrize("content", ["port = 70000", 'port = "x"', "port = 1.5", "[port]\na = 1"])
def test_a_bad_value_in_the_file_names_the_file(home: Path, content: str) -> None:
    (home / "modelyard.toml").write_text(content)
    with pytest.raises(Invalid, match=rf"'port' from {home / 'modelyard.toml'}"):
        resolve({"home": str(home)}, {})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"prot = 1", "there is no setting 'prot'"),
        (b"port = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b'home = "/elsewhere"', "cannot be set in a file that lies in the home"),
    ],
)
def test_a_file_that_is_wrong_is_refused(home: Path, content: bytes, match: str) -> None:
    (home / "modelyard.toml").write_bytes(content)
    with pytest.raises(Invalid, match=match):
        resolve({"home": str(home)}, {})


def test_a_file_that_cannot_be_read_is_no_traceback(home: Path) -> None:
    (home / "modelyard.toml").mkdir()
    with pytest.raises(Invalid, match="cannot be read"):
        resolve({"home": str(home)}, {})


def test_a_secret_is_never_in_a_message(home: Path) -> None:
    for name in SECRETS:
        with pytest.raises(Invalid) as caught:
            resolve({"home": str(home), name: 12345678}, {})
        assert "12345678" not in caught.value.message


def test_every_setting_has_a_description_and_a_default() -> None:
    Settings()
    for field in msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"].values():
        assert len(field["description"]) > 10


def test_workers_zero_is_one_gateway_per_core() -> None:
    assert Settings(workers=0).gateways == os.cpu_count()
    assert Settings(workers=3).gateways == 3


@pytest.mark.parametrize("given", [{"port": 0}, {"port": 65535}, {"log_level": "debug"}])
def test_values_at_the_bounds_pass(home: Path, given: dict[str, Any]) -> None:
    settings = resolve({"home": str(home), **given}, {}).settings
    assert {name: getattr(settings, name) for name in given} == given


def test_a_variable_that_is_nearly_a_setting_is_noticed() -> None:
    environ = {
        "MODELYARD_PORTT": "1",
        "MODELYARD_GRPCPORT": "1",
        "MODELYARD_PORT": "8000",
        "MODELYARD_URL": "http://one",
        "MODELYARD_API_KEY": "my_key",
        # What Kubernetes sets beside a service of our name.
        "MODELYARD_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "MODELYARD_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    assert misspelt(environ) == {
        "MODELYARD_PORTT": "MODELYARD_PORT",
        "MODELYARD_GRPCPORT": "MODELYARD_GRPC_PORT",
    }
