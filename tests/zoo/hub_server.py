"""A Hugging Face Hub on 127.0.0.1, as far as models are pulled and pushed, with faults to order."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Repository:
    """Files by commit, and commits by branch or tag."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    refs: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    private: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """The new commit."""
        tree = {**self.commits[self.refs[branch]], **files}
        sha = hashlib.sha1(repr((len(self.commits), sorted(tree.items()))).encode()).hexdigest()
        self.commits[sha], self.refs[branch] = tree, sha
        return sha


class Hub:
    """The server. What `faults` maps a route to (`resolve`, `cdn`, `create`, `commit`, …) is called with the handler instead."""

    def __init__(self):
        self.repositories, self.faults, self.uploads = {}, {}, {}
        self.requests = []  # (method, path, token)
        self.cdn = None  # base address that large files are redirected to
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self):
        """Nobody listens any more."""
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()

    def refuse(self, route, status, code="", message=""):
        """From now on, answer a route with a status and the Hub's own words."""
        self.faults[route] = lambda handler, **_: handler.answer(status, headers={"X-Error-Code": code, "X-Error-Message": message})

    def add(self, repo_id, folder, **files):
        """Commit a folder's files and others, and return the commit."""
        repository = self.repositories.setdefault(repo_id, Repository())
        return repository.commit({**{path.name: path.read_bytes() for path in folder.iterdir()}, **files})


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    routes = (
        ("resolve", "HEAD|GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)"),
        ("cdn", "GET", r"/cdn/(?P<etag>\w+)"),
        ("create", "POST", r"/api/repos/create"),
        ("validate", "POST", r"/api/validate-yaml"),
        ("branch", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/branch/(?P<name>.+)"),
        ("preupload", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>.+)"),
        ("commit", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>[^?]+)"),
        ("info", "GET", r"/api/models/(?P<repo>[^/]+/[^/?]+)"),
        ("batch", "POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
        ("upload", "PUT", r"/lfs/(?P<oid>\w+)"),
    )

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def dispatch(self):
        path = unquote(self.path)
        self.hub.requests.append((self.command, path, self.headers.get("Authorization")))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for name, methods, pattern in self.routes:
            found = re.fullmatch(pattern + r"(\?.*)?", path)
            if found and self.command in methods.split("|"):
                self.hub.faults.get(name, getattr(type(self), name))(self, **found.groupdict())
                return
        self.answer(404)

    do_HEAD = do_GET = do_POST = do_PUT = dispatch  # noqa: N815 – the names that http.server asks for

    def repository(self, repo):
        if repo not in self.hub.repositories:
            self.answer(404, headers={"X-Error-Code": "RepoNotFound"})
        return self.hub.repositories.get(repo)

    def resolve(self, repo, revision, file):
        if (repository := self.repository(repo)) is None:
            return
        commit = repository.refs.get(revision, revision)
        content = repository.commits.get(commit, {}).get(file)
        if content is None:
            code = "EntryNotFound" if commit in repository.commits else "RevisionNotFound"
            self.answer(404, headers={"X-Error-Code": code, "X-Repo-Commit": commit})
            return
        etag = hashlib.sha256(content).hexdigest()
        if self.hub.cdn and file.endswith(".safetensors"):
            linked = {"Location": f"{self.hub.cdn}/cdn/{etag}", "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": len(content)}
            self.answer(302, headers={"X-Repo-Commit": commit, **linked})
        else:
            self.answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})

    def cdn(self, etag):
        trees = [tree for repository in self.hub.repositories.values() for tree in repository.commits.values()]
        self.answer(200, next(c for tree in trees for c in tree.values() if hashlib.sha256(c).hexdigest() == etag))

    def create(self):
        wanted = json.loads(self.body)
        repo = f"{wanted['organization']}/{wanted['name']}"
        known = repo in self.hub.repositories
        if not known:
            self.hub.repositories[repo] = Repository(
                private="private" in (wanted.get("visibility"), *(k for k in wanted if wanted[k] is True))
            )
        self.answer(409 if known else 200, {"url": f"{self.hub.endpoint}/{repo}"})

    def info(self, repo):
        if repository := self.repository(repo):
            self.answer(200, {"id": repo, "sha": repository.refs["main"], "private": repository.private, "siblings": []})

    def branch(self, repo, name):
        repository = self.repository(repo)
        known = name in repository.refs
        repository.refs.setdefault(name, repository.refs["main"])
        self.answer(409 if known else 200, {})

    def validate(self):
        self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, repo, revision):
        files = [
            {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular", "shouldIgnore": False}
            for file in json.loads(self.body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, repo):
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}}
            for wanted in json.loads(self.body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.uploads[oid] = self.body
        self.answer(200)

    def commit(self, repo, revision):
        files = {}
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        commit = self.hub.repositories[repo].commit(files, revision)
        self.answer(200, {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit}"})
