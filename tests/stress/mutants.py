"""Takes locks and checks out of siphon, one at a time, and shows that a stress test notices each.

    python -m tests.stress.mutants [WORD ...]

Each mutation is made in a temporary copy of ``siphon`` and ``tests``; the working tree stays as it
is. First the copy is tested without any mutation. WORDs choose the mutations whose name holds one
of them. A mutation that a short run overlooks is tried again, then with the numbers of
``SIPHON_STRESS=full``. Exit code 1: one has survived, or its text is no longer in the source.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

_ROOT: Final = Path(__file__).resolve().parents[2]
_ATTEMPTS: Final = ("", "", "full")


class Mutant(NamedTuple):
    """One text of one file, what stands there instead, and the tests that must notice.

    ``file``: a path below ``siphon`` with a slash in it, or the name of a file of ``siphon/threads``;
    ``tests``: a path below ``tests``, or the name of a file of ``tests/stress``.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


# What one exchange may leave on a task that it shares.
_TRACES: Final = "context or cancelling() or references_to(task) != references or weak_references_to(task):"

MUTANTS: Final = (
    Mutant(
        "turn: a context is left to the next",
        "loops.py",
        _TRACES,
        "cancelling() or references_to(task) != references or weak_references_to(task):",
        "threads/test_loops.py",
    ),
    Mutant(
        "turn: a cancellation is left to the next",
        "loops.py",
        _TRACES,
        "context or references_to(task) != references or weak_references_to(task):",
        "threads/test_loops.py",
    ),
    Mutant(
        "turn: a task that is kept is left to the next",
        "loops.py",
        _TRACES,
        "context or cancelling() or weak_references_to(task):",
        "threads/test_loops.py",
    ),
    Mutant(
        "turn: a task that is watched is left to the next",
        "loops.py",
        _TRACES,
        "context or cancelling() or references_to(task) != references:",
        "threads/test_loops.py",
    ),
    Mutant(
        "interrupt: who suspends after the FIN is not found",
        "loops.py",
        "        if exchange.disconnected:\n            exchange.interrupt()",
        "        if False:\n            exchange.interrupt()",
        "threads/test_disconnects.py",
    ),
    Mutant(
        "interrupt: who goes on after a sync member is not found",
        "exchange.py",
        "            if self.disconnected:\n                self.interrupt()",
        "            if False:\n                self.interrupt()",
        "threads/test_disconnects.py",
    ),
    Mutant(
        "interrupt: each of those that have seen a FIN cancels",
        "cancellation.py",
        "            tasks -= exchange.interrupted or set()\n",
        "",
        "threads/test_disconnects.py",
    ),
    Mutant(
        "interrupt: cancels who has been answered by a sync member",
        "cancellation.py",
        "            tasks -= exchange.visiting or set()\n",
        "            tasks -= (exchange.visiting if exchange.held else None) or set()\n",
        "threads/test_disconnects.py",
    ),
    Mutant(
        "fail: abandons what the acceptor is about to answer",
        "exchange.py",
        "            if not self.ended and self.connection.abandon(self) == OWNER_NEEDED:\n",
        "            if self.connection.abandon(self) == OWNER_NEEDED:\n",
        "test_held.py",
    ),
    Mutant(
        "answer: whether it has been claimed goes unasked",
        "connection.py",
        "            elif self.exchange is not exchange:  # answered",
        "            elif False:  # answered",
        "test_claims.py",
    ),
    Mutant(
        "answer: no lock",
        "connection.py",
        "        lock = self.lock\n        lock.acquire()",
        "        lock = threading.Lock()\n        lock.acquire()",
        "test_closing.py",
    ),
    Mutant(
        "drain: connections are not told",
        "acceptor.py",
        "            connection.draining = connection.kick_wanted = True\n",
        "",
        "test_stopping.py",
    ),
    Mutant(
        "batch: bodies wait for the acceptor",
        "batch.py",
        "        self._returns = not any(",
        "        self._returns = True or not any(",
        "threads/test_batch.py",
    ),
    Mutant(
        "close: no lock",
        "connection.py",
        "        with self.lock:\n            self.state = after(self.state, CLOSING)\n",
        "        if True:\n            self.state = after(self.state, CLOSING)\n",
        "test_closing.py",
    ),
    Mutant(
        "close: a worker closes after a failed send",
        "connection.py",
        "                self.broken = True\n                return OWNER_NEEDED\n            if large_body",
        "                self.broken = True\n                self.channel.sock.close()\n"
        "                return OWNER_NEEDED\n            if large_body",
        "test_closing.py",
    ),
    Mutant(
        "close: a worker closes after the last answer",
        "connection.py",
        "            self.channel.half_close()\n",
        "            self.channel.sock.close()\n",
        "test_closing.py",
    ),
    Mutant(
        "close: a loop closes what it abandons",
        "connection.py",
        "            self.broken = True\n            return OWNER_NEEDED\n",
        "            self.broken = True\n            self.channel.sock.close()\n"
        "            return OWNER_NEEDED\n",
        "test_closing.py",
    ),
    Mutant(
        "answer: no kick, whoever wants one",
        "connection.py",
        "            return OWNER_NEEDED if self.kick_wanted else SENT\n",
        "            return SENT\n",
        "test_pipelining.py",
    ),
    Mutant(
        "keep: no kick for input that waits",
        "reader.py",
        "            if busy:\n                connection.kick_wanted = True\n",
        "",
        "test_pipelining.py",
    ),
    Mutant(
        "end of input: no kick for a client that has half-closed",
        "reader.py",
        "            connection.end_of_input = connection.kick_wanted = True\n",
        "            connection.end_of_input = True\n",
        "test_closing.py",
    ),
    Mutant(
        "attend: a half-closed client is forgotten with the kick",
        "reader.py",
        "                connection.kick_wanted = connection.end_of_input\n",
        "                connection.kick_wanted = False\n",
        "threads/test_disconnects.py",
    ),
    Mutant(
        "drain: no kick once it has begun",
        "acceptor.py",
        "            connection.draining = connection.kick_wanted = True\n",
        "            connection.draining = True\n",
        "test_stopping.py",
    ),
    Mutant(
        "read: what a worker is answering is taken for the acceptor's",
        "reader.py",
        "        if connection.state == IDLE or connection.state in _ARRIVING:\n            self._adv",
        "        if connection.state != LINGERING:\n            self._adv",
        "test_pipelining.py",
    ),
    Mutant(
        "keep: without the lock",
        "reader.py",
        "        with connection.lock:\n            state = connection.state\n            busy =",
        "        if True:\n            state = connection.state\n            busy =",
        "test_pipelining.py",
    ),
    Mutant(
        "dispatch: a paused reading is not resumed",
        "reader.py",
        " or not connection.reading:\n",
        ":\n",
        "test_pipelining.py",
    ),
    Mutant(
        "turn: one hand-over, before the deadlines' own answers",
        "acceptor.py",
        "            if not (self._for_loops or self._for_workers):\n",
        "            if not (events and (self._for_loops or self._for_workers)):\n",
        "test_pipelining.py",
    ),
    Mutant(
        "buffered: counted in without the lock",
        "buffered.py",
        "        with self._lock:\n            self._used += size\n",
        "        if True:\n            self._used += size\n",
        "test_counting.py",
    ),
    Mutant(
        "buffered: counted out without the lock",
        "buffered.py",
        "        with self._lock:\n            self._used -= size\n",
        "        if True:\n            self._used -= size\n",
        "test_counting.py",
    ),
    Mutant(
        "kick: wake-ups are cleared after the kicks were taken",
        "reader.py",
        "                self._wakeup.clear()\n                self._attend_kicked()\n",
        "                self._attend_kicked()\n                self._wakeup.clear()\n",
        "test_lanes.py",
    ),
    Mutant(
        "kick: taken without the lock",
        "reader.py",
        "        with self._lock:\n            kicked, self._kicked = self._kicked, []\n",
        "        kicked = self._kicked[:]\n        self._kicked.clear()\n        with self._lock:\n",
        "test_lanes.py",
    ),
    Mutant(
        "loop: what came during a drain is not looked for",
        "loops.py",
        "            self._scheduled = bool(self._inbox)\n",
        "            self._scheduled = False\n",
        "test_lanes.py",
    ),
    Mutant(
        "loop: the wake-up is cleared after the drain",
        "loops.py",
        "        self._wakeup.clear()\n        self._drain()\n",
        "        self._drain()\n        self._wakeup.clear()\n",
        "test_lanes.py",
    ),
    Mutant(
        "loop: submit has no lock",
        "loops.py",
        "        with self._lock:\n            self._inbox.extend(items)\n",
        "        if True:\n            self._inbox.extend(items)\n",
        "test_lanes.py",
    ),
    Mutant(
        "loop: the inbox is taken without the lock",
        "loops.py",
        "        with self._lock:\n            items, self._inbox = self._inbox, []\n",
        "        items = self._inbox[:]\n        self._inbox.clear()\n",
        "test_lanes.py",
    ),
    Mutant(
        "blocking: the waking flag stays up",
        "blocking.py",
        "                    worker.woken = False\n                    self._waking = False\n",
        "                    worker.woken = False\n",
        "test_lanes.py",
    ),
    Mutant(
        "blocking: a worker that leaves items wakes nobody",
        "blocking.py",
        "            if inbox and not self._waking:\n",
        "            if not inbox and not self._waking:\n",
        "test_lanes.py",
    ),
    Mutant(
        "blocking: a worker rests without a last look",
        "blocking.py",
        "            if self._inbox:\n                return False\n",
        "",
        "test_lanes.py",
    ),
    Mutant(
        "blocking: submit has no lock",
        "blocking.py",
        "        with self._lock:\n            room = self._take_in(len(exchanges))\n            left",
        "        if True:\n            room = self._take_in(len(exchanges))\n            left",
        "test_lanes.py",
    ),
    Mutant(
        "lanes: room is taken without the lock",
        "lanes.py",
        "        with self._lock:\n            room = self._room.take(wanted)\n",
        "        room = self._room.take(wanted)\n",
        "test_lanes.py",
    ),
    Mutant(
        "admission: who was active since makes room",
        "admission.py",
        "            if connection.is_idle() and connection.deadline == deadline:\n",
        "            if connection.deadline == deadline and connection.is_idle():\n",
        "threads/test_deadlines.py",
    ),
    Mutant(
        "lanes: a visit that nobody waits for takes no place",
        "lanes.py",
        "            self._room.take(1)\n",
        "            pass\n",
        "threads/test_room.py",
    ),
    Mutant(
        "room: nothing is taken",
        "room.py",
        "        self._left -= wanted\n",
        "",
        "threads/test_room.py",
    ),
    Mutant(
        "room: it is not counted anew",
        "room.py",
        "            self._left = max(0, self._count())\n",
        "            self._left = max(self._left, 0)\n",
        "threads/test_room.py",
    ),
    Mutant(
        "blocking: the queue has no bound",
        "blocking.py",
        "            left = exchanges[:room]\n",
        "            left = exchanges[:]\n",
        "test_lanes.py",
    ),
    Mutant(
        "singly: workers are taken off the stack without the lock",
        "blocking.py",
        "        with self._lock:\n            room = self._take_in(len(exchanges))\n            left",
        "        if True:\n            room = self._take_in(len(exchanges))\n            left",
        "test_singly.py",
    ),
    Mutant(
        "singly: who is handed something stays on the stack",
        "blocking.py",
        "        del self._parked[first:]\n",
        "",
        "test_singly.py",
    ),
    Mutant(
        "singly: a worker keeps what it was handed",
        "blocking.py",
        "            if item is not None:\n                worker.handed = None\n",
        "            if item is not None:\n                pass\n",
        "test_singly.py",
    ),
    Mutant(
        "singly: a worker is woken before it is handed something",
        "blocking_worker.py",
        "        self.handed = item\n        self.gate.open()\n",
        "        self.gate.open()\n        self.handed = item\n",
        "test_singly.py",
    ),
    Mutant(
        "computing: who ends does not look whether another waits",
        "computing.py",
        "        self._free.append(None)\n        return self._place_next(monotonic())\n",
        "        self._free.append(None)\n        return None\n",
        "test_computing.py",
    ),
    Mutant(
        "computing: who ends looks before its place is free",
        "computing.py",
        "        self._free.append(None)\n        return self._place_next(monotonic())\n",
        "        is_wanted = bool(self._waiting)\n        self._free.append(None)\n"
        "        return self._place_next(monotonic()) if is_wanted else None\n",
        "test_computing.py",
    ),
    Mutant(
        "computing: who comes looks for a place before it waits for one",
        "computing.py",
        "            else:\n                self._waiting.append(exchange)\n        while (",
        "            else:\n                is_free = bool(self._free)\n"
        "                self._waiting.append(exchange)\n"
        "                if not is_free:\n                    return begin\n        while (",
        "test_computing.py",
    ),
    Mutant(
        "computing: who was too late leaves no place",
        "computing.py",
        "                self._free.append(None)  # another",
        "                pass  # another",
        "test_computing.py",
    ),
    Mutant(
        "computing: who has lost its place gives it away",
        "computing.py",
        "        if self.begun.pop(item, None) is None:\n            return None\n",
        "        self.begun.pop(item, None)\n",
        "test_computing.py",
    ),
    Mutant(
        "computing: places are not taken from those that wait",
        "computing.py",
        "            if now < began + PATIENCE_S:\n",
        "            if now < began + 1e9:\n",
        "test_computing.py",
    ),
    Mutant(
        "computing: nobody looks at those that have places",
        "blocking.py",
        "        self.look_at = min(self.look_at, self.computing.due)\n",
        "        pass\n",
        "test_computing.py",
    ),
    Mutant(
        "computing: what follows waits for a row",
        "blocking.py",
        "            if worker.is_runner:\n                self._wake_another()  # it may",
        "            if False:\n                self._wake_another()  # it may",
        "test_computing.py",
    ),
    Mutant(
        "rows: one is taken without the lock",
        "blocking_worker.py",
        "        with self._lock:\n            if not self._rows:\n                return None\n",
        "        if True:\n            if not self._rows:\n                return None\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: one is dealt to a worker that is no runner any more",
        "blocking_worker.py",
        "            if not self.is_runner:\n                return GONE\n",
        "",
        "test_rows.py",
    ),
    Mutant(
        "rows: a runner rests without a last look at the inbox",
        "blocking.py",
        "        return not ((self._inbox or self._stopping) and worker.rise())\n",
        "        return not (self._stopping and worker.rise())\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: a runner rests beside a row",
        "blocking_worker.py",
        "            self.resting = self.is_runner and not self._rows\n",
        "            self.resting = self.is_runner\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: a runner that is being woken does not wait for it",
        "blocking_worker.py",
        "            rested, self.resting = self.resting, False\n            return rested\n",
        "            self.resting = False\n            return True\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: a runner at rest is not woken for the inbox",
        "blocking_worker.py",
        "            rested, self.resting = self.resting, False\n            if rested:\n",
        "            rested = False\n            if rested:\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: nobody is asked to look",
        "blocking.py",
        "        if some_wait:\n",
        "        if not exchanges:\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: what is left of the row stays where it is",
        "blocking_worker.py",
        "            while turns:\n                try:\n                    rest.append(turns.pop())\n",
        "            while False:\n                try:\n                    rest.append(turns.pop())\n",
        "test_rows.py",
    ),
    Mutant(
        "rows: what is left is run by both",
        "blocking_worker.py",
        "                    rest.append(turns.pop())\n",
        "                    rest = turns[::-1]\n                    break\n",
        "test_rows.py",
    ),
    Mutant(
        "cancel: what waits is not marked as ended",
        "exchange.py",
        "            self.ended = True\n            worker = self.loop_worker\n",
        "            worker = self.loop_worker\n",
        "test_claims.py",
    ),
    Mutant(
        "cancel: an ended exchange keeps its slot",
        "exchange.py",
        "        worker.finished += 1\n        self.release_body()\n",
        "        self.release_body()\n",
        "test_claims.py",
    ),
    Mutant(
        "held: a visit goes to another worker",
        "exchange.py",
        "                held.put(visit)\n        if held is None and not",
        "                pass\n        if not",
        "test_held.py",
    ),
    Mutant(
        "held: a cancelled wait is not woken",
        "held.py",
        "        self._cancelled = True\n        self._queue.put(WAKE_UP)\n",
        "        self._cancelled = True\n",
        "test_held.py",
    ),
    Mutant(
        "drain: who waits for a request is closed at once",
        "connection.py",
        "_DRAIN_PATIENCE_S: Final = 1.0\n",
        "_DRAIN_PATIENCE_S: Final = -100.0\n",
        "test_rolling.py",
    ),
    Mutant(
        "drain: a kick that comes late hurries again",
        "connection.py",
        "        if self._hurried:\n            return False\n",
        "",
        "threads/test_shutdown.py",
    ),
    Mutant(
        "note: an answer that comes late is counted as well",
        "exchange.py",
        "                worker.records.count_late()\n                return\n",
        "                worker.records.count_late()\n",
        "test_accounts.py",
    ),
    Mutant(
        "settle: what another is taking is taken as well",
        "records.py",
        "        with self._lock:\n            taken",
        "        if True:\n            taken",
        "threads/test_records.py",
    ),
    Mutant(
        "settle: not at the end of a batch",
        "batch.py",
        "        if worker.observes:\n            worker.records.settle()\n",
        "",
        "test_accounts.py",
    ),
    Mutant(
        "settle: not when a task has suspended",
        "exchange.py",
        "        worker.suspended.discard(self)\n        worker.records.settle()\n",
        "        worker.suspended.discard(self)\n",
        "test_accounts.py",
    ),
    Mutant(
        "settle: not for a thread that is stuck",
        "lanes.py",
        "            records.settle()\n",
        "            pass\n",
        "threads/test_records.py",
    ),
    Mutant(
        "note: what is given up is not counted",
        "exchange.py",
        "                worker.records.record(self, NO_ANSWER, 0)\n",
        "",
        "test_accounts.py",
    ),
    Mutant(
        "tally: all threads count in the same cells",
        "tally.py",
        "        self._all.append(cells)\n        return cells\n",
        "        self._all.append(cells)\n        return self._all[0]\n",
        "test_accounts.py",
    ),
    Mutant(
        "log: the writer sleeps and counts as awake",
        "./journal.py",
        "                self._awake = False\n                self._idle.notify_all()\n",
        "                self._idle.notify_all()\n",
        "test_log.py",
    ),
    Mutant(
        "log: who sleeps is not woken",
        "./journal.py",
        "            self._awake = True\n            self._gate.put(None)\n",
        "            self._awake = True\n",
        "test_log.py",
    ),
    Mutant(
        "log: the queue is taken without the lock",
        "./journal.py",
        "        with self._lock:\n            queue, self._queue = self._queue, []\n",
        "        if True:\n            queue = self._queue[:]\n            self._queue.clear()\n",
        "test_log.py",
    ),
    Mutant(
        "access: the writer takes lines without the lock",
        "access.py",
        "        with self._lock:\n            text = bytes(self._text)\n",
        "        if True:\n            text = bytes(self._text)\n",
        "test_log.py",
    ),
    Mutant(
        "access: a thread adds lines without the lock",
        "access.py",
        "        with self._lock:\n            text = self._text\n",
        "        if True:\n            text = self._text\n",
        "test_log.py",
    ),
    Mutant(
        "access: whoever has had lines need not announce the next",
        "access.py",
        "            self._announced = False\n        return",
        "        return",
        "test_log.py",
    ),
    Mutant(
        "listener: connections are counted without the lock",
        "listener.py",
        "        with self._lock:\n            self._connections -= 1\n",
        "        if True:\n            self._connections -= 1\n",
        "test_closing.py",
    ),
    Mutant(
        "listener: what has been told is looked up without the lock",
        "listener.py",
        "        with self._lock:\n            first = what not in self._told\n",
        "        if True:\n            first = what not in self._told\n",
        "test_tls.py",
    ),
    Mutant(
        "tls: a worker encrypts its answer itself",
        "tls.py",
        "        return 0\n\n    def transmit",
        "        return self.transmit(data)\n\n    def transmit",
        "test_tls.py",
    ),
    Mutant(
        "tls: what the socket has not taken is encrypted again",
        "tls.py",
        "        if not self._covered_bytes:\n",
        "        if True:\n",
        "test_tls.py",
    ),
    Mutant(
        "tls: one record is decrypted of all that have come",
        "tls.py",
        "            parts.append(part)\n",
        "            parts.append(part)\n            break\n",
        "test_tls.py",
    ),
    Mutant(
        "flush: room in the socket for the rest is not waited for",
        "reader.py",
        "        if not connection.broken:\n            self._watch(connection)\n        if not more:\n",
        "        if not more:\n",
        "test_tls.py",
    ),
    Mutant(
        "watch: room for a handshake's records is not waited for",
        "reader.py",
        "        wanted = WRITABLE if connection.state == SENDING or connection.channel.blocked else 0\n",
        "        wanted = WRITABLE if connection.state == SENDING else 0\n",
        "test_tls.py",
    ),
    Mutant(
        "secure: an end that came with a request is overlooked",
        "secure.py",
        "        elif tls.end_of_input and not connection.end_of_input:\n",
        "        elif connection.end_of_input:\n",
        "test_tls.py",
    ),
    Mutant(
        "secure: handshakes go as they come",
        "secure.py",
        "        self._poll = self._poll_established_first\n",
        "",
        "test_tls.py",
    ),
    Mutant(
        "call: an end reaches what the connection is lent to next",
        "client/call.py",
        "        with self._lock:\n            self._attached = None\n            if self.ended:\n",
        "        with self._lock:\n            if self.ended:\n",
        "test_outbound.py",
    ),
    Mutant(
        "call: an end that comes first goes unseen",
        "client/call.py",
        "                raise CallEnded\n            self._attached = waited_for\n",
        "                pass\n            self._attached = waited_for\n",
        "test_outbound.py",
    ),
    Mutant(
        "replies: no lock",
        "client/replies.py",
        "        with self._lock:\n            self._finished.append(call)\n",
        "        if True:\n            self._finished.append(call)\n",
        "test_outbound.py",
    ),
    Mutant(
        "client: is released without the lock",
        "client/client.py",
        "        with self._lock:\n            transport, self._transport",
        "        if True:\n            transport, self._transport",
        "clients/test_pools.py",
    ),
    Mutant(
        "client threads: a slot is given back without the lock",
        "client/threads.py",
        "        with self._lock:\n            if done is not None:\n",
        "        if True:\n            if done is not None:\n",
        "test_outbound.py",
    ),
    Mutant(
        "client threads: calls are put in line without the lock",
        "client/threads.py",
        "        with self._lock:\n            if slots.is_closed:\n                return False\n",
        "        if True:\n            if slots.is_closed:\n                return False\n",
        "test_outbound.py",
    ),
    Mutant(
        "client threads: a slot is kept from those whose turn it is",
        "client/threads.py",
        "                if done.in_line and not self._turns:\n",
        "                if done.in_line:\n",
        "clients/test_threads.py",
    ),
    Mutant(
        "client threads: a call that got no thread passes over one that is parked",
        "client/threads.py",
        "            assigned = self._assign(slots)\n        journal.log(",
        "            assigned = self._give_turn(slots) or []\n        journal.log(",
        "clients/test_threads.py",
    ),
    Mutant(
        "client threads: a call that has ended stays in line",
        "client/threads.py",
        "            slots.in_line.pop(call, None)\n",
        "            pass\n",
        "test_outbound.py",
    ),
    Mutant(
        "client pool: its places are copied while others take and give them",
        "client/pool.py",
        "            for index in range(len(places)):\n                free += places[index] is None\n",
        "            free = places.copy().count(None)\n",
        "test_outbound.py",
    ),
    Mutant(
        "http2: calls are cancelled without the lock",
        "client/http2.py",
        "        with self._lock:\n            self._cancelled.append(stream)\n",
        "        if True:\n            self._cancelled.append(stream)\n",
        "test_http2.py",
    ),
    Mutant(
        "http2: a call that has ended keeps its stream",
        "client/http2_streams.py",
        "            self._close(stream, None if is_over else ErrorCodes.CANCEL)\n",
        "            pass\n",
        "test_http2.py",
    ),
    Mutant(
        "http2: an upstream that goes away gets more calls",
        "client/http2.py",
        "            if not streams.takes_calls:\n                self._takes_calls = False\n",
        "            pass\n",
        "test_http2.py",
    ),
    Mutant(
        "lend: a loop reads without its turn",
        "loop_reader.py",
        "            with self.turn:\n                self.turns += 1",
        "            if self.turn:\n                self.turns += 1",
        "test_lending.py",
    ),
    Mutant(
        "lend: connections are taken from a loop that reads",
        "lending.py",
        "        with lent.reader.turn:\n            self._acceptor",
        "        if lent.reader.turn:\n            self._acceptor",
        "test_lending.py",
    ),
    Mutant(
        "lend: connections are lent to a loop that reads",
        "lending.py",
        "            with reader.turn:",
        "            if reader.turn:",
        "test_lending.py",
    ),
    Mutant(
        "lend: who was on the way back as a stop begins is forgotten",
        "acceptor.py",
        "        super()._attend_kicked()  # who was on the way back\n",
        "",
        "test_lending.py",
    ),
    Mutant(
        "lend: the old owner alone is kicked",
        "connection.py",
        "        while owner is not self.owner:",
        "        if owner is not self.owner:",
        "test_lending.py",
    ),
    Mutant(
        "lend: nobody takes what a loop gives back",
        "acceptor.py",
        "        else:  # another has let go of it\n            self.take(connection)\n",
        "        else:\n",
        "test_lending.py",
    ),
    Mutant(
        "lend: a loop that is held up keeps its connections",
        "lending.py",
        "            return lent.is_late(now, self.look_s)",
        "            return False",
        "threads/test_lending.py",
    ),
    Mutant(
        "lend: deadlines on a loop that is held up are not looked at",
        "lending.py",
        "lent.reader.next_due + _OVERDUE_S <= now or lent.has_to_do",
        "lent.has_to_do",
        "threads/test_lending.py",
    ),
    Mutant(
        "lend: one that was closed in the same turn is lent",
        "lending.py",
        " or not self._acceptor.owns(connection)",
        "",
        "threads/test_lending.py",
    ),
    Mutant(
        "lend: one that was closed in the same turn is given back",
        "lent_reader.py",
        "        if self.owns(connection):\n            self.let_go",
        "        if connection.owner is self:\n            self.let_go",
        "threads/test_lending.py",
    ),
    Mutant(
        "recall: kicks for a loop that is held up stay with it",
        "acceptor.py",
        "            self._attend(connection)  # a kick may wait for a thread that does not come round\n",
        "",
        "threads/test_lending.py",
    ),
    Mutant(
        "recall: what a loop was to begin stays with it",
        "acceptor.py",
        "        self._for_loops += for_loops\n",
        "",
        "threads/test_lending.py",
    ),
    Mutant(
        "take: a deadline is not brought up to date",
        "reader.py",
        "            connection.settle()\n        self._wheel.file",
        "            pass\n        self._wheel.file",
        "threads/test_lending.py",
    ),
    Mutant(
        "lend: a loop is not told of a deadline that is nearer",
        "lent_reader.py",
        "        if self._wheel.next_due < due:",
        "        if len(self.connections) == 1:",
        "threads/test_lending.py",
    ),
    Mutant(
        "shed: whoever owns the connection",
        "reader.py",
        "            if self.owns(exchange.connection):\n                self._attend",
        "            if exchange.ended:\n                self._attend",
        "threads/test_lending.py",
    ),
    Mutant(
        "runner: reads without its turn",
        "runner_reader.py",
        "            with self.turn:\n                self.turns += 1",
        "            if self.turn:\n                self.turns += 1",
        "test_lending.py",
    ),
    Mutant(
        "runner: does not hear of its gate where it reads",
        "runner_reader.py",
        "            self._poller.register(self._gate_fd)\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one at rest is not told that it has a reader",
        "blocking_worker.py",
        "            self.reader = reader\n            rested, self.resting = self.resting, False\n",
        "            self.reader = reader\n            rested = False\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that is being woken reads instead",
        "blocking_worker.py",
        "        if reader.is_opened(events) or not self.rise():\n",
        "        if reader.is_opened(events):\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that is none any more keeps what it has read",
        "blocking_worker.py",
        "            if not self.is_runner:\n                return False\n            exchanges.reverse()\n",
        "            exchanges.reverse()\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that is none any more keeps its connections",
        "lending.py",
        "            if lent.reader.connections:\n                self._take_back(lent)\n",
        "            if lent.reader.connections:\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: more is lent at once where one is taken its row because it blocks",
        "lending.py",
        "                return lent.is_left_waiting\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that is none any more keeps its reader",
        "blocking_worker.py",
        "        if not self.is_runner:\n            self._leave_reader()\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: what it has read waits behind what blocks",
        "lending.py",
        "            for lent in late:\n                lent.give_up()\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: nobody hears that what it has read waits",
        "runner_reader.py",
        "        if not self.watched:\n            self._wakeup.set()\n",
        "        return\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that is held up keeps others from lending",
        "lending.py",
        "                self._lent.append(self._lent.pop(0))\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: one that rests is given up and never wakes",
        "lent.py",
        "            if self._runner.rise():  # it rested after all, and is in nobody's list now\n",
        "            if False:\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: the queue has no bound for what it reads",
        "blocking.py",
        "            del exchanges[room:]\n",
        "            pass\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: who is late is looked at again as seldom as ever",
        "lending.py",
        " and not lent.is_suspected\n",
        "\n",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: who has been held up is looked at no more often",
        "lending.py",
        "        self._well_since = now + self._last_pause_s\n",
        "",
        "threads/test_runner_lending.py",
    ),
    Mutant(
        "runner: what is read while rows are watched is lent",
        "lending.py",
        " and not self._pace.watches\n",
        "\n",
        "threads/test_runner_lending.py",
    ),
)


class Verdict(NamedTuple):
    """What a run of the tests said: the first test that failed, or None."""

    failed: str | None
    seconds: float


def _copy(folder: Path) -> None:
    for name in ("siphon", "tests"):
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", folder)


def _test(folder: Path, tests: list[str], size: str) -> Verdict:
    """Runs ``tests`` of the copy until the first failure; raises RuntimeError where they do not run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "120"]
    began = monotonic()
    run = subprocess.run(
        [*command, *[f"tests/{name}" if "/" in name else f"tests/stress/{name}" for name in tests]],
        cwd=folder,
        # The copy comes before an installed siphon.
        env={**os.environ, "PYTHONPATH": str(folder), "SIPHON_STRESS": size},
        capture_output=True,
        text=True,
        check=False,
    )
    took_s = monotonic() - began
    if run.returncode == 0:
        return Verdict(None, took_s)
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", run.stdout, re.MULTILINE)
    if found is not None and run.returncode == 1:
        return Verdict(found[1], took_s)
    if "Timeout" in run.stdout + run.stderr:
        return Verdict("a test that was stuck", took_s)
    if run.returncode == -signal.SIGSEGV:
        # An object that two threads change at once may take the interpreter with it.
        return Verdict("a crash of the interpreter", took_s)
    raise RuntimeError(f"the tests did not run (exit code {run.returncode}):\n{run.stdout}\n{run.stderr}")


def _try(mutant: Mutant) -> str | None:
    """Why the mutant counts as survived, or None where a test noticed it."""
    with tempfile.TemporaryDirectory(prefix="siphon-mutant-") as name:
        folder = Path(name)
        _copy(folder)
        source = folder / "siphon" / (mutant.file if "/" in mutant.file else f"threads/{mutant.file}")
        text = source.read_text()
        if text.count(mutant.old) != 1:
            return (
                f"its text is {text.count(mutant.old)} times in {mutant.file}: bring the mutation up to date"
            )
        source.write_text(text.replace(mutant.old, mutant.new))
        for attempt, size in enumerate(_ATTEMPTS, 1):
            verdict = _test(folder, [mutant.tests], size)
            if verdict.failed is not None:
                how = f"{verdict.seconds:.0f} s, run {attempt}{', long' if size else ''}"
                _say(f"noticed   {mutant.name}\n          {verdict.failed} ({how})")
                return None
    return f"{mutant.tests} passed {len(_ATTEMPTS)} times"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """Tries the chosen mutants; the exit code."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="siphon-mutant-") as name:
        _copy(Path(name))
        sound = _test(Path(name), sorted({mutant.tests for mutant in chosen}), "")
    if sound.failed is not None:
        _say(f"without any mutation, {sound.failed} fails: nothing can be shown")
        return 1
    survived = 0
    for mutant in chosen:
        why = _try(mutant)
        if why is not None:
            survived += 1
            _say(f"SURVIVED  {mutant.name}\n          {why}")
    _say(f"{len(chosen) - survived} of {len(chosen)} mutations were noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
