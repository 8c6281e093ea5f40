import re
from pathlib import Path

import pytest

from bench.contenders import TITLES
from bench.environments import LOCKS

FILES = sorted(LOCKS.glob("*.lock"))


def test_every_peer_has_its_lock() -> None:
    # The last stands before a language model: see bench.llm.
    wanted = {name.partition("-")[0] for name in TITLES} | {"litellm"}

    assert {path.stem for path in FILES} == wanted == {path.stem for path in LOCKS.glob("*.in")}


@pytest.mark.parametrize("lock", FILES, ids=lambda lock: lock.stem)
def test_every_package_of_a_peer_is_pinned_with_a_hash(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")

    entries = re.findall(r"^([^\s#].*(?:\n    --hash=.*)*)", text, flags=re.MULTILINE)

    assert entries
    assert [each for each in entries if "==" not in each or "--hash=sha256:" not in each] == []
    assert "://" not in text
