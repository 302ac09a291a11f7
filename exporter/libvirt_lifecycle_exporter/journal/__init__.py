"""The journal: every transition, in one SQLite file, written before it is counted.

* ``store``                                    append, restore, recover; entry point
* ``schema``, ``tables``, ``rows``             tables and their migrations; reading and writing them
* ``transaction``, ``buffer``                  one transaction; what waits while the file cannot be written
* ``database_file``, ``filesystem``, ``damage``  lock and corruption; file system; damaged rows
* ``maintenance``, ``retention``               checkpoints and retention, on a thread of its own
* ``history``, ``history_query``               reading, also while the exporter writes
* ``span_recorder``, ``export_queue``, ``export_items``  the queue of the OTLP export
* ``run_scope``                                which connections and names this run is responsible for
* ``disabled``                                 in place of a journal that is switched off

Invariants: what was appended survives the death of the process at any instant. What cannot be appended is
buffered, counted as an error and appended later. A journal error never stops the counting, and no file is
ever deleted.
"""
