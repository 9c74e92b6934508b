"""The unmodified Dockerfiles with BuildKit, the builder of today's engines: the images are those of the classic builder, which the other tests
run. The image of the build stage is the Swift image here: what is compiled in it already is not compiled again."""

import os
import pathlib
import shutil
import subprocess

import pytest
from lab import docker as engine
from lab.docker import docker
from test_annotations import GIVEN

PROJECT = pathlib.Path(__file__).resolve().parents[2]
#: What the files of ours are, and whose: modes, dates, names, contents.
OURS = """
for directory in /usr/local/bin /etc/hivesup /usr/share/doc/hivesup; do
  find "$directory" -type f -printf '%m %U:%G %T@ %p\\n' | sort; find "$directory" -type f -exec sha256sum {} + | sort
done
stat -c '%a %u:%g %n' / /run /tmp /etc/hivesup /var/lib/postgresql /var/lib/postgresql/data /var/log/hivesup /var/backups/hivesup
find / -xdev -type f -perm /6000
grep hive /etc/passwd /etc/group
"""


def client():
    """A docker command line that can ask for BuildKit: one with buildx, or one that is older than the division of the two."""
    for path in dict.fromkeys(filter(None, (shutil.which("docker"), "/usr/bin/docker"))):
        if not os.access(path, os.X_OK):
            continue
        version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30).stdout
        has_buildx = subprocess.run([path, "buildx", "version"], capture_output=True, timeout=30).returncode == 0
        if has_buildx or "version 20.10." in version:
            return path
    return None


@pytest.fixture(scope="module")
def image(role):
    path = client()
    if path is None:
        pytest.skip("no docker command line here has BuildKit: install docker-buildx")
    tag = engine.unique(f"buildkit-{role}")
    arguments = [f"{name.upper()}={GIVEN[name]}" for name in ("revision", "created", "source", "documentation")]
    arguments += ["SWIFT_IMAGE=hivesup-test/build:latest", "POSTGRES_IMAGE=hivesup-test/postgres:16"]
    done = subprocess.run(
        [path, "build", "--progress", "plain", "--file", f"Dockerfile.{role}", "--label", engine.LABEL, "--tag", tag,
         *(word for one in arguments for word in ("--build-arg", one)), "."],
        cwd=PROJECT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=540)
    assert done.returncode == 0, done.stdout[-4000:]
    # Not the classic builder under another name: that one counts steps.
    assert "[build " in done.stdout and "Step 1/" not in done.stdout, done.stdout[-4000:]
    return tag


def said(name):
    found = engine.inspect("image", name)["Config"]
    words = ("User", "ExposedPorts", "Env", "Cmd", "Healthcheck", "Volumes", "WorkingDir", "Entrypoint", "StopSignal")
    labels = {label: value for label, value in found["Labels"].items() if label.startswith("org.opencontainers.")}
    return {word: found.get(word) for word in words} | {"Labels": labels}


@pytest.mark.seconds(600)
def test_buildkit_makes_the_same_image(role, image):
    assert said(image) == said(role.image)
    listings = [docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "--user", "0", "--entrypoint", "sh", name, "-c", OURS).stdout
                for name in (image, role.image)]
    assert listings[0] == listings[1]
    assert "/usr/local/bin/hivesupd" in listings[0] and "1000:0 /var/lib/postgresql/data" in listings[0]


def test_it_runs(role, image, container):
    one = container(role, image).run("--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    one.wait_health()
    assert one.create(1)
    assert one.stop()[0] == 0
