"""What /proc tells of a tree of processes, and waiting for its end."""

import os
import select
import time


def children(pid):
    """The direct children of `pid`, by any of its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def tree(pid):
    """`pid` and all its descendants, parents first."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children(one)
    return found


def executable(pid):
    """The file that `pid` runs, or None when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def memory(pids):
    """The sums of smaps_rollup over `pids`, in KiB: Rss, Pss, what only they have (Private), and of that what no file holds as well
    (Anonymous): the rest the kernel can drop whenever it needs the room."""
    sums = {"Rss": 0, "Pss": 0, "Private": 0, "Anonymous": 0}
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                words = line.split()
                if words[0] in ("Rss:", "Pss:", "Anonymous:"):
                    sums[words[0][:-1]] += int(words[1])
                elif words[0] in ("Private_Clean:", "Private_Dirty:"):
                    sums["Private"] += int(words[1])
    return sums


def context_switches(pids):
    """Voluntary and other context switches of all threads of `pids` so far."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def wait_gone(pids, timeout):
    """Waits until none of `pids` is alive (a zombie is not). Returns the monotonic time in ns at which the last one ended, or
    None when some were still there after `timeout` seconds."""
    poll = select.poll()
    descriptors = set()
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        descriptors.add(fd)
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + timeout
    last = time.monotonic_ns()
    try:
        while descriptors:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            for fd, _ in poll.poll(left * 1000):
                last = time.monotonic_ns()
                poll.unregister(fd)
                os.close(fd)
                descriptors.discard(fd)
        return last
    finally:
        for fd in descriptors:
            os.close(fd)
