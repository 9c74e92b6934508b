"""One class for each supervisor: how its services are written down, how it is started, stopped and asked. Nothing is tuned
except what would stop the measurement itself; each exception says so."""

import os
import shutil
import signal
import subprocess
import sys


class Supervisor:
    """A supervisor that is about to run `names` services from `directory`."""

    name = ""
    stop_signal = signal.SIGTERM
    #: The most services that one of it takes; None: no such limit.
    most = None

    def __init__(self, directory, service, socket):
        self.directory, self.service, self.socket = directory, service, socket

    @classmethod
    def available(cls):
        """Why it cannot be measured here, or None."""
        return None

    @classmethod
    def version(cls):
        return ""

    def prepare(self, commands):
        """Writes the configuration for {name: argv} and returns (argv, extra environment)."""
        raise NotImplementedError

    def status(self):
        """The command that prints the state of all services, or None."""
        return None

    def services(self, names):
        return {name: [self.service, name, self.socket] for name in names}


def write(path, text, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def first_line(argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


class Hivesup(Supervisor):
    name = "hivesup"
    binaries = os.environ.get("HIVE_BIN_DIR", "")

    @classmethod
    def available(cls):
        daemon = os.path.join(cls.binaries, "hivesupd")
        return None if os.access(daemon, os.X_OK) else f"no {daemon or 'HIVE_BIN_DIR'}"

    @classmethod
    def version(cls):
        return first_line([f"{cls.binaries}/hivesupd", "--version"])

    def prepare(self, commands):
        lines = [
            "[supervisord]", "nodaemon=true", "logfile=/dev/null", "logfile_maxbytes=0", "silent=true",
            f"pidfile={self.directory}/pid", f"control_socket={self.directory}/control.sock",
        ]
        for name, argv in commands.items():
            lines += [
                f"[program:{name}]", f"command={' '.join(argv)}", "autorestart=true",
                "stdout_logfile=NONE", "stderr_logfile=NONE",
            ]
        write(f"{self.directory}/hivesup.conf", "\n".join(lines) + "\n")
        return [f"{self.binaries}/hivesupd", "-c", f"{self.directory}/hivesup.conf"], {}

    def status(self):
        return [f"{self.binaries}/hivesup", "ctl", "--socket", f"{self.directory}/control.sock", "status"]


class Supervisord(Supervisor):
    name = "supervisord"
    binaries = os.path.dirname(sys.executable)

    @classmethod
    def available(cls):
        return None if os.access(f"{cls.binaries}/supervisord", os.X_OK) else "not in the benchmark's virtual environment"

    @classmethod
    def version(cls):
        return first_line([f"{cls.binaries}/supervisord", "--version"])

    def prepare(self, commands):
        lines = [
            "[supervisord]", "nodaemon=true", "logfile=/dev/null", "logfile_maxbytes=0", "silent=true",
            # It takes one descriptor for each pipe of each service.
            "minfds=8192", f"pidfile={self.directory}/pid",
            "[unix_http_server]", f"file={self.directory}/control.sock",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[supervisorctl]", f"serverurl=unix://{self.directory}/control.sock",
        ]
        for name, argv in commands.items():
            lines += [
                f"[program:{name}]", f"command={' '.join(argv)}", "autorestart=true",
                "stdout_logfile=NONE", "stderr_logfile=NONE",
            ]
        write(f"{self.directory}/supervisord.conf", "\n".join(lines) + "\n")
        return [f"{self.binaries}/supervisord", "-c", f"{self.directory}/supervisord.conf"], {}

    def status(self):
        return [f"{self.binaries}/supervisorctl", "-c", f"{self.directory}/supervisord.conf", "status"]


class ScanDirectory(Supervisor):
    """s6 and runit: one directory a service, with an executable `run` in it. `run` is the service itself, so that no shell's
    start is charged to the supervisor."""

    def prepare(self, commands):
        self.scan = f"{self.directory}/scan"
        for name, argv in commands.items():
            os.makedirs(f"{self.scan}/{name}")
            if argv == [self.service, name, self.socket]:
                os.symlink(self.service, f"{self.scan}/{name}/run")
            else:
                write(f"{self.scan}/{name}/run", f"#!/bin/sh\nexec {' '.join(argv)}\n", 0o755)
        self.names = list(commands)
        return self.command(), {"BENCH_SOCKET": self.socket}


class S6(ScanDirectory):
    name = "s6"

    @classmethod
    def available(cls):
        return None if shutil.which("s6-svscan") else "s6-svscan is not in PATH (Debian: s6)"

    @classmethod
    def version(cls):
        return package_version("s6")

    def command(self):
        return ["s6-svscan", "-c", "1100", self.scan]

    def status(self):
        # Of one service: it has no command for all.
        return ["s6-svstat", f"{self.scan}/{self.names[0]}"]


class Runit(ScanDirectory):
    name = "runit"
    # TERM ends runsvdir alone and leaves the services up; HUP stops them.
    stop_signal = signal.SIGHUP
    most = 1000

    @classmethod
    def available(cls):
        return None if shutil.which("runsvdir") else "runsvdir is not in PATH (Debian: runit)"

    @classmethod
    def version(cls):
        return package_version("runit")

    def command(self):
        return ["runsvdir", self.scan]

    def status(self):
        return ["sv", "status"] + [f"{self.scan}/{name}" for name in self.names]


class Tini(Supervisor):
    name = "tini"
    most = 1

    @classmethod
    def available(cls):
        return None if shutil.which("tini") else "tini is not in PATH (Debian: tini)"

    @classmethod
    def version(cls):
        return first_line(["tini", "--version"])

    def prepare(self, commands):
        [argv] = commands.values()
        return ["tini", "-s", "--"] + argv, {}


class Dinit(Supervisor):
    name = "dinit"
    binary = os.environ.get("DINIT_BIN", "")

    @classmethod
    def available(cls):
        return None if cls.binary and os.access(cls.binary, os.X_OK) else "DINIT_BIN does not name a built dinit"

    @classmethod
    def version(cls):
        return first_line([cls.binary, "--version"])

    def prepare(self, commands):
        services = f"{self.directory}/services"
        os.makedirs(services)
        for name, argv in commands.items():
            # Without the last line it gives up after three restarts in ten seconds, in the middle of the samples.
            write(
                f"{services}/{name}",
                f"type = process\ncommand = {' '.join(argv)}\nrestart = true\nrestart-limit-count = 0\n",
            )
        write(f"{services}/boot", "type = internal\n" + "".join(f"waits-for: {name}\n" for name in commands))
        self.control = f"{self.directory}/dinitctl"
        return [self.binary, "--container", "--quiet", "-d", services, "-p", self.control], {}

    def status(self):
        return [os.path.join(os.path.dirname(self.binary), "dinitctl"), "-p", self.control, "list"]


def package_version(package):
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout.strip()


ALL = [Hivesup, Supervisord, S6, Runit, Tini, Dinit]
