"""letters.py - the store as a file: letters, gap rows and checkpoints, read while no engine runs."""

import pathlib
import sqlite3

CAUSES = {1: "poison", 2: "parked", 3: "isolated"}


class Store:
    """What stands in <data_dir>/pgfan.db; the engine holds the file while it runs."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "pgfan.db"

    def rows(self, text, *arguments):
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return connection.execute(text, arguments).fetchall()
        finally:
            connection.close()

    def letters(self, target=None):
        """(id, cause, target) of every letter, in the order of adding."""
        rows = self.rows("SELECT id, cause, target FROM letter ORDER BY number")
        return [(name, CAUSES[cause], place) for name, cause, place in rows
                if target is None or place == target]

    def gaps(self, target):
        """(first, last, count) of each gap row, positions as (lsn, seq)."""
        return [((row[0], row[1]), (row[2], row[3]), row[4]) for row in self.rows(
            "SELECT first_lsn, first_seq, last_lsn, last_seq, count FROM gap WHERE target = ? "
            "ORDER BY first_lsn, first_seq", target)]
