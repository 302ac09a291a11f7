"""The journal: every transition, in one SQLite file, before it counts.

Law: what was appended survives the death of the process at any instant; what cannot be appended is kept
in memory, counted as an error, and appended once the cause is gone. Nothing here ever stops the
counting, and no file is ever deleted.

* ``schema``  the tables, and how older ones become newer ones
* ``rows``    values to rows and back
* ``file``    the file: its lock, its health, setting a corrupt one aside
* ``extent``  what this run answers for
* ``tables``  what is done to them
* ``store``   append, restore, heal
* ``keeper``  what may wait for the disk: checkpoints and retention, on a thread of its own
* ``selection`` what is asked
* ``writing`` one transaction, without the rows that cannot be written
* ``damage`` rows that hold values the exporter never wrote
* ``history`` reading, also while the exporter writes
"""
