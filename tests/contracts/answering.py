"""A model behind an OpenAI-compatible endpoint on loopback, whose answers only the request decides."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer_to(body: dict) -> str:
    """A mark for a judge, a numbered list where one is wanted, else a few words."""
    said = body["messages"][-1]["content"]
    mark = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    if "from 0 (useless) to 10" in said:
        return str(int(mark[:2], 16) % 11)
    if "numbered list" in said:
        count = int(re.search(r"(?:Name|Write) (\d+)", said)[1])
        return "\n".join(f"{n + 1}. Tell me of the {mark[n : n + 4]} river." for n in range(count))
    return f"The river {mark[:6]} runs from the hills to the sea, past the old mill and the {mark[6:12]} bridge."


class Answering(BaseHTTPRequestHandler):
    """Chat completions."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer a request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"message": {"role": "assistant", "content": answer_to(body)}, "finish_reason": "stop"}
        content = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def answering() -> Iterator[str]:
    """The address of such an endpoint, until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()
