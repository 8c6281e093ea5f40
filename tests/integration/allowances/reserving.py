"""A process that takes from a budget: `take FILE LIMIT`, `hold FILE LIMIT` or `seize FILE`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from modelyard.adapters.allowances import SharedAllowances
from modelyard.core.quotas import FOREVER, Period
from modelyard.serving.limits.ports import OpenAccount

TENANT = "tnt_a"
BUDGET = OpenAccount("quo_a", Period.TOTAL, 0, FOREVER)


def take(path: Path, limit: int) -> int:
    """Take one at a time until there is none; every third is given back."""
    accounts = SharedAllowances(path).of(TENANT)
    account = accounts.open(BUDGET)
    taken = 0
    while accounts.reserve([(account, 1, limit)], 0.0) is None:
        used = int(taken % 3 != 2)
        taken += 1
        account.settle(1, used, 0.0)
    return 0


def hold(path: Path, limit: int) -> int:
    """Hold all that there is, say so, and wait to be killed."""
    accounts = SharedAllowances(path).of(TENANT)
    account = accounts.open(BUDGET)
    while accounts.reserve([(account, 1, limit)], 0.0) is None:
        pass
    os.write(1, b"held\n")
    time.sleep(600)
    return 1


def seize(path: Path) -> int:
    """Keep the tenant's lock, say so, and wait to be killed."""
    shared = SharedAllowances(path)
    with shared.of(TENANT).lock:
        os.write(1, b"held\n")
        time.sleep(600)
    return 1


if __name__ == "__main__":
    act, file, *rest = sys.argv[1:]
    if act == "seize":
        sys.exit(seize(Path(file)))
    sys.exit({"take": take, "hold": hold}[act](Path(file), int(rest[0])))
