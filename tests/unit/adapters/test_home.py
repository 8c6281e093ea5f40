import stat
from pathlib import Path

import msgspec
import pytest

from modelyard.adapters.home import Home
from modelyard.core.errors import Invalid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_folders_and_secrets_are_their_owners_alone(home: Home) -> None:
    folders = [home.path, home.blobs, home.journal, home.uploads, home.scratch]
    assert {mode(folder) for folder in [*folders, home.path / "secrets"]} == {0o700}
    assert mode(home.path / "secrets" / "pepper") == 0o600
    saved = home.save_admin_key("my_key")
    assert (mode(saved), saved.read_text()) == (0o600, "my_key")


def test_the_pepper_is_made_once(home: Home) -> None:
    pepper = home.pepper()
    assert len(pepper) == 32
    home.prepare()
    assert home.pepper() == pepper


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_pepper_that_was_cut_short_hashes_nothing(home: Home, content: bytes) -> None:
    (home.path / "secrets" / "pepper").write_bytes(content)
    with pytest.raises(Invalid, match="must hold 32 bytes"):
        home.pepper()


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o620, 0o644, 0o601])
@pytest.mark.parametrize("name", ["secrets/pepper", "admin.key"])
def test_a_secret_that_others_can_read_is_refused(home: Home, name: str, bits: int) -> None:
    home.save_admin_key("my_key")
    (home.path / name).chmod(bits)
    with pytest.raises(Invalid, match=f"mode {bits:04o}.*chmod 600"):
        home.prepare()


def test_a_stale_half_secret_does_not_lend_its_mode(home: Home) -> None:
    stale = home.path / "admin.new"
    stale.write_text("half")
    stale.chmod(0o644)
    assert mode(home.save_admin_key("my_key")) == 0o600
    assert not stale.exists()


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="cannot be used"):
        Home(tmp_path / "file" / "home").prepare()


def test_a_home_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "secrets/pepper.new").mkdir(parents=True)
    with pytest.raises(Invalid, match="cannot be used: Is a directory"):
        home.prepare()
    (tmp_path / "lock").mkdir()
    with pytest.raises(Invalid, match="cannot be used: Is a directory"), home.held():
        pass


def test_the_server_is_announced_whole_and_withdrawn(home: Home) -> None:
    file = home.path / "server.json"
    home.announce("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert set(msgspec.json.decode(file.read_bytes())) >= {"url", "pid"}
    home.withdraw()
    home.withdraw()
    assert not file.exists()


def test_metrics_begin_anew(home: Home) -> None:
    home.clear_metrics()
    (home.metrics / "gwy.slots").write_bytes(b"x")
    home.clear_metrics()
    assert list(home.metrics.iterdir()) == []
