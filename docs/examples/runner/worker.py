"""What runner.py starts: a process that has loaded what all versions need, and forks one for each version.

A version comes through standard input, a socket: the path of its folder, with a socket of its own. There
requests and answers are lines of JSON. The folder is read by its own path, not through `current`, so
nothing of another version can come in.
"""

import asyncio
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys

LONGEST_LINE = 16 << 20


def load(version):
    """Imports every runner of the version, so that a flow that cannot be imported is known now."""
    sys.dont_write_bytecode = True  # the folder is not ours to write to
    sys.path.insert(0, version)
    os.chdir(version)
    runners = importlib.import_module("app.runners")
    found = {}
    for module in pkgutil.walk_packages(runners.__path__, "app.runners."):
        package, _, name = module.name.removeprefix("app.runners.").partition(".")
        if name.endswith("_runner"):
            flow = name.removesuffix("_runner")
            found[package, flow] = importlib.import_module(module.name)
    return found


async def run(flows, request, answer):
    try:
        flow = flows.get((request["package"], request["flow"]))
        if flow is None:
            answer(id=request["id"], status=404, error="there is no such flow")
            return
        result = await flow.invoke(request["input"])
        answer(id=request["id"], status=200, result=result)
    except Exception as error:  # a flow's own failure ends its run alone
        said = f"{type(error).__name__}: {error}"
        status = 400 if type(error).__name__ == "InvalidInput" else 500
        answer(id=request["id"], status=status, error=said)


async def serve(version, line):
    lines, writer = await asyncio.open_unix_connection(sock=line, limit=LONGEST_LINE)

    def answer(**told):
        writer.write(json.dumps(told).encode() + b"\n")

    try:
        flows = load(version)
    except BaseException as error:
        answer(status=500, error=f"{type(error).__name__}: {error}")
        await writer.drain()
        return
    answer(status=200, flows=[list(flow) for flow in sorted(flows)])
    under_way = set()
    while request := await lines.readline():
        task = asyncio.create_task(run(flows, json.loads(request), answer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    # No more will come: the version was replaced. What is under way is answered.
    await asyncio.gather(*under_way)
    await writer.drain()
    writer.close()


def main():
    door = socket.socket(fileno=0)
    for module in filter(None, os.environ.get("RUNNER_PRELOAD", "").split(",")):
        importlib.import_module(module)
    gc.freeze()  # pages that are never written stay shared by all versions
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for how they end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner says when
    while True:
        version, lines, _, _ = socket.recv_fds(door, 4096, 1)
        if not version:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            door.close()
            asyncio.run(serve(version.decode(), socket.socket(fileno=lines[0])))
            return
        os.close(lines[0])


main()
