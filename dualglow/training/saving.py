"""When the state of a training is saved: at the end of every epoch, every so many minutes, and when it is to stop."""

import time
from collections.abc import Callable

from dualglow.training.distributed import Processes
from dualglow.training.interruption import NOTHING_LOST, Interruption, StoppedError
from dualglow.training.resume import Progress

GO_ON, SAVE, STOP = range(3)


class Saving:
    """Saves by `save`, on which all processes agree; `minutes` may be 0, then every step is saved."""

    def __init__(
        self, told: Interruption, processes: Processes, minutes: float, save: Callable[[Progress], None]
    ) -> None:
        self.told, self.processes, self.minutes, self._save = told, processes, minutes, save
        self.saved = time.monotonic()

    def pause(self, progress: Progress, capture: Callable[[], None]) -> None:
        """After a step: if it is time or one was told to stop, bring `progress` up to date by `capture` and save it.

        Raises StoppedError in every process if one of them was told to stop.
        """
        wish = self.processes.highest(self._wish())
        if wish == GO_ON:
            return
        capture()
        self.save(progress)
        if wish == STOP:
            self._stop(progress)

    def stop_if_told(self, progress: Progress) -> None:
        """Where there is nothing new to save. Raises StoppedError in every process if one of them was told to stop."""
        if self.processes.highest(int(self.told.told)):
            self._stop(progress)

    def save(self, progress: Progress) -> None:
        """Only the leading process writes."""
        if self.processes.leads:
            self._save(progress)
        self.saved = time.monotonic()

    def _wish(self) -> int:
        if self.told.told:
            return STOP
        due = self.processes.leads and time.monotonic() - self.saved >= 60 * self.minutes
        return SAVE if due else GO_ON

    def _stop(self, progress: Progress) -> None:
        self.processes.wait()  # for the one that writes
        name = self.told.name or "a signal to another process"
        if not progress.begun:
            raise StoppedError(f"stopped by {name} {NOTHING_LOST}")
        raise StoppedError(
            f"stopped by {name} after {progress.where}; that state is saved, and the same command goes on from there."
        )
