"""llama.cpp's own HTTP server, alone in a process: `python -m bench.llamacpp_server FILE STREAMS`.

Prints its address, and serves until its standard input ends.
"""

from __future__ import annotations

import os
import sys
from typing import Any

CONTEXT = 1024


def main(file: str, streams: int) -> None:
    """Serve."""
    import xllamacpp

    told: Any = xllamacpp.CommonParams()
    told.model.path = file
    told.n_ctx, told.n_parallel, told.kv_unified = CONTEXT * streams, streams, False
    told.cpuparams.n_threads = told.cpuparams_batch.n_threads = len(os.sched_getaffinity(0))
    told.hostnames, told.port, told.verbosity = ["127.0.0.1"], 0, 1
    server = xllamacpp.Server(told)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
