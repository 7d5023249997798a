"""The smoke worker: imports what generated modules import, once, and forks a child for every build.

Started by colophon (src/gates/smoke.rs) inside a sandbox. Standard input brings frames, standard output
takes them: four bytes of length, big-endian, then JSON. The first frame says how to confine a child, and
is answered when the imports are done; every other is a build to test.

A child loads the modules and runs the test functions. It can read the build's folder and the interpreter,
and write nowhere; it has no sockets, starts no process and sends no signal.
"""

import ctypes
import gc
import importlib.util
import json
import os
import resource
import selectors
import signal
import struct
import sys
import time
import traceback

HEAD = struct.Struct(">I")
MOST_REQUEST = 1 << 20
MOST_WORDS = 8192
PACKAGES = ("langgraph.graph", "langgraph.types", "langgraph.checkpoint.memory", "httpx", "argparse", "asyncio")
EXTRAS = ("lfx.custom.eval", "lfx.schema.message", "lfx.schema.dataframe")

LIBC = ctypes.CDLL(None, use_errno=True)
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


def child(request: dict, setup: dict, base: tuple[int, int], answer: int) -> None:
    """Runs in the fork, and never returns."""
    folder = request["folder"]
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
        limit(request, base, setup["processes"])
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
            os.write(answer, json.dumps(result).encode()[: MOST_WORDS * 7])
        finally:
            os._exit(code)


def ended(status: int, late: bool, request: dict) -> str:
    """Why a child ended without an answer."""
    if late:
        return f"it ran longer than {request['limit_ms'] / 1000:g} s and was stopped"
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"it was ended by {name}: it crashed, or ran against a limit of time or memory"
    return f"it ended by itself with exit status {os.waitstatus_to_exitcode(status)} before its test was done"


class Running:
    """A child and what is known of it."""

    def __init__(self, request: dict, pid: int, pipe: int) -> None:
        self.request, self.pid, self.pipe = request, pid, pipe
        self.deadline = time.monotonic() + request["limit_ms"] / 1000
        self.late = False
        self.said = b""


class Worker:
    def __init__(self, requests: int, answers: int) -> None:
        self.requests, self.answers = requests, answers
        self.children: dict[int, Running] = {}
        self.selector = selectors.DefaultSelector()

    def read(self) -> dict | None:
        head = self.exactly(HEAD.size)
        if head is None:
            return None
        (length,) = HEAD.unpack(head)
        if length > MOST_REQUEST:
            return None
        body = self.exactly(length)
        return None if body is None else json.loads(body)

    def exactly(self, count: int) -> bytes | None:
        read = b""
        while len(read) < count:
            part = os.read(self.requests, count - len(read))
            if not part:
                return None
            read += part
        return read

    def write(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        frame = HEAD.pack(len(body)) + body
        while frame:
            frame = frame[os.write(self.answers, frame) :]

    def serve(self, setup: dict) -> None:
        self.selector.register(self.requests, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select(self.patience()):
                if key.fd != self.requests:
                    self.hear(self.children[key.fd])
                elif (request := self.read()) is None:
                    return
                else:
                    self.start(request, setup)
            self.stop_late()

    def patience(self) -> float | None:
        if not self.children:
            return None
        return max(0.0, min(running.deadline for running in self.children.values()) - time.monotonic())

    def start(self, request: dict, setup: dict) -> None:
        base = sizes()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(request, setup, base, theirs)
        os.close(theirs)
        self.children[ours] = Running(request, pid, ours)
        self.selector.register(ours, selectors.EVENT_READ)

    def hear(self, running: Running) -> None:
        part = os.read(running.pipe, 65536)
        running.said += part
        if part and len(running.said) <= MOST_WORDS * 8:
            return
        if part:
            os.kill(running.pid, signal.SIGKILL)
        self.selector.unregister(running.pipe)
        os.close(running.pipe)
        del self.children[running.pipe]
        # Its end of the pipe is closed, which it may have done without ending.
        if not running.late and not wait_briefly(running.pid):
            os.kill(running.pid, signal.SIGKILL)
        status = STATUS.pop(running.pid, None)
        if status is None:
            _, status = os.waitpid(running.pid, 0)
        self.write({"id": running.request["id"], **verdict(running, status)})

    def stop_late(self) -> None:
        now = time.monotonic()
        for running in self.children.values():
            if running.deadline <= now and not running.late:
                running.late = True
                os.kill(running.pid, signal.SIGKILL)


STATUS: dict[int, int] = {}


def wait_briefly(pid: int) -> bool:
    """Whether a child ends by itself now that it has said all."""
    for _ in range(200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            STATUS[pid] = status
            return True
        time.sleep(0.001)
    return False


def verdict(running: Running, status: int) -> dict:
    try:
        said = json.loads(running.said)
        if said["ok"] is True and status == 0:
            return {"ok": True}
        if said["ok"] is False:
            return {"ok": False, "words": str(said["words"])[:MOST_WORDS]}
    except (ValueError, KeyError, TypeError):
        pass
    return {"ok": False, "words": ended(status, running.late, running.request)}


def main() -> None:
    # Whatever prints must not reach the protocol.
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    sys.dont_write_bytecode = True
    worker = Worker(requests, answers)
    setup = worker.read()
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
    worker.write({"id": 0, "ok": True})
    worker.serve(setup)


if __name__ == "__main__":
    main()
