"""What an image says of itself: the OCI annotations that a release gives as build arguments, and the licence."""

import hashlib
import pathlib

from lab import docker as engine
from lab.docker import docker

PROJECT = pathlib.Path(__file__).resolve().parents[2]
#: What scripts/test-containers builds with. URL is not among it: it is SOURCE where nothing else is given.
GIVEN = {"revision": "5ca1ab1e", "created": "2025-11-21T00:00:00Z", "source": "https://example.org/hivesup", "url": "https://example.org/hivesup",
         "documentation": "https://example.org/hivesup/docs"}


def test_a_release_says_where_it_is_from(role):
    labels = engine.inspect("image", role.image)["Config"]["Labels"]
    assert {name: labels.get(f"org.opencontainers.image.{name}") for name in GIVEN} == GIVEN
    for name in ("title", "description", "licenses", "vendor", "version", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"], name


def test_the_licence_is_in_the_image(role):
    """As old as all files of ours, and for everybody to read."""
    found = docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "--entrypoint", "sh", role.image, "-c",
                   "cd /usr/share/doc/hivesup && stat -c '%a %u:%g %Y %n' * && sha256sum < LICENSE").stdout.split()
    assert found[:4] == ["644", "0:0", "1763683200", "LICENSE"]
    assert found[4] == hashlib.sha256((PROJECT / "LICENSE").read_bytes()).hexdigest()
