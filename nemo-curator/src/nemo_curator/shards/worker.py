"""The far end of a worker process: reads calls as JSON lines, answers with results, ends when its caller is gone."""

import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from ..foundation.command import resolve
from ..foundation.errors import SuiteError


def main() -> None:
    """Serve until stdin closes. Whatever a call prints goes to stderr, so the answers stay readable."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    calls: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(sys.stdin, calls), daemon=True).start()
    while True:
        print(json.dumps(answer(json.loads(calls.get()))), file=answers, flush=True)


def listen(source: IO[str], calls: "queue.SimpleQueue[str]") -> None:
    """Queue the calls; end the process at once when the caller has closed the pipe or died."""
    for line in source:
        calls.put(line)
    os._exit(0)


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """The result of a call, or the kind and message of its error."""
    try:
        return {"result": resolve(call["target"])(**call["arguments"])}
    except SuiteError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # noqa: BLE001 - shown and raised again in the calling process
        import traceback

        return {"error": "", "message": f"{error!r}\n{traceback.format_exc()}"}


if __name__ == "__main__":
    main()
