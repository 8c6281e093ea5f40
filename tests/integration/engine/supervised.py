"""A supervisor over children that are small shell or Python commands: its tests start it."""

import logging
import sys
import time
from pathlib import Path

from modelyard.adapters.engine.supervisor import ChildSpec, Supervisor, listen

# Writes a line when it starts and when it is asked to stop; takes connections while it runs.
SERVER = """
import os, signal, socket, sys, time
name, story, fd = sys.argv[1], sys.argv[2], int(sys.argv[3].partition("=")[2])
def tell(what):
    with open(story, "a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
def stop(*_):
    tell("asked")
    time.sleep(0.2)
    tell("stopped")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
tell("started")
listener = socket.socket(fileno=fd)
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""

WORKER = """
import os, signal, sys, time
name, story = sys.argv[1:3]
def tell(what):
    with open(story, "a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
def stop(*_):
    tell("asked")
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "stubborn" else stop)
tell("started")
time.sleep(3 if name == "brief" else 300)
"""

BROKEN = """
import sys, time
with open(sys.argv[1], "a") as file:
    file.write(f"broken {time.monotonic()}\\n")
sys.exit(3)
"""


def main(story: Path, *kinds: str) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    python = sys.executable
    specs = {
        "server": ChildSpec(
            "server", (python, "-c", SERVER, "server", str(story)), count=2, listens=True
        ),
        "worker": ChildSpec("worker", (python, "-c", WORKER, "worker", str(story)), stop_order=1),
        "stubborn": ChildSpec(
            "stubborn", (python, "-c", WORKER, "stubborn", str(story)), stop_order=2, grace=3.0
        ),
        "later": ChildSpec("later", (python, "-c", WORKER, "later", str(story)), yields=60.0),
        "soon": ChildSpec("soon", (python, "-c", WORKER, "soon", str(story)), yields=0.2),
        "broken": ChildSpec("broken", (python, "-c", BROKEN, str(story)), stop_order=3),
        "absent": ChildSpec("absent", ("/nowhere/at-all",), stop_order=3),
    }
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    asked_at = time.monotonic()

    def ready() -> bool:
        lines = story.read_text().splitlines() if story.exists() else []
        return time.monotonic() - asked_at > 0.3 and any("started" in line for line in lines)

    def on_ready() -> None:
        print(port, flush=True)  # noqa: T201 - the test reads it

    children = [specs[kind] for kind in kinds]
    return Supervisor(children, listener=listener, ready=ready, on_ready=on_ready).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
