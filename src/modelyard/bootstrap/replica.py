"""A replica: one loaded model version, shut in, that the runtime host has started."""

from __future__ import annotations

import argparse
import os
import socket

from modelyard.serving.replica import worker
from modelyard.serving.runtimes import catalogue


def run(arguments: list[str]) -> int:
    """Answer calls until the host is gone; returns the exit status."""
    parser = argparse.ArgumentParser("replica")
    parser.add_argument("process")
    parser.add_argument("--socket-fd", type=int, required=True)
    descriptor = parser.parse_args(arguments).socket_fd
    os.set_inheritable(descriptor, False)
    return worker.run(socket.socket(fileno=descriptor), catalogue.load)
