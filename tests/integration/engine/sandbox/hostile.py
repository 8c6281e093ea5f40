"""What code that means harm would try. Runs in a sandbox and tells what came of each attempt.

Arguments: a JSON object that says where the things to attack are, and the attempts' names. An
attempt that returns has succeeded; one that raises has failed.
"""

import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Target = dict[str, Any]

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
# x86_64 and aarch64
NUMBERS = {
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "rt_sigqueueinfo": (129, 138),
    "setns": (308, 268),
    "userfaultfd": (323, 282),
}


def check(result: int) -> int:
    """What C answers: -1 is a failure."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(name: str, *arguments: Any) -> int:
    number = NUMBERS[name][0 if X86 else 1]
    longs = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return check(LIBC.syscall(ctypes.c_long(number), *longs))


# Files


def read_other_model(target: Target) -> None:
    Path(target["other_model"]).read_bytes()


def list_home(target: Target) -> None:
    list(Path(target["home"]).iterdir())


def read_secret(target: Target) -> None:
    Path(target["secret"]).read_bytes()


def read_secret_by_handle(target: Target) -> None:
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136)
    path = os.fsencode(target["secret"])
    syscall("name_to_handle_at", -100, path, handle, ctypes.byref(ctypes.c_int()), 0)
    os.read(syscall("open_by_handle_at", -100, handle, os.O_RDONLY), 1)


def read_secret_by_link(target: Target) -> None:
    os.link(target["secret"], "hard")
    Path("hard").read_bytes()


def leave_symlink(target: Target) -> None:
    Path("result").symlink_to(target["secret"])


def leave_pipe(_: Target) -> None:
    os.mkfifo("pipe")


def write_home(target: Target) -> None:
    Path(target["home"], "mine").write_text("here")


def write_own_model(target: Target) -> None:
    with Path(target["own_model"]).open("ab") as file:
        file.write(b"more")


def truncate_secret(target: Target) -> None:
    os.truncate(target["secret"], 0)


def delete_secret(target: Target) -> None:
    Path(target["secret"]).unlink()


def change_owner(target: Target) -> None:
    os.chown(target["secret"], 1, 1)


def watch_home(target: Target) -> None:
    descriptor = check(LIBC.inotify_init1(0))
    check(LIBC.inotify_add_watch(descriptor, os.fsencode(target["home"]), 0xFFF))


def read_passwords(_: Target) -> None:
    Path("/etc/shadow").read_bytes()


def read_users(_: Target) -> None:
    Path("/etc/passwd").read_bytes()


def write_shared_memory(_: Target) -> None:
    Path("/dev/shm/mine").write_text("here")  # noqa: S108


def write_temporary(_: Target) -> None:
    Path("/tmp/modelyard-hostile").write_text("here")  # noqa: S108


# The parent and other processes


def parent_environment(target: Target) -> None:
    Path(f"/proc/{target['parent']}/environ").read_bytes()


def parent_command(target: Target) -> None:
    Path(f"/proc/{target['parent']}/cmdline").read_bytes()


def parent_memory(target: Target) -> None:
    with Path(f"/proc/{target['parent']}/mem").open("rb") as file:
        file.seek(target["address"])
        file.read(1)


def parent_memory_by_call(target: Target) -> None:
    here = ctypes.create_string_buffer(8)
    local = struct.pack("=QQ", ctypes.addressof(here), 8)
    remote = struct.pack("=QQ", target["address"], 8)
    syscall("process_vm_readv", target["parent"], local, 1, remote, 1, 0)


def trace_parent(target: Target) -> None:
    check(LIBC.ptrace(16, target["parent"], 0, 0))


def take_descriptor(target: Target) -> None:
    syscall("pidfd_getfd", os.pidfd_open(target["parent"]), 1, 0)


def compare_with_parent(target: Target) -> None:
    syscall("kcmp", os.getpid(), target["parent"], 1, 0, 0)


def signal_parent(target: Target) -> None:
    os.kill(target["parent"], 0)


def signal_everybody(_: Target) -> None:
    os.kill(-1, 0)


def signal_by_queue(target: Target) -> None:
    syscall("rt_sigqueueinfo", target["parent"], signal.SIGUSR1, ctypes.create_string_buffer(128))


def signal_by_pidfd(target: Target) -> None:
    signal.pidfd_send_signal(os.pidfd_open(target["parent"]), 0)


def signal_by_file(target: Target) -> None:
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, target["parent"])


def slow_parent_down(target: Target) -> None:
    os.setpriority(os.PRIO_PROCESS, target["parent"], 19)


def limit_parent(target: Target) -> None:
    resource.prlimit(target["parent"], resource.RLIMIT_NOFILE, (10, 10))


def pin_parent(target: Target) -> None:
    os.sched_setaffinity(target["parent"], {0})


def outlive_parent(_: Target) -> None:
    check(LIBC.prctl(1, 0, 0, 0, 0))


# Network


def tcp_connect(target: Target) -> None:
    socket.create_connection(("127.0.0.1", target["tcp"]), timeout=2).close()


def tcp_listen(_: Target) -> None:
    socket.create_server(("127.0.0.1", 0)).close()


def udp_send(target: Target) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", target["udp"]))


def unix_connect(target: Target) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(target["unix"])


def abstract_connect(target: Target) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + target["abstract"])


def datagram_of_pair(target: Target) -> None:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", target["unix_datagram"])


def stream_of_pair(target: Target) -> None:
    one, _ = socket.socketpair()
    one.sendto(b"x", target["unix_datagram"])


def resolve_name(_: Target) -> None:
    socket.getaddrinfo("example.org", 80)


def netlink(_: Target) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


def raw_socket(_: Target) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)


# Programs and the kernel


def run_program(_: Target) -> None:
    subprocess.run(["/bin/true"], check=True)


def replace_itself(_: Target) -> None:
    os.execv("/bin/true", ["true"])  # noqa: S606


def fork(_: Target) -> None:
    if os.fork() == 0:
        os._exit(0)


def program_in_memory(_: Target) -> None:
    os.memfd_create("program")


def secret_memory(_: Target) -> None:
    syscall("memfd_secret", 0)


def system_v_memory(_: Target) -> None:
    check(LIBC.shmget(0, 4096, 0o1666))


def message_queue(_: Target) -> None:
    check(LIBC.msgget(0, 0o1666))


def io_uring(_: Target) -> None:
    syscall("io_uring_setup", 4, ctypes.create_string_buffer(120))


def berkeley_packet_filter(_: Target) -> None:
    syscall("bpf", 0, ctypes.create_string_buffer(128), 128)


def performance_counters(_: Target) -> None:
    syscall("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0)


def kernel_keys(_: Target) -> None:
    syscall("keyctl", 0, -3, 1)


def page_faults(_: Target) -> None:
    syscall("userfaultfd", 1)


def new_user_namespace(_: Target) -> None:
    check(LIBC.unshare(0x10000000))


def join_namespace(target: Target) -> None:
    descriptor = os.open(f"/proc/{target['parent']}/ns/net", os.O_RDONLY)
    syscall("setns", descriptor, 0)


def mount(_: Target) -> None:
    check(LIBC.mount(b"none", b".", b"tmpfs", 0, None))


def change_root(_: Target) -> None:
    os.chroot(".")


def make_device(_: Target) -> None:
    os.mknod("disk", 0o60600, os.makedev(254, 0))


def reboot(_: Target) -> None:
    # With these the kernel would only switch Ctrl-Alt-Del off.
    check(LIBC.reboot(0))


def set_clock(_: Target) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def type_into_terminal(_: Target) -> None:
    fcntl.ioctl(0, termios.TIOCSTI, b"x")


def other_abi(_: Target) -> None:
    """getpid as x32 knows it."""
    if not X86:
        raise OSError("only x86 has it")
    check(LIBC.syscall(ctypes.c_long(0x40000000 | 39)))


def take_memory(_: Target) -> None:
    taken = [bytearray(256 << 20) for _ in range(40)]
    del taken


def take_descriptors(_: Target) -> None:
    dups: list[int] = []
    try:
        while len(dups) < 100_000:
            dups.append(os.dup(0))  # one by one: those before the failure are closed
    finally:
        for descriptor in dups:
            os.close(descriptor)


def write_large_file(target: Target) -> None:
    with Path("large").open("wb") as file:
        file.truncate(target["file_bytes"] + 1)


def change_mode(target: Target) -> None:
    """This says that it worked: whoever runs it has to look."""
    Path(target["secret"]).chmod(0o666)
    if Path(target["secret"]).stat().st_mode & 0o777 == 0o600:
        raise PermissionError("the mode is as it was")


# These end the process, or go on until it is ended.


def other_machine(_: Target) -> None:
    """getpid by the door of 32-bit programs."""
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def fork_bomb(_: Target) -> None:
    while True:
        os.fork()


def start_threads(_: Target) -> None:
    threading.stack_size(64 << 10)
    for _number in range(100_000):
        threading.Thread(target=time.sleep, args=(300,), daemon=True).start()


def fill_disk(_: Target) -> None:
    for number in range(100_000):
        Path(f"block-{number}").write_bytes(bytes(4 << 20))


def fill_disk_unseen(_: Target) -> None:
    kept = []
    for number in range(100_000):
        file = Path(f"block-{number}").open("wb")  # noqa: SIM115 - it is to stay open
        Path(f"block-{number}").unlink()
        file.write(bytes(4 << 20))
        kept.append(file)


def use_memory(_: Target) -> None:
    """Less than the address space, more than may be used."""
    taken = [bytearray(os.urandom(1 << 20)) for _ in range(1000)]
    time.sleep(300)
    del taken


def ignore_signals(_: Target) -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.write("ignoring\n")
    time.sleep(300)


def get_away(_: Target) -> None:
    """Fork twice, in a session of its own."""
    child = os.fork()
    if child == 0:
        with suppress(PermissionError):
            os.setsid()
        if os.fork() == 0:
            Path("away").touch()
            time.sleep(300)
        os._exit(0)
    os.waitpid(child, 0)
    while not Path("away").exists():
        time.sleep(0.01)


def print_endlessly(_: Target) -> None:
    while True:
        os.write(1, b"x" * 65536)


def compute_endlessly(_: Target) -> None:
    while True:
        pass


ENDLESS: tuple[Callable[[Target], None], ...] = (
    other_machine, fork_bomb, start_threads, fill_disk, fill_disk_unseen, use_memory,
    ignore_signals, get_away, print_endlessly, compute_endlessly,
)  # fmt: skip
SHORT: tuple[Callable[[Target], None], ...] = (
    read_other_model, list_home, read_secret, read_secret_by_handle, read_secret_by_link,
    leave_symlink, leave_pipe, write_home, write_own_model, truncate_secret, delete_secret,
    change_owner, change_mode, watch_home, read_passwords, read_users, write_shared_memory,
    write_temporary, parent_environment, parent_command, parent_memory, parent_memory_by_call,
    trace_parent, take_descriptor, compare_with_parent, signal_parent, signal_everybody,
    signal_by_queue, signal_by_pidfd, signal_by_file, slow_parent_down, limit_parent, pin_parent,
    outlive_parent, tcp_connect, tcp_listen, udp_send, unix_connect, abstract_connect,
    datagram_of_pair, stream_of_pair, resolve_name, netlink, raw_socket, run_program,
    replace_itself, fork, program_in_memory, secret_memory, system_v_memory, message_queue,
    io_uring, berkeley_packet_filter, performance_counters, kernel_keys, page_faults,
    new_user_namespace, join_namespace, mount, change_root, make_device, reboot, set_clock,
    type_into_terminal, other_abi, take_memory, take_descriptors, write_large_file,
)  # fmt: skip
BY_NAME = {attempt.__name__: attempt for attempt in (*SHORT, *ENDLESS)}


def main(target: Target, names: list[str]) -> None:
    for name in names:
        try:
            BY_NAME[name](target)
            came = "succeeded"
        except BaseException as error:  # noqa: BLE001 - SystemExit would be a way out
            came = f"{type(error).__name__}: {error}"
        # One line for each, at once: the next attempt may be the last.
        os.write(1, json.dumps({"attempt": name, "came": came}).encode() + b"\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
