"""A local fake of the Hugging Face hub's API: what `huggingface_hub` asks to make, fill and read a model."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants

TOKEN = "hf_fake"


class Hub(ThreadingHTTPServer):
    """Models by name; each a dict of path to bytes, and its commits."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.commits, self.private, self.asked = {}, {}, {}, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Nothing is printed."""

    def _json(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append(f"POST {path}")
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            hub.models.setdefault(name, {})
            hub.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private", False))
            return self._json({"url": f"{hub.url}/{name}", "id": name, "name": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        owner, model, what = path.removeprefix("/api/models/").split("/")[:3]
        name = f"{owner}/{model}"
        if what == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        if what == "commit":
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    hub.models[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            hub.commits[name] = hashlib.sha1(body).hexdigest()
            return self._json(
                {"commitUrl": f"{hub.url}/{name}/commit/{hub.commits[name]}", "commitOid": hub.commits[name]}
            )
        return self._json({"error": path}, 404)

    def do_GET(self):
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            owner, model, what, *_ = [*path.removeprefix("/api/models/").split("/"), ""]
            name = f"{owner}/{model}"
            if name not in hub.models:
                return self._json({"error": "Repository not found"}, 404)
            if what == "tree":
                rows = [
                    {"type": "file", "path": p, "size": len(b), "oid": _oid(b)} for p, b in hub.models[name].items()
                ]
                return self._json(rows)
            files = [{"rfilename": file} for file in hub.models[name]]
            return self._json({"id": name, "sha": hub.commits.get(name), "siblings": files, "private": False})
        owner, model, _, _, file = [*path.strip("/").split("/", 4), *[""] * 5][:5]
        data = hub.models.get(f"{owner}/{model}", {}).get(file)
        if data is None:
            return self._json({"error": "Entry not found"}, 404)
        self.send_response(200)
        self.send_header("ETag", f'"{_oid(data)}"')
        self.send_header("X-Repo-Commit", hub.commits[f"{owner}/{model}"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET


def _oid(data):
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving(monkeypatch, cache):
    """The fake instead of the hub, with a cache of its own and a user who is known there."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    for name, value in {"ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(cache)}.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
