"""A command with tasks that behave badly: the runner's tests start it as a child."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from modelyard.adapters.engine import child
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report


def fine(scratch: Path, report: Report) -> None:
    for step in range(4):
        report(Progress(f"step {step}", step / 4, {"score": step}))
    (scratch / "result.json").write_text("{}")


def refuse(scratch: Path, report: Report) -> None:
    raise Invalid("row 3 of column 'age' is no number")


def break_down(scratch: Path, report: Report) -> None:
    raise RuntimeError(f"cannot use {scratch}/table.parquet or /usr/lib/python3/secret.py")


def abort(scratch: Path, report: Report) -> None:
    report(Progress("about to abort"))
    os.abort()


def leave(scratch: Path, report: Report) -> None:
    os._exit(9)


def leave_well(scratch: Path, report: Report) -> None:
    os._exit(0)


def die(scratch: Path, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hoard(scratch: Path, report: Report) -> None:
    hoarded = []
    while True:
        hoarded.append(bytearray(16 << 20))


def stay(scratch: Path, report: Report) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report(Progress(str(os.getpid())))
    time.sleep(300)


def have_children(scratch: Path, report: Report) -> None:
    # In a session of its own, as one would try to get away.
    code = "import sys, time; open('started', 'w').close(); time.sleep(300)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not Path("started").exists():
        time.sleep(0.01)
    report(Progress("started"))
    time.sleep(300)


def leave_children(scratch: Path, report: Report) -> None:
    # The grandchild inherits nothing but the log's pipe, which it holds open.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    report(Progress("started"))


def link(scratch: Path, report: Report) -> None:
    (scratch / "result.json").symlink_to("/etc/hostname")


def hoard_files(scratch: Path, report: Report) -> None:
    # Soon too many: a look at many files puts off the next one.
    for number in range(100_100):
        os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY))
    time.sleep(300)


def shout(scratch: Path, report: Report) -> None:
    block = b"x" * 1023 + b"\n"
    for _ in range(100):
        os.write(1, block * 1024)
    os.write(2, b"the last words\n")


def garble(scratch: Path, report: Report) -> None:
    fd = int(next(a for a in sys.argv if a.startswith("--progress-fd=")).partition("=")[2])
    rubbish = [
        b"not json\n",
        b"\xff\xfe\x00\n",
        b"[" * 5000 + b"\n",
        b'{"progress":{"message":5}}\n',
        b'{"progress":{"message":"beyond","fraction":7}}\n',
        b"{}\n",
        b"y" * 300_000 + b"\n",
    ]
    for line in rubbish:
        rest = line
        while rest:
            rest = rest[os.write(fd, rest) :]
    report(Progress("one good line"))


def look_around(scratch: Path, report: Report) -> None:
    fds = list(Path("/proc/self/fd").iterdir())
    report(Progress("seen", data={"environ": sorted(os.environ), "fds": len(fds)}))
    report(Progress("long", data={"blob": "z" * 20_000}))


def fill(scratch: Path, report: Report) -> None:
    with (scratch / "big").open("wb") as file:
        file.truncate(SandboxPolicy.file_bytes + 1)


TASKS = {
    "fine": fine,
    "refuse": refuse,
    "break-down": break_down,
    "abort": abort,
    "leave": leave,
    "leave-well": leave_well,
    "die": die,
    "hoard": hoard,
    "stay": stay,
    "have-children": have_children,
    "leave-children": leave_children,
    "link": link,
    "hoard-files": hoard_files,
    "shout": shout,
    "garble": garble,
    "look-around": look_around,
    "fill": fill,
}

if __name__ == "__main__":
    sys.exit(child.main(TASKS, sys.argv[1:]))
