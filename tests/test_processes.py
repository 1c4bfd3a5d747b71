"""Whether a process still runs, by processes whose fate is known."""

import os
import subprocess
import sys
import time

import psutil

from dualglow.processes import running


def test_a_process_runs_until_it_is_killed_and_its_zombie_does_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert running(child.pid)
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not running(child.pid)  # nobody has waited for it
    child.wait()
    assert not running(child.pid)


def test_another_process_of_the_same_number_is_not_the_one_that_was_born_then() -> None:
    born = psutil.Process().create_time()
    assert running(os.getpid(), born)
    assert not running(os.getpid(), born - 60)
