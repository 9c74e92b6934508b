#!/usr/bin/env python3
"""Writes down what supervisor 4.3.0 makes of a configuration file, for SupervisordEquivalenceTests.

    python3 -m venv venv && venv/bin/pip install supervisor==4.3.0
    venv/bin/python supervisord_dump.py            # rewrites every supervisord/*.expected next to this script
    venv/bin/python supervisord_dump.py FILE...    # prints the dump of these files, each after a line "== FILE"

Every file is read from a directory of its own that the dump calls /conf, with a fixed environment, host name and user database,
so that the result does not depend on the machine.
"""
import os
import platform
import pwd
import shlex
import shutil
import sys
import tempfile

ENVIRONMENT = {"HOME": "/root", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "GREETING": "hello world", "PERCENT": "100%d",
               "QUOTED": "a\"b'c", "EMPTY": "", "PLAIN": "plain"}
USERS = {"root": 0, "daemon": 1, "nobody": 65534}
os.environ.clear()
os.environ.update(ENVIRONMENT)
platform.node = lambda: "testhost"


class Record(tuple):
    pass


def getpwnam(name):
    if name not in USERS:
        raise KeyError(name)
    return (name, "x", USERS[name], USERS[name], "", "/root" if name == "root" else "/nonexistent", "/bin/sh")


def getpwuid(uid):
    for name, number in USERS.items():
        if number == uid:
            return getpwnam(name)
    raise KeyError(uid)


class Passwd(tuple):
    @property
    def pw_dir(self):
        return self[5]


pwd.getpwnam = lambda name: Passwd(getpwnam(name))
pwd.getpwuid = lambda uid: Passwd(getpwuid(uid))

from supervisor import options  # noqa: E402  (after the environment is fixed)
from supervisor.datatypes import Automatic, RestartUnconditionally, RestartWhenExitUnexpected  # noqa: E402

DESCRIPTORS = {"/dev/stdout": 1, "/dev/fd/1": 1, "/proc/self/fd/1": 1, "/dev/stderr": 2, "/dev/fd/2": 2, "/proc/self/fd/2": 2}


def escape(text):
    return str(text).replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def sink(path, directory):
    if path is None or path == "":
        return "NONE"
    if path is Automatic:
        return "AUTO"
    if path in DESCRIPTORS:
        return "descriptor %d" % DESCRIPTORS[path]
    return path if path.startswith("/") else directory + "/" + path


def dump(path):
    """The lines of one file's dump, or one line `error: …`."""
    directory = os.path.dirname(path)
    os.chdir(directory)
    server = options.ServerOptions()
    server.configfile = path
    server.here = directory
    lines = []
    try:
        section = server.read_config(path)
    except ValueError as error:
        return ["error: " + escape(str(error)).replace(directory, "/conf")]

    def put(key, value):
        lines.append("%s=%s" % (key, escape(value)))

    lines.append("[supervisord]")
    put("identifier", section.identifier)
    put("loglevel", section.loglevel)
    put("logfile_maxbytes", section.logfile_maxbytes)
    put("logfile_backups", section.logfile_backups)
    put("minfds", section.minfds)
    put("minprocs", section.minprocs)
    put("umask", oct(section.umask & 0o777)[2:])
    put("silent", section.silent)
    put("nocleanup", section.nocleanup)
    put("childlogdir", section.childlogdir if section.childlogdir.startswith("/") else directory + "/" + section.childlogdir)
    put("strip_ansi", section.strip_ansi)
    put("user", section.user)
    processes = []
    for group in section.process_group_configs:
        for process in group.process_configs:
            processes.append((group.priority, group.name, process.priority, process.name, process))
    processes.sort(key=lambda entry: entry[:4])
    for group_priority, group, _, _, process in processes:
        lines.append("[%s:%s]" % (escape(group), escape(process.name)))
        put("group_priority", group_priority)
        put("priority", process.priority)
        for word in shlex.split(process.command):
            put("word", word)
        put("directory", process.directory)
        put("umask", None if process.umask is None else oct(process.umask & 0o777)[2:])
        put("autostart", process.autostart)
        put("autorestart", {RestartUnconditionally: "true", RestartWhenExitUnexpected: "unexpected", False: "false"}[
            process.autorestart])
        put("startsecs", process.startsecs)
        put("startretries", process.startretries)
        put("uid", process.uid)
        put("stopsignal", int(process.stopsignal))
        put("stopwaitsecs", process.stopwaitsecs)
        put("stopasgroup", process.stopasgroup)
        put("killasgroup", process.killasgroup)
        put("exitcodes", ",".join(map(str, process.exitcodes)))
        put("redirect_stderr", process.redirect_stderr)
        put("serverurl", process.serverurl or None)
        for stream in ("stdout", "stderr"):
            put(stream, sink(getattr(process, stream + "_logfile"), directory))
            put(stream + "_maxbytes", getattr(process, stream + "_logfile_maxbytes"))
            put(stream + "_backups", getattr(process, stream + "_logfile_backups"))
        for name in sorted(process.environment):
            put("env " + name, process.environment[name])
    return [line.replace(directory, "/conf") for line in lines]


def dump_copy(path):
    """The dump of a file and its directory NAME.d, read from a fresh directory."""
    directory = os.path.realpath(tempfile.mkdtemp(prefix="supervisord-fixture-"))
    try:
        copy = os.path.join(directory, "supervisord.conf")
        shutil.copy(path, copy)
        extra = path[:-len(".conf")] + ".d"
        if os.path.isdir(extra):
            shutil.copytree(extra, os.path.join(directory, "conf.d"))
        return dump(copy)
    finally:
        os.chdir("/")
        shutil.rmtree(directory)


def main():
    if len(sys.argv) > 1:
        for path in sys.argv[1:]:
            print("== " + path)
            print("\n".join(dump_copy(os.path.abspath(path))))
        return
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervisord")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".conf"):
            path = os.path.join(folder, name)
            with open(path[:-len(".conf")] + ".expected", "w") as out:
                out.write("\n".join(dump_copy(path)) + "\n")


if __name__ == "__main__":
    main()
