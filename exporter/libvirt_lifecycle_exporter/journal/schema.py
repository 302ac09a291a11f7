"""Schema of the journal and its migrations. Migrations only go forward; a file of a newer release is refused.

History:

* ``transitions``: every transition, in order. ``trace_id`` and ``span_id`` name its span ("": it was recorded
  while the export was off). ``exported_without_message`` is 1 if its message came after it was exported.
* ``incidents``: open and closed incidents.

Counters, as Prometheus shows them. They are separate tables because retention removes history, and must not
decrease a counter:

* ``domain_counters``: by domain label, event and reason; ``last_at`` is the time of the newest event.
* ``connection_counters``: by connection and ``kind`` (``saved_state.TOTAL_KINDS``). ``label_1`` and
  ``label_2`` are the values of the labels of that kind: event and reason, event and detail, change and
  reason, or operation/outcome and bucket.

State at the end of the last run:

* ``domains``: the last known state, with which the first listing after a restart is compared.
  ``process_start`` and ``cpu_time`` identify the run where the domain id does not.
* ``connection_coverage``: until when a connection was observed without a gap.
* ``scopes``: the domain filter with which a connection was listed. Nothing is known of other domains.
* ``aggregated_domains``: domains that are counted under ``domain="_other"`` because of the series limit.
* ``hosts``: the host boot on which each connection was last seen.
* ``clock``: one row; wall clock minus CLOCK_BOOTTIME, as it is and as it was last trusted, and from when on
  (CLOCK_BOOTTIME) the wall clock is trusted.
* ``identity``: one row; the id of this file. A sequence number has a meaning only together with it.

Queue of the OTLP export:

* ``pending_logs``, ``pending_spans``: what is still to be exported, by position in the queue. The position of
  a log record is the number of its transition. ``first_seq``: the first transition that a span needs.
* ``span_states``: the open operation and the previous spans of each domain (JSON). ``open_since``: start of
  the open operation.
* ``dead_letters``: what a receiver rejected for good, with the reason.

All times are Unix time in seconds unless stated otherwise.
"""

import sqlite3
from typing import Final

_V1 = """
CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    domain_id INTEGER NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    detail_code INTEGER NOT NULL,
    source TEXT NOT NULL,
    message TEXT NOT NULL,
    run_id TEXT NOT NULL,
    incident_id TEXT NOT NULL
);
CREATE INDEX transitions_at ON transitions (at);
CREATE TABLE counts (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (connection, name, event, reason)
) WITHOUT ROWID;
CREATE TABLE totals (
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    count REAL NOT NULL,
    PRIMARY KEY (connection, kind, what, reason)
) WITHOUT ROWID;
CREATE TABLE domains (
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    since REAL NOT NULL,
    confirmed INTEGER NOT NULL,
    domain_id INTEGER NOT NULL,
    persistent INTEGER,
    autostart INTEGER,
    details TEXT,
    present INTEGER NOT NULL,
    removed_at REAL NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (connection, uuid)
) WITHOUT ROWID;
CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    cause TEXT NOT NULL,
    opened_at REAL NOT NULL,
    closed_at REAL
) WITHOUT ROWID;
CREATE INDEX incidents_opened_at ON incidents (opened_at);
CREATE TABLE identity (
    id TEXT NOT NULL
);
INSERT INTO identity VALUES (lower(hex(randomblob(16))));
CREATE TABLE watches (
    connection TEXT PRIMARY KEY,
    watched_until REAL NOT NULL
) WITHOUT ROWID;
"""

_V2 = """
CREATE INDEX transitions_incident_id ON transitions (incident_id);
CREATE TABLE scopes (
    connection TEXT PRIMARY KEY,
    include TEXT NOT NULL,
    exclude TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE folded (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (connection, name)
) WITHOUT ROWID;
"""


_V3 = """
ALTER TABLE transitions ADD COLUMN trace_id TEXT NOT NULL DEFAULT '';
ALTER TABLE transitions ADD COLUMN span_id TEXT NOT NULL DEFAULT '';
ALTER TABLE transitions ADD COLUMN unexplained INTEGER NOT NULL DEFAULT 0;
CREATE TABLE pending_logs (
    place INTEGER PRIMARY KEY
);
CREATE TABLE pending_spans (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    at REAL NOT NULL,
    first INTEGER NOT NULL,
    span TEXT NOT NULL
);
CREATE INDEX pending_spans_first ON pending_spans (first);
CREATE TABLE trails (
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    first INTEGER,
    since REAL,
    trail TEXT NOT NULL,
    PRIMARY KEY (uuid, connection)
) WITHOUT ROWID;
CREATE INDEX trails_since ON trails (since) WHERE since IS NOT NULL;
CREATE TABLE set_aside (
    signal TEXT NOT NULL,
    place INTEGER NOT NULL,
    at REAL NOT NULL,
    cause TEXT NOT NULL,
    words TEXT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (signal, place)
) WITHOUT ROWID;
"""

_V4 = """
ALTER TABLE domains ADD COLUMN process_start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN cpu_time INTEGER NOT NULL DEFAULT 0;
CREATE TABLE hosts (
    connection TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    rebooted_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE clock (
    boot_id TEXT PRIMARY KEY,
    wall_offset REAL NOT NULL,
    trusted_offset REAL NOT NULL,
    trusted_from REAL NOT NULL
) WITHOUT ROWID;
"""

_V5 = """
ALTER TABLE counts RENAME TO domain_counters;
ALTER TABLE domain_counters RENAME COLUMN name TO domain;
ALTER TABLE domain_counters RENAME COLUMN count TO value;
ALTER TABLE domain_counters RENAME COLUMN last TO last_at;
ALTER TABLE totals RENAME TO connection_counters;
ALTER TABLE connection_counters RENAME COLUMN what TO label_1;
ALTER TABLE connection_counters RENAME COLUMN reason TO label_2;
ALTER TABLE connection_counters RENAME COLUMN count TO value;
ALTER TABLE watches RENAME TO connection_coverage;
ALTER TABLE connection_coverage RENAME COLUMN watched_until TO observed_until;
ALTER TABLE folded RENAME TO aggregated_domains;
ALTER TABLE aggregated_domains RENAME COLUMN name TO domain;
ALTER TABLE transitions RENAME COLUMN unexplained TO exported_without_message;
ALTER TABLE pending_logs RENAME COLUMN place TO position;
ALTER TABLE pending_spans RENAME COLUMN place TO position;
ALTER TABLE pending_spans RENAME COLUMN at TO ended_at;
ALTER TABLE pending_spans RENAME COLUMN first TO first_seq;
DROP INDEX pending_spans_first;
CREATE INDEX pending_spans_first_seq ON pending_spans (first_seq);
DROP INDEX trails_since;
ALTER TABLE trails RENAME TO span_states;
ALTER TABLE span_states RENAME COLUMN first TO first_seq;
ALTER TABLE span_states RENAME COLUMN since TO open_since;
ALTER TABLE span_states RENAME COLUMN trail TO state;
CREATE INDEX span_states_open_since ON span_states (open_since) WHERE open_since IS NOT NULL;
ALTER TABLE set_aside RENAME TO dead_letters;
ALTER TABLE dead_letters RENAME COLUMN place TO position;
ALTER TABLE dead_letters RENAME COLUMN at TO failed_at;
ALTER TABLE dead_letters RENAME COLUMN words TO error;
"""

_V6 = """
DROP INDEX transitions_incident_id;
CREATE INDEX transitions_incident_id ON transitions (incident_id) WHERE incident_id <> '';
"""
"""Few transitions belong to an incident; the others need no entry in the index."""

_MIGRATIONS = (_V1, _V2, _V3, _V4, _V5, _V6)
"""Entry n takes a file from version n to n + 1."""

VERSION = len(_MIGRATIONS)

RENAMED_IN: Final = 5
"""Version that renamed tables and columns; the history (``transitions``, ``incidents``) kept its names."""

_VIEWS_OF_V4 = """
CREATE TEMP VIEW domain_counters AS
    SELECT connection, name AS domain, event, reason, count AS value, last AS last_at FROM counts;
CREATE TEMP VIEW connection_counters AS
    SELECT connection, kind, what AS label_1, reason AS label_2, count AS value FROM totals;
CREATE TEMP VIEW connection_coverage AS SELECT connection, watched_until AS observed_until FROM watches;
CREATE TEMP VIEW aggregated_domains AS SELECT connection, name AS domain FROM folded;
"""


class NewerSchemaError(Exception):
    """The file was written by a newer release."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has schema version {version}, this release supports up to {VERSION}")


def migrate(database: sqlite3.Connection) -> None:
    """Bring the file to this release's schema version.

    Raises NewerSchemaError if the file has a newer version, sqlite3.Error if it cannot be read or written.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NewerSchemaError(version)
    for number in range(version, VERSION):
        # One transaction per version: an interrupted migration leaves the file as it was.
        database.executescript(f"BEGIN;{_MIGRATIONS[number]};PRAGMA user_version = {number + 1};COMMIT;")


def add_views(database: sqlite3.Connection) -> None:
    """Give a file of version 4 that cannot be written the names of this version, as temporary views."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == RENAMED_IN - 1:
        database.executescript(_VIEWS_OF_V4)
