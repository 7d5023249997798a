"""The smoke worker: imports what generated modules import, once, and forks a child for every build.

Started by colophon (src/gates/smoke.rs) inside a sandbox. Standard input brings frames, standard output
takes them (src/gates/smoke/wire.rs). The first frame says how to confine a child, and is answered when the
imports are done; every other is a build to test.

A child loads the modules and runs the test functions. It can read the build's folder and the interpreter,
and write nowhere; it has no sockets, starts no process and sends no signal.

Children are builds of different tenants, and each begins as a copy of this process. So this process holds
nothing of a build while it forks for another: what is asked goes through one buffer, which only the child
reads and which is wiped; what a child says stays in its pipe until it ends, goes on unread, and is wiped.
"""

import ctypes
import gc
import importlib.util
import json
import os
import resource
import select
import signal
import struct
import sys
import time
import traceback

HEAD = struct.Struct(">I")
NUMBERS = struct.Struct(">QQ")
ANSWER = struct.Struct(">IQiB")
MOST_REQUEST = 1 << 20
MOST_WORDS = 8192
# A pipe holds as much, so a child that says no more never waits.
MOST_SAID = 1 << 16
PACKAGES = ("langgraph.graph", "langgraph.types", "langgraph.checkpoint.memory", "httpx", "argparse", "asyncio")
EXTRAS = ("lfx.custom.eval", "lfx.schema.message", "lfx.schema.dataframe")

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
CAPABILITIES = 0x20080522
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE = 1 << 1


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def confine(read: list[str], filter_hex: str, landlock: bool) -> None:
    """Gives up everything but reading `read`. Any step that fails raises OSError."""
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if landlock:
        fence(read)
    if filter_hex:
        code = bytes.fromhex(filter_hex)
        buffer = ctypes.create_string_buffer(code, len(code))
        program = Program(len(code) // 8, ctypes.addressof(buffer))
        if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")


def fence(read: list[str]) -> None:
    """Landlock: see linux/landlock.h. Older kernels know fewer rights and a shorter structure."""
    abi = LIBC.syscall(LANDLOCK_CREATE, None, 0, 1)
    if abi < 1:
        raise OSError(ctypes.get_errno(), "landlock")
    bits = 13 + min(max(abi - 1, 0), 2) + (1 if abi >= 5 else 0)
    network, scopes = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)
    length = 24 if abi >= 6 else 16 if abi >= 4 else 8
    attributes = struct.pack("=QQQ", (1 << bits) - 1, network, scopes)[:length]
    ruleset = LIBC.syscall(LANDLOCK_CREATE, attributes, length, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    for path in read:
        allow(ruleset, path, READ_FILE | READ_DIR)
    allow(ruleset, "/dev/null", READ_FILE | WRITE_FILE)
    if LIBC.syscall(LANDLOCK_RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock")
    os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= ~READ_DIR
    rule = struct.pack("=Qi", rights, beneath)
    if LIBC.syscall(LANDLOCK_ADD, ruleset, 1, rule, 0) != 0:
        raise OSError(ctypes.get_errno(), f"landlock: {path}")
    os.close(beneath)


def sizes() -> tuple[int, int]:
    """The address space and the private data of this process, in bytes."""
    with open("/proc/self/statm") as file:
        pages = file.read().split()
    unit = resource.getpagesize()
    return int(pages[0]) * unit, int(pages[5]) * unit


def alone() -> bool:
    """Enters a user namespace, in which Linux counts threads anew since 5.14, and keeps no right in it. Whether that worked."""
    release = os.uname().release.split(".")
    if not (release[0].isdigit() and release[1].isdigit()) or (int(release[0]), int(release[1])) < (5, 14):
        return False
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        return False
    header = struct.pack("=Ii", CAPABILITIES, 0)
    if LIBC.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    return True


def limit(request: dict, base: tuple[int, int], processes: int | None) -> None:
    seconds = -(-request["limit_ms"] // 1000)
    for kind, most in (
        (resource.RLIMIT_AS, base[0] + request["memory"]),
        (resource.RLIMIT_DATA, base[1] + request["memory"]),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_NPROC, processes),
    ):
        if most is not None:
            # The server may have less itself, and nobody gets more.
            _, hard = resource.getrlimit(kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def load(path: str):
    """A module by its file: `tests` may be the name of an installed package."""
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[: -len(".py")], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def smoke(folder: str, test: str) -> None:
    os.chdir(folder)
    sys.path.insert(0, folder)
    module = load(os.path.join(folder, test))
    tests = [value for name, value in vars(module).items() if name.startswith("test_") and callable(value)]
    if not tests:
        raise AssertionError(f"{test} has no test")
    for run in tests:
        run()


def words(error: BaseException, folder: str) -> str:
    """What went wrong, with paths of the folder made relative. The end says most."""
    lines = traceback.format_exception(error)
    # The first frames are this file's.
    while len(lines) > 2 and __file__ in lines[1]:
        del lines[1]
    text = "".join(lines).replace(folder + "/", "").replace(folder, ".").strip()
    return text if len(text) <= MOST_WORDS else "…" + text[-MOST_WORDS:]


def child(asked: bytearray, setup: dict, base: tuple[int, int], answer: int) -> None:
    """Runs in the fork, and never returns."""
    folder = "\0"
    code = 1
    try:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        # Nothing of the worker's: neither its requests nor other builds' answers.
        os.dup2(answer, 3)
        os.closerange(4, 1024)
        answer = 3
        request = json.loads(asked)
        folder = request["folder"]
        counted = setup["confined"] and alone()
        limit(request, base, setup["threads"] if counted else setup["processes"])
        if setup["confined"]:
            confine([*setup["read"], folder], setup["filter"], setup["landlock"])
        smoke(folder, request["test"])
        result = {"ok": True}
        code = 0
    except BaseException as error:  # noqa: BLE001 - a build may raise anything
        try:
            result = {"ok": False, "words": words(error, folder)}
        except BaseException:  # noqa: BLE001 - and its errors may, when they are printed
            result = {"ok": False, "words": f"an error of {type(error)!r}, which cannot be shown"}
    finally:
        try:
            os.write(answer, json.dumps(result).encode()[: MOST_SAID - 1])
        finally:
            os._exit(code)


def fill(number: int, buffer: bytearray) -> bool:
    """Reads until the buffer is full, into it and nowhere else. False: there is no more."""
    view = memoryview(buffer)
    while view:
        count = os.readv(number, [view])
        if not count:
            return False
        view = view[count:]
    return True


def wipe(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))


class Running:
    """A child and what is known of it: nothing of its build."""

    def __init__(self, number: int, limit_ms: int, pid: int, pipe: int) -> None:
        self.number, self.pid, self.pipe = number, pid, pipe
        self.deadline = time.monotonic() + limit_ms / 1000
        self.late = False


class Worker:
    def __init__(self, requests: int, answers: int) -> None:
        self.requests, self.answers = requests, answers
        self.children: dict[int, Running] = {}
        self.poll = select.poll()
        self.said = bytearray(MOST_SAID)

    def length(self) -> int | None:
        head = bytearray(HEAD.size)
        if not fill(self.requests, head):
            return None
        (length,) = HEAD.unpack(head)
        return length if length <= MOST_REQUEST else None

    def set_up(self) -> dict | None:
        length = self.length()
        body = bytearray(length or 0)
        return json.loads(body) if length and fill(self.requests, body) else None

    def write(self, number: int, status: int, late: bool, said: memoryview) -> None:
        head = ANSWER.pack(ANSWER.size - HEAD.size + len(said), number, status, late)
        parts = [memoryview(head), said]
        while parts:
            count = os.writev(self.answers, parts)
            while parts and count >= len(parts[0]):
                count -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][count:]

    def serve(self, setup: dict) -> None:
        self.poll.register(self.requests, select.POLLIN)
        while True:
            for number, _ in self.poll.poll(self.patience()):
                if number != self.requests:
                    self.hear(self.children[number])
                elif not self.start(setup):
                    return
            self.stop_late()

    def patience(self) -> float | None:
        """In milliseconds."""
        waiting = [running.deadline for running in self.children.values() if not running.late]
        return max(0.0, min(waiting) - time.monotonic()) * 1000 + 1 if waiting else None

    def start(self, setup: dict) -> bool:
        """Forks for the next build. False: there is none any more."""
        length, numbers = self.length(), bytearray(NUMBERS.size)
        if length is None or length < len(numbers) or not fill(self.requests, numbers):
            return False
        asked = bytearray(length - len(numbers))
        if not fill(self.requests, asked):
            return False
        base = sizes()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(asked, setup, base, theirs)
        wipe(asked)
        os.close(theirs)
        self.children[ours] = Running(*NUMBERS.unpack(numbers), pid, ours)
        # Told when the child has let go of it, and not before.
        self.poll.register(ours, 0)
        return True

    def hear(self, running: Running) -> None:
        self.poll.unregister(running.pipe)
        del self.children[running.pipe]
        # Its end of the pipe is closed, which it may have done without ending.
        status = end(running.pid, at_once=running.late)
        view, length = memoryview(self.said), 0
        while length < MOST_SAID and (count := os.readv(running.pipe, [view[length:]])):
            length += count
        os.close(running.pipe)
        self.write(running.number, status, running.late, view[:length])
        view.release()
        wipe(self.said)

    def stop_late(self) -> None:
        now = time.monotonic()
        for running in self.children.values():
            if running.deadline <= now and not running.late:
                running.late = True
                os.kill(running.pid, signal.SIGKILL)


def end(pid: int, at_once: bool) -> int:
    """The status of a child that has a moment to end by itself now that it has said all."""
    for _ in range(0 if at_once else 200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    # Whatever prints must not reach the protocol.
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    sys.dont_write_bytecode = True
    worker = Worker(requests, answers)
    setup = worker.set_up()
    if setup is None:
        return
    for name in PACKAGES:
        importlib.import_module(name)
    for name in EXTRAS if setup["lfx"] else ():
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - lfx is a help for some flows, not a need
            break
    # What is here stays shared between the forks.
    gc.collect()
    gc.freeze()
    worker.write(0, 0, False, memoryview(b""))
    worker.serve(setup)


if __name__ == "__main__":
    main()
