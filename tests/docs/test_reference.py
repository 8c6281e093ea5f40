"""The reference is complete and says what the code says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from modelyard.api.grpc.generated import inference_pb2
from modelyard.cli.app import build
from modelyard.core.settings import Settings
from modelyard.serving.exposition import render
from tests.docs.markdown import ROOT

REFERENCE = ROOT / "docs/reference"


def _script(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_generated_pages_are_fresh() -> None:
    ended = _script(ROOT / "scripts/reference.py", "--check")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_stale_page_is_named_and_mended(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = Path(shutil.copy(ROOT / "scripts/reference.py", tmp_path / "scripts"))
    page = tmp_path / "docs/reference/settings.md"
    page.parent.mkdir(parents=True)
    fresh = (REFERENCE / "settings.md").read_text()
    page.write_text(fresh.replace("MODELYARD_PORT", "MODELYARD_HARBOUR"))
    ended = _script(script, "--check")
    assert ended.returncode == 1
    assert "settings.md" in ended.stdout
    assert _script(script).returncode == 0
    assert page.read_text() == fresh


def test_every_setting_is_documented() -> None:
    page = (REFERENCE / "settings.md").read_text()
    missing = [
        field.name
        for field in msgspec.structs.fields(Settings)
        if f"| `{field.name}` | `MODELYARD_{field.name.upper()}` |" not in page
    ]
    assert missing == []


def test_every_command_is_documented() -> None:
    page = (REFERENCE / "commands.md").read_text()
    app = build()
    names = []
    for name in app:
        if name.startswith("-"):
            continue
        names.append(name)
        verbs = [verb for verb in app[name] if not verb.startswith("-")]
        names += [f"{name} {verb}" for verb in verbs]
    assert "keys create" in names
    missing = [name for name in names if not re.search(rf"^#+ modelyard {name}$", page, re.M)]
    assert missing == []


def test_no_route_is_without_a_summary_or_a_documented_answer() -> None:
    page = (REFERENCE / "management-api.md").read_text()
    routes = re.findall(r"^\| `(\w+ /api/v1/[^`]*)` \| ([^|]*)\|[^|]*\| ([^|]*)\|$", page, re.M)
    assert len(routes) >= 29
    assert [route for route, summary, answer in routes if not (summary.strip() and answer)] == []
    shapes = set(re.findall(r"^#### (\w+)$", page, re.M))
    linked = set(re.findall(r"\]\(#(\w+)\)", page))
    assert linked <= {shape.lower() for shape in shapes}


def test_every_metric_is_documented(tmp_path: Path) -> None:
    page = (REFERENCE / "metrics.md").read_text()
    names = re.findall(r"^# TYPE (\w+) (\w+)$", render(tmp_path, None), re.M)
    assert len(names) >= 8
    assert [(name, kind) for name, kind in names if f"| `{name}` | {kind} |" not in page] == []


def test_every_method_of_the_grpc_service_is_documented() -> None:
    page = (REFERENCE / "data-plane.md").read_text()
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert [method.name for method in service.methods if f"`{method.name}`" not in page] == []


@pytest.mark.parametrize(
    "path",
    [
        "/livez",
        "/readyz",
        "/v2",
        "/v2/models/{name}/infer",
        "/v1/models/{name}:predict",
        "/v2/repository/index",
        "/v2/models/{name}/config",
        "/v2/models/{name}/stats",
    ],
)
def test_the_data_planes_routes_are_documented(path: str) -> None:
    assert f"{path}`" in (REFERENCE / "data-plane.md").read_text()
