"""What goes on around a container while something is done to it: clients that never rest, and the engine's own health check. What they saw
is asked for afterwards."""

import http.client
import json
import subprocess
import threading
import time


class Prober:
    """GET of the health document, one connection after the other, and what became of it.

    It goes to the container's own address: the port on the host belongs to a proxy of the engine's, which accepts whatever the
    container does."""

    def __init__(self, one, pause=0.01, timeout=10):
        self.one, self.pause, self.timeout = one, pause, timeout
        #: The port did not accept: (monotonic time, error).
        self.refused = []
        #: It accepted, and the connection was lost with the program that had it.
        self.lost = []
        self.answered = 0
        #: (monotonic time, HTTP status, "status" of the document, its reasons) whenever one of them changed.
        self.changes = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(self.timeout + 5)

    def saw(self, word, since=0.0):
        """The reasons with which the document had this status after that time."""
        return [reasons for when, _, status, reasons in self.changes if status == word and when >= since]

    def longest(self, word):
        """For how many seconds the document had this status without a pause, at most; up to now where it still has."""
        moments = [when for when, *_ in self.changes[1:]] + [time.monotonic()]
        best = begun = 0.0
        for (when, _, status, _), until in zip(self.changes, moments, strict=True):
            begun = (begun or when) if status == word else 0.0
            best = max(best, until - begun if begun else 0.0)
        return best

    def _run(self):
        last = None
        while not self._over.is_set():
            begun = time.monotonic()
            connection = http.client.HTTPConnection(self.one.address(), self.one.role.port, timeout=self.timeout)
            try:
                connection.connect()
            except OSError as error:
                self.refused.append((begun, repr(error)))
                self._over.wait(0.02)
                continue
            try:
                connection.request("GET", "/api/v1/health")
                answer = connection.getresponse()
                document = json.loads(answer.read())
                self.answered += 1
                now = (answer.status, document["status"], document["reasons"])
                if now != last:
                    self.changes.append((time.monotonic(), *now))
                    last = now
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.lost.append((begun, repr(error)))
            finally:
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self._over.wait(self.pause)


class Ledger:
    """Creates rows through the API without a rest, and remembers those that were acknowledged: they must be there for ever after. What
    was not acknowledged may or may not be there."""

    def __init__(self, one, pause=0.005):
        self.one, self.pause = one, pause
        self.acknowledged, self.refusals, self.number = [], 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(20)

    def _run(self):
        while not self._over.is_set():
            self.number += 1
            row = self.one.create(self.number)
            if row is None:
                self.refusals += 1
                self._over.wait(0.02)
            else:
                self.acknowledged.append(row)
                self._over.wait(self.pause)

    def missing(self):
        """Acknowledged rows that are not there."""
        promised = set(self.acknowledged)
        return promised - self.one.ids()


class HealthLog:
    """What docker's own health check comes to, status after status. The engine keeps its last 256 events only, and every `docker exec` is
    some: so they are listened to."""

    def __init__(self, one):
        self.statuses = []
        self._process = subprocess.Popen(
            # What happens before it has subscribed is told afterwards.
            ["docker", "events", "--since", "1m", "--filter", f"container={one.name}", "--filter", "event=health_status", "--format", "{{.Status}}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        self._process.stdout.close()

    def _run(self):
        for line in self._process.stdout:
            self.statuses.append(line.removeprefix("health_status:").strip())
