from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelyard.cli.config import MASK
from modelyard.core.settings import Settings
from tests.unit.cli.conftest import Run

SECRET = "my_" + "s" * 49


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "modelyard.toml").write_text('currency = "EUR"\nport = 9000\n')
    monkeypatch.setenv("MODELYARD_PORT", "9001")
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", SECRET)
    monkeypatch.setenv("MODELYARD_DATABASE_URL", "postgresql://u:password@h/d")
    return tmp_path


def test_each_setting_has_a_value_a_source_and_a_meaning(run: Run, home: Path) -> None:
    ended = run("config", "--home", str(home), "--json")
    shown = json.loads(ended.out)
    assert list(shown) == list(Settings.__struct_fields__)
    assert all(entry["meaning"] for entry in shown.values())
    found = {name: (shown[name]["value"], shown[name]["source"]) for name in shown}
    assert found["home"] == (str(home), "flag")
    assert found["port"] == (9001, "MODELYARD_PORT")
    assert found["currency"] == ("EUR", str(home / "modelyard.toml"))
    assert found["workers"] == (0, "default")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_masked(run: Run, home: Path, form: list[str]) -> None:
    ended = run("config", "--home", str(home), *form)
    assert SECRET not in ended.out
    assert "password" not in ended.out
    assert ended.out.count(MASK) == 2


def test_a_bad_setting_is_named_with_its_source(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_WORKERS", "many")
    ended = run("config")
    assert (ended.code, ended.out) == (1, "")
    assert "'workers' from MODELYARD_WORKERS" in ended.err


def test_a_bad_secret_is_not_shown(run: Run, home: Path) -> None:
    (home / "modelyard.toml").write_text(f'admin_key = ["{SECRET}"]\n')
    ended = run("config", "--home", str(home))
    assert ended.code == 1
    assert SECRET not in ended.err
