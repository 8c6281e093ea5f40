"""Python's collector of cycles, and what it need not look at."""

from __future__ import annotations

import gc


def keep() -> None:
    """What is there now stays for as long as the process: it is looked through once more, and then
    never again. With the modules and tables of a gateway each full collection would take some 50
    ms, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
