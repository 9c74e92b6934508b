"""What /proc tells. Process ids are the host's, also of processes in a namespace."""

import os


def children(pid):
    """The direct children of `pid`, zombies included."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants(pid):
    """All processes below `pid`."""
    found, queue = [], children(pid)
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children(one)
    return found


def stat(pid):
    """The state letter of `pid` (R S D T Z …), or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def status(pid, key):
    """A line of /proc/PID/status, as words; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return line.split()[1:]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def command(pid):
    """The words of the command line of `pid`."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [word.decode(errors="replace") for word in file.read().split(b"\0")[:-1]]
    except (FileNotFoundError, ProcessLookupError):
        return []


def executable(pid):
    """The base name of what `pid` runs, or None."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def zombies(pid):
    """The dead and unreaped children of `pid`."""
    return [child for child in children(pid) if stat(child) == "Z"]


def descriptors(pid):
    """What the open descriptors of `pid` are: {number: target}."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def namespace_pid(pid):
    """The id that `pid` has in its own, innermost namespace."""
    words = status(pid, "NSpid")
    return int(words[-1]) if words else None


def cpu_seconds(pid):
    """User and system time of `pid` so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_environment(name, value):
    """All processes that have NAME=VALUE in their environment: how the tests find what a daemon has left behind anywhere."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                pass
    return found
