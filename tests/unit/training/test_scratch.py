import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.training.scratch import ScratchRoot


def test_a_folder_is_removed_whatever_happened(tmp_path: Path) -> None:
    root = ScratchRoot(tmp_path / "scratch")

    def fail() -> None:
        with root.folder() as folder:
            (folder / "deep" / "down").mkdir(parents=True)
            (folder / "deep" / "down" / "file").write_text("x")
            (folder / "link").symlink_to(tmp_path)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert tmp_path.exists()


def test_folders_are_private_and_apart(tmp_path: Path) -> None:
    root = ScratchRoot(tmp_path / "scratch")
    with root.folder() as one, root.folder() as two:
        assert one != two
        assert one.stat().st_mode & 0o777 == 0o700


def test_a_sweep_leaves_what_is_in_use(tmp_path: Path) -> None:
    root = ScratchRoot(tmp_path / "scratch")
    assert ScratchRoot(tmp_path / "absent").sweep() == 0
    with root.folder() as folder:
        assert ScratchRoot(tmp_path / "scratch").sweep() == 0
        assert folder.exists()


def test_a_sweep_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from modelyard.training.scratch import ScratchRoot
with ScratchRoot(Path(sys.argv[1])).folder() as folder:
    (folder / "big").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    scratch = tmp_path / "scratch"
    subprocess.run([sys.executable, "-c", code, str(scratch)], check=False)
    assert len(list(scratch.glob("*/big"))) == 1
    assert ScratchRoot(scratch).sweep() == 1
    assert list(scratch.iterdir()) == []
