"""A server on loopback that answers `wandb sync` of an offline run just as far as it takes to succeed.

Written against the requests that the wandb installed here makes; what it does not know it answers with nothing.
"""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class WandbServer:
    """What was asked of it.

    Attributes:
        url: Its address.
        runs: The ids of the runs that were begun, in order.
        ended: Those whose file stream said that they are complete, with their exit code.
        history: By run, the rows that arrived.
        files: The names of the files that were announced.
        artifacts: By name: PENDING once it is begun, COMMITTED once it is said to be whole.
        contents: Of the files that arrived, in order.
    """

    url: str = ""
    runs: list[str] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    contents: list[bytes] = field(default_factory=list)

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL request."""
        if operation == "UpsertBucket":
            return {"upsertBucket": {"bucket": self._make_bucket(variables), "inserted": True}}
        if operation == "CreateRunFiles":
            names = variables["files"]
            self.files += names
            files = [{"name": name, "uploadUrl": f"{self.url}/storage/{number}"} for number, name in enumerate(names)]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "Artifact" in operation:
            return self._answer_artifact(operation, variables)
        return {"serverInfo": {"features": []}} if operation == "ServerFeaturesQuery" else {}

    def take_stream(self, run: str, document: dict[str, Any]) -> None:
        """Take what a run's file stream brings."""
        rows = document.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.history.setdefault(run, []).extend(map(json.loads, rows))
        if document.get("complete"):
            self.ended[run] = document.get("exitcode", 0)

    def _answer_artifact(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer as far as an artifact of one upload needs it; its name is its id."""
        asked = variables.get("input", {})
        field_name = operation[:1].lower() + operation[1:]
        if operation == "CreateArtifact":
            name = (asked.get("artifactCollectionNames") or [asked.get("artifactCollectionName")])[0]
            self.artifacts[name] = "PENDING"
            artifact = {"id": name, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
            return {field_name: {"artifact": artifact}}
        if operation in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            file = {
                "id": "f",
                "name": "m",
                "displayName": "m",
                "uploadUrl": f"{self.url}/manifest",
                "uploadHeaders": [],
            }
            return {field_name: {"artifactManifest": {"id": "m", "file": file}}}
        if operation == "CreateArtifactFiles":
            files = asked["artifactFiles"]
            return {field_name: {"files": {"edges": [{"node": self._make_file(file)} for file in files]}}}
        if operation == "CommitArtifact":
            self.artifacts[variables["artifactID"]] = "COMMITTED"
            return {field_name: {"artifact": {"id": variables["artifactID"], "digest": "d"}}}
        return {}

    def _make_file(self, file: dict[str, Any]) -> dict[str, Any]:
        place = {"storagePath": file["name"], "uploadUrl": f"{self.url}/artifact", "uploadHeaders": []}
        names = {"id": "f", "name": file["name"], "displayName": file["name"]}
        return {**names, **place, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}

    def _make_bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        if name not in self.runs:
            self.runs.append(name)
        project = {"id": "p", "name": variables.get("project") or "p", "entity": {"id": "e", "name": "me"}}
        found = {"id": "b", "name": name, "displayName": "x", "description": "", "config": "{}"}
        return {**found, "sweepName": None, "historyLineCount": 0, "project": project}


@contextmanager
def serve() -> Iterator[WandbServer]:
    """Serve on a free port of loopback while inside."""
    state = WandbServer()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self._read()
            with lock:
                if self.path == "/graphql":
                    asked = json.loads(body)
                    data = state.answer(asked.get("operationName", ""), asked.get("variables") or {})
                    return self._reply({"data": data})
                if self.path.endswith("/file_stream"):
                    state.take_stream(self.path.split("/")[-2], json.loads(body))
            return self._reply({})

        def do_PUT(self) -> None:
            body = self._read()
            with lock:
                state.contents.append(body)
            self._reply({})

        def do_GET(self) -> None:
            self._reply({})

        def _read(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _reply(self, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that ends closes its connections as it likes."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
