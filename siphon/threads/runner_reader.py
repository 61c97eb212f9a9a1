"""The reader of a runner, the blocking worker that reads the requests that it runs."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from siphon.threads.lent_reader import LentReader
from siphon.threads.records import Records
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from siphon.threads.acceptor import Acceptor
    from siphon.threads.blocking_worker import BlockingWorker
    from siphon.threads.exchange import Exchange


class RunnerReader(LentReader):
    """Reads the connections that are lent to the blocking lane, on the runner that has it at the time.

    That waits here, and not at its gate: whoever opens the gate ends this wait, too.
    """

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__(acceptor, Records(), Encoder())  # a runner brings its own
        # That of the runner's gate, which is watched, too.
        self._gate_fd = -1

    # The runner that has it ---------------------------------------------------------------------

    def come(self, worker: BlockingWorker) -> None:
        """Has ``worker``, which reads from now on, find the gate open here as well."""
        with self.turn:
            self._records, self._encoder = worker.records, worker.encoder
            self._gate_fd = worker.gate.fd
            self._poller.register(self._gate_fd)

    def leave(self) -> None:
        """Is read no more, until another comes."""
        with self.turn:
            self._poller.unregister(self._gate_fd)

    def wait(self) -> list[tuple[int, int]]:
        """Waits until a deadline or for what is ready, and says what that is: nothing else is done yet."""
        due = self._wheel.next_due  # a moment's figure: who lends what is due earlier sets the wakeup
        return self._poll(None if due == inf else max(0.0, due - monotonic()))

    def is_opened(self, events: list[tuple[int, int]]) -> bool:
        """Whether the gate is open, as ``events`` say."""
        return self._gate_fd in [fd for fd, _ in events]

    def poll(self) -> list[tuple[int, int]]:
        """What is ready now."""
        return self._poll(0) if self.connections else []

    def read(self, events: list[tuple[int, int]]) -> list[Exchange]:
        """Takes a turn: returns what it has read for the runner to run, as far as the lanes have room."""
        try:
            with self.turn:
                self.turns += 1
                # Some may have been recalled since.
                self._attend_to(events)
                for_loops, for_workers = self.take_exchanges()
                self._shed(self.lanes.submit_from_runner(self, for_loops, for_workers))
                self._keep_to(for_workers, for_loops)
        except BaseException as error:  # noqa: BLE001 - a bug in siphon, which the acceptor ends with
            self._acceptor.fail(error)
            return []
        self.begun += len(for_workers)
        return for_workers

    def have_watched(self) -> None:
        """Has the acceptor look whether the runner goes on: some of what it has read waits for the rest."""
        if not self.watched:
            self._wakeup.set()
