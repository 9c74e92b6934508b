"""The control socket and the port, spoken with the standard library."""

import http.client
import json
import random
import select
import socket
import time

from .waiting import LONG, Late


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix stream socket."""

    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """One HTTP answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def ask(connection, method, target, body=None, headers=None):
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, target, content, {"Content-Type": "application/json", **(headers or {})} if content else headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Control:
    """The daemon's control API at a unix socket."""

    def __init__(self, path):
        self.path = path

    def get(self, target):
        return ask(UnixConnection(self.path), "GET", target)

    def post(self, target, body=None):
        return ask(UnixConnection(self.path), "POST", target, body)

    def programs(self):
        """{name: its status object}."""
        return {one["name"]: one for one in self.get("/v1/status").json["programs"]}

    def program(self, name):
        answer = self.get(f"/v1/programs/{name}")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json

    def health(self):
        return self.get("/v1/health").json


class Events:
    """The event stream, followed from the first event that the ring still has."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LONG)
        self.socket.connect(path)
        self.socket.sendall(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.file = self.socket.makefile("rb")
        status = self.file.readline()
        assert b" 200 " in status, status
        chunked = False
        while (line := self.file.readline()) not in (b"\r\n", b""):
            chunked |= line.lower().replace(b" ", b"") == b"transfer-encoding:chunked\r\n"
        self.chunked, self.rest, self.seen, self.ended = chunked, b"", [], False

    def close(self):
        self.file.close()
        self.socket.close()

    def _more(self):
        if self.chunked:
            size = int(self.file.readline() or b"0", 16)
            data = self.file.read(size) if size else b""
            self.file.readline()
        else:
            data = self.file.read1(65536)
        self.ended = not data
        self.rest += data
        *whole, self.rest = self.rest.split(b"\n")
        self.seen += [json.loads(line) for line in whole if line.strip()]

    def wait(self, condition, what, timeout=LONG):
        """Until one event satisfies `condition`; returns the first that does."""
        deadline = time.monotonic() + timeout
        looked = 0
        while True:
            for event in self.seen[looked:]:
                if condition(event):
                    return event
            looked = len(self.seen)
            left = deadline - time.monotonic()
            if left <= 0 or self.ended:
                raise Late(f"no such event within {timeout} s: {what}; last: {self.seen[-5:]}")
            self.socket.settimeout(left)
            try:
                self._more()
            except (TimeoutError, OSError) as error:
                raise Late(f"no such event within {timeout} s: {what} ({error}); last: {self.seen[-5:]}") from None


def get(port, target="/api/v1/health", method="GET", timeout=10, body=None, headers=None):
    """One request to the port on the loopback address."""
    return ask(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout), method, target, body, headers)


def free_port():
    """A port that nobody holds, below those that the kernel gives to outgoing connections: of these, thousands wait for their end in
    TIME_WAIT during the tests, and nobody can listen on such a port meanwhile."""
    for port in random.sample(range(20000, 32000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port among 200")


def readable(fd, timeout):
    return bool(select.select([fd], [], [], timeout)[0])
