"""A web server on this machine that serves bytes, with ranges, and misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What is served, how, and what was asked.

    Attributes:
        address: Its root, ``http://127.0.0.1:PORT``.
        files: Content by path.
        ranges: Whether it knows ranges.
        break_after: Close the connection after so many bytes of each answer.
        asked: The path, and the range where one was asked for, of each request.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    break_after: int | None = None
    weak: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def served(files: dict[str, bytes]) -> Iterator[Server]:
    """Serve files while the block runs."""
    state = Server(files=dict(files))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            tag = ("W/" if state.weak else "") + f'"{hashlib.sha256(content).hexdigest()[:8]}"'
            start = 0
            fresh = self.headers.get("If-Range", tag) == tag
            if wanted and state.ranges and fresh:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                if start >= len(content):
                    self.send_error(416)
                    return
            rest = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.send_header("ETag", tag)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.end_headers()
            self.wfile.write(rest[: state.break_after])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
