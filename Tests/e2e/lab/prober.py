"""Connects to the port without pause, and remembers every connection that was refused or not answered."""

import collections
import http.client
import json
import threading
import time


class Prober:
    """While it runs: GET of the health document, one connection after the other."""

    def __init__(self, port, pause=0.002, timeout=10):
        self.port, self.pause, self.timeout = port, pause, timeout
        self.refused, self.unanswered = [], []
        self.statuses = collections.Counter()
        #: (monotonic time, HTTP status, "status" of the document), whenever it changed.
        self.changes = []
        self.slowest = 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(self.timeout + 5)

    def _run(self):
        last = None
        while not self.stopping.is_set():
            begun = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            try:
                connection.connect()
            except OSError as error:
                self.refused.append((begun, repr(error)))
                self.stopping.wait(0.01)
                continue
            try:
                connection.request("GET", "/api/v1/health")
                answer = connection.getresponse()
                body = answer.read()
                self.statuses[answer.status] += 1
                # A program that is no API of ours answers with what it likes.
                now = (answer.status, json.loads(body).get("status") if body.startswith(b"{") else None)
                if now != last:
                    self.changes.append((time.monotonic(), *now))
                    last = now
            except (OSError, http.client.HTTPException, ValueError) as error:
                # A connection that a dying program had accepted is lost with it, and nobody can help that.
                self.unanswered.append((begun, repr(error)))
            finally:
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.stopping.wait(self.pause)

    @property
    def answered(self):
        return sum(self.statuses.values())
