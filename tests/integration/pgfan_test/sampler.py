"""sampler.py - samples the promise: confirmed_flush_lsn first, then the records.

No change with a commit LSN below the confirmed position may be unsettled. The confirmed position is
read first: what is settled afterwards only grows.
"""

import threading

import psycopg2

from .records import position
from .server import lsn
from .wait import pause


class Sampler(threading.Thread):
    """Ten samples a second in a thread of its own, until stop()."""

    def __init__(self, server, slot, counted=None):
        super().__init__(daemon=True)
        self.server, self.slot, self.counted = server, slot, counted
        self.samples, self.faults = [], []
        self._ended = threading.Event()

    def run(self):
        while not self._ended.is_set():
            try:
                self._sample()
            except psycopg2.Error:
                pass  # the server is down or starting: that is the test's doing
            pause(0.1)

    def _sample(self):
        rows = self.server.sql("postgres", "SELECT confirmed_flush_lsn::text, clock_timestamp() "
                               "FROM pg_replication_slots WHERE slot_name = %s", self.slot)
        if rows and rows[0][0]:
            confirmed = lsn(rows[0][0])
            seen = self.counted() if self.counted else None
            self.samples.append((confirmed, seen))

    def stop(self):
        self._ended.set()
        self.join()
        return self.samples

    def check(self, events, oracle_commits=None):
        """AK over all samples: every event below a confirmed position was in the records then.

        `counted` returned how many events were there; events are in the order of the file.
        """
        for confirmed, seen in self.samples:
            if seen is None:
                continue
            late = [event["id"] for event in events[seen:] if position(event)[0] < confirmed]
            assert not late, (f"confirmed {confirmed:X} passed {len(late)} events that were not "
                              f"in the file, such as {late[0]}")
        del oracle_commits
