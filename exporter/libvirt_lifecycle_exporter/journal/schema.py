"""The tables of the journal. Migrations go forward only; a file from the future is left alone.

``transitions`` is the history, in order. ``counts`` and ``totals`` are the counters as Prometheus sees
them; they are kept beside the history because retention cuts the history and may not cut a counter.
``domains`` is the last known state of each domain, with which the first listing after a restart is compared.
``scopes`` is the filter with which each connection was listed: nothing is known of what it kept out.
``folded`` names the domains that have no series of their own: after a restart those that have keep them.
``hosts`` is the boot of the host that each connection was last seen on; ``process_start`` and ``cpu_time``
of a domain identify its run where the domain id does not.
``clock`` is one row: wall clock minus CLOCK_BOOTTIME, as it is and as it was trusted last, and from when on
(in CLOCK_BOOTTIME) the wall clock is trusted.
``identity`` names this file for ever: a sequence number means something only together with it.

What OpenTelemetry needs: ``trace_id``, ``span_id`` of a transition say on which span it is (empty: recorded
while nothing was to be sent), ``unexplained`` that it was sent without the message that came later.
``pending_logs`` and ``pending_spans`` are what is still to be delivered; ``trails`` what is remembered of
each domain between its spans; ``set_aside`` what a receiver will never take.
"""

import sqlite3

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

_MIGRATIONS = (_V1, _V2, _V3, _V4)
"""Entry n takes a file from version n to n + 1."""

VERSION = len(_MIGRATIONS)


class FutureError(Exception):
    """The file was written by a newer release."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has version {version}, this release knows {VERSION}")


def migrate(database: sqlite3.Connection) -> None:
    """Bring the file to this release's version.

    Raises FutureError for a newer one, sqlite3.Error where the file cannot be read or written.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise FutureError(version)
    for number in range(version, VERSION):
        # One transaction each: a migration that is cut short did not happen.
        database.executescript(f"BEGIN;{_MIGRATIONS[number]};PRAGMA user_version = {number + 1};COMMIT;")
