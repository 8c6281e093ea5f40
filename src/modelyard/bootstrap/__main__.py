"""`python -m modelyard.bootstrap PROCESS`: one of the server's processes, or a task of theirs."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import Final

CONTROLLER: Final = "controller"
GATEWAY: Final = "gateway"
REPLICA: Final = "replica"
RUNTIMES: Final = "runtimes"
TASK: Final = "task"
WORKER: Final = "worker"


def main(arguments: list[str]) -> int:
    """Run the process that the arguments name; returns its exit status."""
    if arguments[:1] == [TASK]:
        from modelyard.bootstrap import task

        return task.run(arguments)
    if arguments[:1] == [REPLICA]:
        from modelyard.bootstrap import replica

        return replica.run(arguments)
    return _child(arguments)


def _child(arguments: list[str]) -> int:
    """A child of the supervisor. It has its settings from the environment."""
    from modelyard.adapters.telemetry.logs import configure_logs
    from modelyard.core.settings import resolve

    parser = argparse.ArgumentParser("modelyard.bootstrap")
    parser.add_argument("process", choices=[GATEWAY, CONTROLLER, RUNTIMES, WORKER])
    parser.add_argument("--socket-fd", type=int)
    given = parser.parse_args(arguments)
    settings = resolve({}, os.environ).settings
    configure_logs(settings.log_format, settings.log_level)
    if given.process == GATEWAY:
        from modelyard.bootstrap import gateway

        return gateway.run(settings, socket.socket(fileno=given.socket_fd))
    if given.process == CONTROLLER:
        from modelyard.bootstrap import controller

        return controller.run(settings)
    if given.process == RUNTIMES:
        from modelyard.bootstrap import runtimes

        return runtimes.run(settings)
    from modelyard.bootstrap import worker

    return worker.run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
