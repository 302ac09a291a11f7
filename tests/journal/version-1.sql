BEGIN TRANSACTION;
CREATE TABLE counts (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (connection, name, event, reason)
) WITHOUT ROWID;
INSERT INTO "counts" VALUES('qemu:///system','db','defined','added',1,1700000001.25);
INSERT INTO "counts" VALUES('qemu:///system','web-1','incident','crashed',1,1700000000.5);
INSERT INTO "counts" VALUES('qemu:///system','web-1','stopped','crashed',1,1700000000.5);
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
INSERT INTO "domains" VALUES('qemu:///system','0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab','web-1','shutoff','crashed',1700000000.5,1,-1,1,0,'["kvm", "front page", ["shop", "m1", "retail", "p", "eve", "u"]]',1,0.0,'a589e4231ae1cd6b');
INSERT INTO "domains" VALUES('qemu:///system','5f0b8c52-92b9-4d0b-8a4c-ba9876543210','db','shutoff','unknown',1700000001.25,0,-1,1,NULL,NULL,1,0.0,'');
CREATE TABLE identity (
    id TEXT NOT NULL
);
INSERT INTO "identity" VALUES('60ae370393cc1abd27204efa1ff6c94f');
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
INSERT INTO "incidents" VALUES('3bbba48ba11c9047','qemu:///system','0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab','web-1','crashed','stopped/crashed',1700000000.5,NULL);
CREATE TABLE totals (
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    count REAL NOT NULL,
    PRIMARY KEY (connection, kind, what, reason)
) WITHOUT ROWID;
INSERT INTO "totals" VALUES('qemu:///system','event','defined','added',1.0);
INSERT INTO "totals" VALUES('qemu:///system','event','stopped','crashed',1.0);
INSERT INTO "totals" VALUES('qemu:///system','inventory','added','defined',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','stopped','failed',1.0);
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
INSERT INTO "transitions" VALUES(1,1700000000.5,'qemu:///system','0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab','web-1',7,'stopped','crashed','failed',5,'callback','signal 9','a589e4231ae1cd6b','3bbba48ba11c9047');
INSERT INTO "transitions" VALUES(2,1700000001.25,'qemu:///system','5f0b8c52-92b9-4d0b-8a4c-ba9876543210','db',-1,'defined','added','added',0,'callback','','','');
CREATE TABLE watches (
    connection TEXT PRIMARY KEY,
    watched_until REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "watches" VALUES('qemu:///system',1700000002.0);
CREATE INDEX transitions_at ON transitions (at);
CREATE INDEX incidents_opened_at ON incidents (opened_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('transitions',2);
COMMIT;
PRAGMA user_version = 1;
