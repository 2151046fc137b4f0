"""Models travel by the Hub: against a server on loopback that speaks what is asked of it."""

import base64
import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from geoflow.models.checkpoint import CheckpointError
from geoflow.models.hub import is_repository
from geoflow.models.kinds import load

constants = pytest.importorskip("huggingface_hub.constants")
SMALL = Path(__file__).parents[1] / "data" / "format1" / "distribution"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Stub(BaseHTTPRequestHandler):
    """Repositories as dictionaries of files; every request is written down."""

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        files = self.server.repositories.get(repository)
        name = rest.partition("/")[2]
        if files is None:
            self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        elif name not in files:
            self.answer(404, b"{}", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        else:
            etag = f'"{hashlib.sha256(files[name]).hexdigest()[:40]}"'
            self.answer(200, files[name], ETag=etag, X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def do_POST(self):
        self.server.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else self.chunks()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.server.repositories.setdefault(name, {})
            self.tell({"url": f"{self.server.url}/{name}", "name": name})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            told = [{"path": f["path"], "uploadMode": "regular", "oid": None} for f in files]
            self.tell({"files": [each | {"shouldIgnore": False} for each in told]})
        elif "/commit/" in self.path:
            repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in filter(None, body.splitlines()):
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.repositories[repository][entry["value"]["path"]] = content
            address = f"{self.server.url}/{repository}/commit/{COMMIT}"
            self.tell({"success": True, "commitUrl": address, "commitOid": COMMIT})
        else:
            self.tell({"errors": [], "warnings": []})

    def tell(self, content):
        self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def chunks(self):
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(parts)


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.repositories, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    pattern = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pattern)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_stub")
    # Nothing but what a test says is here.
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_goes_to_the_hub_and_comes_back(server):
    model = load(SMALL)
    address = model.push_to_hub("someone/thing")
    assert address == f"{server.url}/someone/thing/commit/{COMMIT}"
    files = server.repositories["someone/thing"]
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert b'geoflow.load("someone/thing")' in files["README.md"]
    # What else lies in a repository is not fetched.
    files["pytorch_model.bin"] = b"a pickle"
    back = load("someone/thing")
    assert type(back) is type(model)
    torch.testing.assert_close(back.sample(4, seed=1), model.sample(4, seed=1), rtol=0, atol=0)
    assert not any("pytorch_model" in line for line in server.asked)
    folder = Path(constants.HF_HUB_CACHE) / "models--someone--thing" / "snapshots" / COMMIT
    assert {path.name for path in folder.iterdir()} == set(files) - {"pytorch_model.bin"}


def test_without_a_network_the_cache_serves_and_a_model_that_is_not_in_it_is_one_line(
    server, monkeypatch
):
    load(SMALL).push_to_hub("someone/thing")
    first = load("someone/thing")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    count = len(server.asked)
    again = load("someone/thing")
    torch.testing.assert_close(again.sample(2), first.sample(2), rtol=0, atol=0)
    assert len(server.asked) == count
    with pytest.raises(CheckpointError, match=r"someone/other: .*cannot be reached") as caught:
        load("someone/other")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(server):
    with pytest.raises(CheckpointError, match=r"someone/nothing: RepositoryNotFoundError"):
        load("someone/nothing")
    server.repositories["someone/empty"] = {}
    with pytest.raises(CheckpointError, match=r"someone/empty: \w*EntryNotFoundError"):
        load("someone/empty")
    with pytest.raises(ValueError, match="named ORG/NAME, got 'thing'"):
        load(SMALL).push_to_hub("thing")


def test_a_path_is_no_repository(server, tmp_path):
    (tmp_path / "runs").mkdir()
    for name, is_one in (
        ("someone/thing", True),
        ("someone/thing-2.1", True),
        ("runs/chair", False),
        ("/someone/thing", False),
        ("../thing", False),
        ("someone/else/thing", False),
        ("thing", False),
    ):
        assert is_repository(name) == is_one
    with pytest.raises(CheckpointError, match="no model 'runs/chair': expected a folder"):
        load("runs/chair")
    assert server.asked == []


def test_without_the_package_the_extra_is_named(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"someone/thing.*pip install 'geoflow\[hub\]'"):
        load("someone/thing")
    assert server.asked == []
