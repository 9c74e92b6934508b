"""The docker command line, and what the tests make with it: everything has a label of this run, so that everything can be found
again and removed, whatever happened in between."""

import json
import os
import subprocess
import uuid

#: Of this run of the tests: on every container, volume and network.
RUN = uuid.uuid4().hex[:8]
LABEL = f"org.hivesup.test={RUN}"


class Failed(AssertionError):
    """A docker command ended with an error, or not in time."""


def docker(*arguments, check=True, timeout=60, text=None, environment=None):
    """Runs `docker ARGUMENTS…`; the result has returncode, stdout, stderr. With `check` an exit status other than 0 is an error
    that has what docker said. `text` goes to its standard input."""
    command = ["docker", *map(str, arguments)]
    try:
        done = subprocess.run(command, input=text, stdin=None if text is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", timeout=timeout,
                              env={**os.environ, "DOCKER_BUILDKIT": "0", **(environment or {})})
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not done within {timeout} s; output so far: {error.stdout!r} {error.stderr!r}") from None
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def inspect(kind, name):
    """`docker KIND inspect NAME`, parsed."""
    return json.loads(docker(kind, "inspect", name).stdout)[0]


def unique(word):
    """A name that nobody else has."""
    return f"hivesup-test-{RUN}-{word}-{uuid.uuid4().hex[:6]}"


def build(tag, dockerfile, directory, *arguments):
    """An image from a Dockerfile given as text; `directory` is the context."""
    docker("build", "--quiet", "--force-rm", "--file", "-", "--label", LABEL, "--tag", tag, *arguments, directory, text=dockerfile,
           timeout=180)
    return tag


def _found(*command):
    return docker(*command, "--filter", f"label={LABEL}", check=False).stdout.split()


def remove_everything():
    """Removes what this run has made."""
    containers = _found("ps", "--all", "--quiet")
    if containers:
        docker("rm", "--force", "--volumes", *containers, check=False, timeout=180)
    for kind in ("volume", "network"):
        names = _found(kind, "ls", "--quiet")
        if names:
            docker(kind, "rm", *names, check=False)
    images = set(_found("images", "--quiet"))
    if images:
        docker("rmi", "--force", *images, check=False)
