"""How well this host can shut in code that nobody has to trust."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from modelyard.core.errors import Invalid, UnsupportedFormat


class SandboxLevel(StrEnum):
    """`FULL`: files, system calls and network are cut off twice over, by independent means.
    `REDUCED`: by Landlock and seccomp, without namespaces. `NONE`: by neither or only one.
    """

    NONE = "none"
    REDUCED = "reduced"
    FULL = "full"


class Capabilities(msgspec.Struct, frozen=True):
    """What of the kernel's means works here, as tried out at start.

    `landlock` is the version of its interface, 0 for none. `namespaces` are those of every
    sandbox, `pid_namespaces` those that sandboxes with several processes have beside them.
    `missing` says in words what does not work, and why.
    """

    landlock: int = 0
    seccomp: bool = False
    namespaces: tuple[str, ...] = ()
    pid_namespaces: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def level(self) -> SandboxLevel:
        """The level of the sandboxes that can be made of this."""
        if not (self.landlock and self.seccomp):
            return SandboxLevel.NONE
        if {"net", "ipc"} <= set(self.namespaces):
            return SandboxLevel.FULL
        return SandboxLevel.REDUCED

    @property
    def runs_code(self) -> bool:
        """Whether artifacts that can execute code may be loaded here, in a sandbox."""
        return self.level is not SandboxLevel.NONE

    def admit_code(self, what: str) -> None:
        """Let `what` (such as "a pickle") pass if it can be shut in.

        Raises:
            UnsupportedFormat: it cannot; the message says why and what to do.
        """
        if not self.runs_code:
            raise UnsupportedFormat(
                f"{what} can run code, and this server has no sandbox for it: "
                f"{'; '.join(self.missing)}. Convert it to ONNX, or run the server on Linux 5.13 "
                "or newer with Landlock and seccomp ('modelyard doctor' shows what there is)"
            )

    def demand(self, least: SandboxLevel) -> None:
        """Check that `least`, the level that the operator wants, is reached.

        Raises:
            Invalid: the host's is lower; the message says what is missing.
        """
        order = list(SandboxLevel)
        if order.index(self.level) < order.index(least):
            raise Invalid(
                f"the setting 'sandbox' demands the level '{least}', and this host's is "
                f"'{self.level}': {'; '.join(self.missing)}"
            )
