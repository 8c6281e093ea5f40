"""What the repository promises about itself and no other tool checks."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import modelyard

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
CORE = sorted((ROOT / "src/modelyard/core").rglob("*.py"))


def _pyproject(folder: Path) -> dict[str, object]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert match is not None, requirement
    return match.group().lower()


def _direct_dependencies() -> set[str]:
    server, client = _pyproject(ROOT), _pyproject(ROOT / "packages/sdk")
    lists: list[list[str]] = []
    for project in (server["project"], client["project"]):
        assert isinstance(project, dict)
        lists.append(project["dependencies"])
        lists.extend(project.get("optional-dependencies", {}).values())
    groups = server["dependency-groups"]
    assert isinstance(groups, dict)
    lists.extend(groups.values())
    inputs = (ROOT / "requirements/clients.in").read_text(encoding="utf-8").splitlines()
    lists.append([line for line in inputs if line and not line.startswith("#")])
    return {_name(requirement) for requirements in lists for requirement in requirements}


def _imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_pins_every_package_with_a_hash_and_names_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.findall(r"^([^\s#].*(?:\n    --hash=.*)*)", text, flags=re.MULTILINE)

    assert entries
    unpinned = [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert unpinned == []
    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    assert "--find-links" not in text


def test_base_install_has_no_training_library() -> None:
    text = (ROOT / "requirements/base.lock").read_text(encoding="utf-8")

    locked = set(re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE))

    assert "onnxruntime" in locked
    assert locked.isdisjoint({"scikit-learn", "scipy", "polars", "pyarrow", "torch", "ray"})


def test_the_lock_has_every_extra_but_those_of_pytorch() -> None:
    project = _pyproject(ROOT)["project"]
    assert isinstance(project, dict)
    script = (ROOT / "scripts/lock").read_text(encoding="utf-8")

    locked = set(re.findall(r"--extra (\w+)", script))

    assert locked == set(project["optional-dependencies"]) - {"torch", "keras"}
    text = (ROOT / "requirements/dev.lock").read_text(encoding="utf-8")
    assert re.findall(r"^(?:torch|nvidia-.*)==", text, flags=re.MULTILINE) == []


def test_every_direct_dependency_has_its_reason_written_down() -> None:
    page = (ROOT / "docs/explanation/dependencies.md").read_text(encoding="utf-8")

    missing = [name for name in _direct_dependencies() if not re.search(rf"\b{name}\b", page)]

    assert missing == []


def test_server_and_client_have_one_version() -> None:
    client = _pyproject(ROOT / "packages/sdk")["project"]
    server = _pyproject(ROOT)["project"]
    assert isinstance(client, dict)
    assert isinstance(server, dict)

    assert client["version"] == modelyard.__version__
    assert f"modelyard-client=={modelyard.__version__}" in server["dependencies"]


@pytest.mark.parametrize("file", CORE, ids=lambda file: file.stem)
def test_core_needs_little(file: Path) -> None:
    allowed = sys.stdlib_module_names | {"modelyard", "msgspec", "numpy"}

    assert _imported_packages(file) - allowed == set()


def test_decision_records_are_numbered_and_listed() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "index.md").read_text(encoding="utf-8")

    records = sorted(path.name for path in folder.glob("*.md") if path.name != "index.md")

    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    assert [name for name in records if f"({name})" not in index] == []
