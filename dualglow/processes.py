"""Whether a process still runs."""

import psutil

SAME_BIRTH = 2.0  # seconds by which two clocks may disagree about when a process was born


def running(pid: int, born: float | None = None) -> bool:
    """Whether this machine has a process of that number; with `born` (seconds since 1970), one that began then.

    A zombie has ended. A process about which we may not ask runs.
    """
    try:
        process = psutil.Process(pid)
        if born is not None and abs(process.create_time() - born) >= SAME_BIRTH:
            return False
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
