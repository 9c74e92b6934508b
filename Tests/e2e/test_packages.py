"""scripts/packages: the versions of all Swift packages are the repository's. With a swift that resolves what the test says."""

import json
import os
import re
import shutil
import subprocess

import pytest

from lab.stack import PROJECT

#: As SwiftPM does: what is pinned and available is kept, anything else is the newest; the file has commit ids afterwards.
SWIFT = """#!/usr/bin/env python3
import json, pathlib, sys
available = json.loads(pathlib.Path("available.json").read_text())
resolved = pathlib.Path("Package.resolved")
keep = resolved.exists() and sys.argv[1:] == ["package", "resolve"]
assert sys.argv[1:] in (["package", "resolve"], ["package", "update"]), sys.argv
pinned = {pin["identity"]: pin["state"]["version"] for pin in json.loads(resolved.read_text())["pins"]} if keep else {}
pins = [{"identity": name, "kind": "remoteSourceControl", "location": f"https://example.org/{name}.git",
         "state": {"revision": "0" * 40, "version": pinned[name] if pinned.get(name) in versions else versions[-1]}}
        for name, versions in sorted(available.items())]
resolved.write_text(json.dumps({"originHash": "1" * 64, "pins": pins, "version": 3}, indent=2, separators=(",", " : ")))
"""


class Checkout:
    def __init__(self, root):
        self.root = root
        (root / "scripts").mkdir()
        (root / "bin").mkdir()
        for name in ("packages", "lib.sh"):
            shutil.copy(PROJECT / "scripts" / name, root / "scripts" / name)
        swift = root / "bin/swift"
        swift.write_text(SWIFT)
        swift.chmod(0o755)

    def run(self, word):
        return subprocess.run([self.root / "scripts/packages", word], capture_output=True, text=True, timeout=30,
                              env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "HOME": str(self.root)})

    def available(self, **versions):
        (self.root / "available.json").write_text(json.dumps(versions))

    def resolved(self):
        return {pin["identity"]: pin["state"]["version"] for pin in json.loads((self.root / "Package.resolved").read_text())["pins"]}


@pytest.fixture
def checkout(tmp_path):
    one = Checkout(tmp_path)
    one.available(log=["1.0.0"], crypto=["3.0.0", "4.0.0"])
    assert one.run("update").returncode == 0
    return one


def test_the_list_has_versions_and_no_commit_ids(checkout):
    text = (checkout.root / "Package.versions.json").read_text()
    assert [(pin["identity"], pin["state"], pin["location"]) for pin in json.loads(text)["pins"]] == [
        ("crypto", {"version": "4.0.0"}, "https://example.org/crypto"), ("log", {"version": "1.0.0"}, "https://example.org/log")]
    assert json.loads(text)["version"] == 3 and "originHash" not in text


def test_a_newer_release_changes_nothing_until_somebody_wants_it(checkout):
    checkout.available(log=["1.0.0", "1.1.0"], crypto=["3.0.0", "4.0.0", "4.1.0"])
    for stale in (None, {"log": "1.1.0", "crypto": "3.0.0"}):
        (checkout.root / "Package.resolved").unlink()
        if stale:
            checkout.run("pin")
            path = checkout.root / "Package.resolved"
            path.write_text(path.read_text().replace("1.0.0", stale["log"]).replace("4.0.0", stale["crypto"]))
        done = checkout.run("check")
        assert done.returncode == 0, done
        assert checkout.resolved() == {"log": "1.0.0", "crypto": "4.0.0"}
    assert checkout.run("update").returncode == 0
    assert checkout.run("check").returncode == 0
    assert checkout.resolved() == {"log": "1.1.0", "crypto": "4.1.0"}


def test_what_has_these_versions_is_not_written_again(checkout):
    path = checkout.root / "Package.resolved"
    before = path.read_text()
    assert "revision" in before
    assert checkout.run("pin").returncode == 0
    assert path.read_text() == before


def test_a_version_that_cannot_be_had_is_told_with_the_remedy(checkout):
    checkout.available(log=["1.1.0"], crypto=["4.0.0"], atomics=["1.3.0"])
    done = checkout.run("check")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:-1] == ["resolved: atomics 1.3.0", "log 1.0.0", "resolved: log 1.1.0"]
    assert "run scripts/packages update" in done.stderr.splitlines()[-1]


def test_the_list_of_this_repository_agrees_with_its_manifest():
    """What the manifest names has the same version in the list, among what only others name."""
    named = re.findall(r'\.package\(url: "[^"]*/([^"/]+)", exact: "([^"]+)"', (PROJECT / "Package.swift").read_text())
    pins = json.loads((PROJECT / "Package.versions.json").read_text())["pins"]
    assert all(set(pin["state"]) == {"version"} for pin in pins)
    listed = {pin["identity"]: pin["state"]["version"] for pin in pins}
    assert len(named) >= 6 and len(listed) == len(pins) > 20
    assert {name.lower(): listed.get(name.lower()) for name, _ in named} == {name.lower(): version for name, version in named}


def test_another_word_is_an_error(checkout):
    done = checkout.run("freeze")
    assert done.returncode == 1 and "give pin, check or update" in done.stderr
