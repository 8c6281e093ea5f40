import pytest

from modelyard.core.errors import Invalid, UnsupportedFormat
from modelyard.core.sandboxing import Capabilities, SandboxLevel

FULL = Capabilities(1, True, ("user", "net", "ipc"))
REDUCED = Capabilities(7, True, (), (), ("namespaces are not allowed (EPERM)",))
NO_LANDLOCK = Capabilities(0, True, ("user", "net", "ipc"), (), ("Landlock is switched off",))
NO_SECCOMP = Capabilities(7, False, ("user", "net", "ipc"), (), ("seccomp does not work",))


@pytest.mark.parametrize(
    ("capabilities", "level"),
    [
        (FULL, SandboxLevel.FULL),
        (REDUCED, SandboxLevel.REDUCED),
        (NO_LANDLOCK, SandboxLevel.NONE),
        (NO_SECCOMP, SandboxLevel.NONE),
        (Capabilities(), SandboxLevel.NONE),
    ],
)
def test_the_level_follows_from_what_works(capabilities: Capabilities, level: str) -> None:
    assert capabilities.level == level


def test_code_is_admitted_where_it_can_be_shut_in() -> None:
    FULL.admit_code("a pickle")
    REDUCED.admit_code("a pickle")


@pytest.mark.parametrize("capabilities", [NO_LANDLOCK, NO_SECCOMP])
def test_code_is_refused_elsewhere_with_reason_and_remedy(capabilities: Capabilities) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        capabilities.admit_code("a pickle")
    assert "a pickle can run code" in refusal.value.message
    assert capabilities.missing[0] in refusal.value.message
    assert "ONNX" in refusal.value.message


def test_a_demand_that_is_met_passes() -> None:
    FULL.demand(SandboxLevel.FULL)
    FULL.demand(SandboxLevel.REDUCED)
    REDUCED.demand(SandboxLevel.REDUCED)


def test_a_demand_that_is_not_met_is_refused_with_the_reason() -> None:
    with pytest.raises(Invalid, match=r"demands the level 'full'.*'reduced'.*EPERM"):
        REDUCED.demand(SandboxLevel.FULL)
    with pytest.raises(Invalid, match="switched off"):
        NO_LANDLOCK.demand(SandboxLevel.REDUCED)
