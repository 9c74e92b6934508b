"""Which thread may run where, as the kernel has it."""

import contextlib
import os

#: The two CPUs of the machine made into two classes by hand: CPU 0 is a performance core, CPU 1 an efficiency core.
CLASSES = {"HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1"}
P, E, BOTH = {0}, {1}, {0, 1}
#: Whether this process may use both of them.
HAS_BOTH = BOTH <= os.sched_getaffinity(0)


def threads(pids):
    """{thread: the CPUs on which it may run} of these processes."""
    found = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    found[int(thread)] = os.sched_getaffinity(int(thread))
    return found


def masks(pids):
    """The different sets of CPUs of all threads of these processes."""
    return {frozenset(one) for one in threads(pids).values()}
