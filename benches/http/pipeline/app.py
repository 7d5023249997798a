"""A build service as its users write one: FastAPI, Pydantic, Jinja2 and GitPython.

`POST /build` verifies the HMAC over the body, validates the flow, renders it, writes the files into the
tenant's repository, runs the gates, commits and tags. Content that is committed already is a no-op. A
repository per tenant, so that tenants do not wait for each other; nothing is synced to the disk.

PIPELINE_DIR      where repositories and `secrets.json` (tenant to webhook secret) are
PIPELINE_GATES    `1`: black formats and pytest runs before a commit
"""

import fcntl
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import git
import jinja2
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

PLACE = Path(os.environ["PIPELINE_DIR"])
GATES = os.environ.get("PIPELINE_GATES") == "1"
SECRETS: dict[str, str] = json.loads((PLACE / "secrets.json").read_text())

ENV = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
ENV.filters["py"] = repr

# GitPython goes into the repository's folder to add files, and a process is in one folder at a time.
ADDING = threading.Lock()

app = FastAPI()


class Node(BaseModel):
    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    kind: str
    fields: dict[str, Any] = {}


class Edge(BaseModel):
    source: str = Field(alias="from")
    target: str = Field(alias="to")


class Flow(BaseModel):
    schema_version: str
    id: str
    slug: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    name: str
    revision: int
    nodes: list[Node] = Field(min_length=1, max_length=500)
    edges: list[Edge]


class Tenant:
    """A tenant's repository, opened once."""

    def __init__(self, slug: str):
        self.slug = slug
        self.package = slug.replace("-", "_")
        self.threads = threading.Lock()
        self.path = PLACE / slug
        self.repo: git.Repo | None = None

    @contextmanager
    def alone(self):
        """Other threads and other workers wait."""
        with self.threads, open(PLACE / f"{self.slug}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.repo is None:
                self.repo = self.open()
            yield self.repo

    def open(self) -> git.Repo:
        if (self.path / ".git").exists():
            return git.Repo(self.path)
        repo = git.Repo.init(self.path, initial_branch=f"tenant/{self.slug}")
        with repo.config_writer() as config:
            config.set_value("user", "name", "builder")
            config.set_value("user", "email", "builder@localhost")
            config.set_value("gc", "auto", "0")
        (self.path / "README.md").write_text(f"# {self.slug}\n")
        with ADDING:
            repo.index.add(["README.md"])
        repo.index.commit(f"chore(tenant): bootstrap {self.slug}")
        return repo


TENANTS = {slug: Tenant(slug) for slug in SECRETS}


@app.get("/healthz")
async def healthz():
    return {"ok": True}


@app.post("/build", status_code=201)
async def build(
    request: Request,
    response: Response,
    x_tenant_slug: Annotated[str, Header()],
    x_ap_signature: Annotated[str, Header()],
):
    body = await request.body()
    tenant = TENANTS.get(x_tenant_slug)
    secret = SECRETS.get(x_tenant_slug, "")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if tenant is None or not hmac.compare_digest(expected, x_ap_signature.removeprefix("sha256=")):
        raise HTTPException(401, "bad signature")
    try:
        flow = Flow.model_validate_json(body)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    outcome, commit = await run_in_threadpool(make, tenant, flow, body)
    if outcome == "noop":
        response.status_code = 200
    return {"outcome": outcome, "commit": commit, "branch": f"tenant/{tenant.slug}"}


def make(tenant: Tenant, flow: Flow, body: bytes) -> tuple[str, str]:
    with tenant.alone() as repo:
        paths = write(tenant, flow, body)
        if GATES and changed(repo, paths):
            gate(tenant, flow, paths)
        with ADDING:
            repo.index.add(paths)
        if not repo.index.diff("HEAD"):
            return "noop", repo.head.commit.hexsha
        now = datetime.now(timezone.utc)
        commit = repo.index.commit(f"feat(flow): build {flow.slug}")
        stamp = now.strftime("%Y%m%d%H%M%S%f")[:17]
        # Builds of one millisecond would have one tag.
        tag, extra = f"bld/{tenant.slug}/{stamp}-cloud", 0
        while (tenant.path / ".git/refs/tags" / tag).exists():
            extra += 1
            tag = f"bld/{tenant.slug}/{int(stamp) + extra}-cloud"
        repo.create_tag(tag, ref=commit)
        return "built", commit.hexsha


def write(tenant: Tenant, flow: Flow, body: bytes) -> list[str]:
    """Renders and writes the flow's files; their paths."""
    context = {
        "flow": flow,
        "package": tenant.package,
        "names": [node.id for node in flow.nodes],
    }
    package = f"app/flows/{tenant.package}"
    files = {
        f"{package}/flow_{flow.slug}.py": ENV.get_template("flow.py.j2").render(context),
        f"app/runners/{tenant.package}/{flow.slug}_runner.py": ENV.get_template("runner.py.j2").render(context),
        f"tests/smoke/test_{flow.slug}.py": ENV.get_template("smoke.py.j2").render(context),
        f"{package}/{flow.slug}.json": json.dumps(json.loads(body), indent=2, sort_keys=True) + "\n",
    }
    for folder in ("app", "app/flows", package):
        files[f"{folder}/__init__.py"] = ""
    for path, text in files.items():
        target = tenant.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return list(files)


def changed(repo: git.Repo, paths: list[str]) -> bool:
    return bool(repo.git.status("--porcelain", "--", *paths))


def gate(tenant: Tenant, flow: Flow, paths: list[str]):
    """black, then the flow's smoke test."""
    code = [path for path in paths if path.endswith(".py")]
    run([sys.executable, "-m", "black", "--quiet", *code], tenant)
    run([sys.executable, "-m", "pytest", "-q", f"tests/smoke/test_{flow.slug}.py"], tenant)


def run(command: list[str], tenant: Tenant):
    environment = {**os.environ, "PYTHONPATH": str(tenant.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tenant.path, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise HTTPException(400, (done.stdout + done.stderr)[-2000:])
