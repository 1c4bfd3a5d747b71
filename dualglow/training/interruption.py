"""Being told to stop: a signal is noted, and heeded where nothing is lost by it."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from dualglow.errors import DualGlowError
from dualglow.training.time_limit import seconds_to_go

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STARTER = "DUALGLOW_STARTER"
"""Environment variable: the process id of the command that started this one as one of several (see processes.py)."""


NOTHING_LOST = "before a step was done; nothing is lost, give the same command again."


class StoppedError(DualGlowError):
    """The training was told to stop; what it says is where the same command goes on."""


class _Told(BaseException):
    """Raised by the signal's handler as long as nothing is at stake; not an Exception, so that nobody swallows it."""


class Interruption:
    """Heeds SIGTERM (such as scancel's), SIGINT (Ctrl+C) and the coming time limit of a cluster's job from `with` on.

    At first a signal ends the program at once. After `hold` it is only noted in `told`, however often it comes, and
    the training ends where its state is saved; a second Ctrl+C does not wait for that.
    """

    def __init__(self) -> None:
        self.name = ""
        self.holding = False
        self._before: dict[signal.Signals, Any] = {}
        self._starter = int(os.environ.get(STARTER, "0"))

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # in the background of a shell, Ctrl+C is not for us
                self._before[number] = signal.signal(number, self._note)
            self._set_alarm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, _Told):
            raise StoppedError(f"stopped by {self.name} {NOTHING_LOST}") from None

    @property
    def told(self) -> bool:
        """Whether to stop: a signal came, or the command that started this process is gone."""
        if self._starter and os.getppid() != self._starter:
            self.name = self.name or "the end of the command that started it"
        return bool(self.name)

    def hold(self) -> None:
        """From now on there is something to lose."""
        self.holding = True

    def _set_alarm(self) -> None:
        seconds = seconds_to_go()
        if seconds is not None:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._note)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.name == signal.SIGINT.name and number == signal.SIGINT
        self.name = "the job's time limit" if number == signal.SIGALRM else signal.Signals(number).name
        if not self.holding:
            raise _Told
        if again:
            raise KeyboardInterrupt
