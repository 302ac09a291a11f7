BEGIN TRANSACTION;
CREATE TABLE clock (
    boot_id TEXT PRIMARY KEY,
    wall_offset REAL NOT NULL,
    trusted_offset REAL NOT NULL,
    trusted_from REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "clock" VALUES('boot-1',1000.0,1000.0,3600.0);
CREATE TABLE counts (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (connection, name, event, reason)
) WITHOUT ROWID;
INSERT INTO "counts" VALUES('qemu:///system','db','incident','io_error',1,1700000005.0);
INSERT INTO "counts" VALUES('qemu:///system','db','resumed','unpaused',1,1700000006.0);
INSERT INTO "counts" VALUES('qemu:///system','db','shutdown','guest',1,1700000008.0);
INSERT INTO "counts" VALUES('qemu:///system','db','started','booted',1,1700000004.0);
INSERT INTO "counts" VALUES('qemu:///system','db','suspended','ioerror',1,1700000005.0);
INSERT INTO "counts" VALUES('qemu:///system','web','incident','crashed',1,1700000003.0);
INSERT INTO "counts" VALUES('qemu:///system','web','started','booted',2,1700000007.0);
INSERT INTO "counts" VALUES('qemu:///system','web','stopped','crashed',1,1700000003.0);
INSERT INTO "counts" VALUES('qemu:///system','web','suspended','paused',1,1700000002.0);
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
    run_id TEXT NOT NULL, process_start INTEGER NOT NULL DEFAULT 0, cpu_time INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (connection, uuid)
) WITHOUT ROWID;
INSERT INTO "domains" VALUES('qemu:///system','uuid-db','db','shutdown','unknown',1700000008.0,0,1,1,0,NULL,1,0.0,'0bd131c7fd3c8a3a',0,0);
INSERT INTO "domains" VALUES('qemu:///system','uuid-web','web','running','booted',1700000007.0,0,1,1,0,NULL,1,0.0,'49b845db45cf2dbf',0,0);
CREATE TABLE folded (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (connection, name)
) WITHOUT ROWID;
INSERT INTO "folded" VALUES('qemu:///system','spare');
CREATE TABLE hosts (
    connection TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    rebooted_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "hosts" VALUES('qemu:///system','boot-1',0.0);
CREATE TABLE identity (
    id TEXT NOT NULL
);
INSERT INTO "identity" VALUES('ae8eaa9ffd2b6602969b0de6354c9e11');
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
INSERT INTO "incidents" VALUES('011f01a7541e140b','qemu:///system','uuid-db','db','io_error','suspended/ioerror',1700000005.0,1700000006.0);
INSERT INTO "incidents" VALUES('c90a48a1fd1ee571','qemu:///system','uuid-web','web','crashed','stopped/crashed',1700000003.0,1700000007.0);
CREATE TABLE pending_logs (
    place INTEGER PRIMARY KEY
);
INSERT INTO "pending_logs" VALUES(1);
INSERT INTO "pending_logs" VALUES(2);
INSERT INTO "pending_logs" VALUES(3);
INSERT INTO "pending_logs" VALUES(4);
INSERT INTO "pending_logs" VALUES(5);
INSERT INTO "pending_logs" VALUES(6);
INSERT INTO "pending_logs" VALUES(7);
INSERT INTO "pending_logs" VALUES(8);
CREATE TABLE pending_spans (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    at REAL NOT NULL,
    first INTEGER NOT NULL,
    span TEXT NOT NULL
);
INSERT INTO "pending_spans" VALUES(1,'qemu:///system','uuid-web',1700000001.0,1,'[1,["8ac0f40831e574235e116ae69ab38774","79467106ce1244ab"],"start domain",1700000001.0,1700000001.0,"success",null,[],[1]]');
INSERT INTO "pending_spans" VALUES(2,'qemu:///system','uuid-web',1700000002.0,2,'[2,["f1e10ab8ec4cfcda30358fe933b6e4e1","d859a032a9719865"],"pause domain",1700000002.0,1700000002.0,"",null,[[["8ac0f40831e574235e116ae69ab38774","79467106ce1244ab"],["previous","run"]]],[2]]');
INSERT INTO "pending_spans" VALUES(3,'qemu:///system','uuid-web',1700000003.0,3,'[3,["d9e534dd6c836a007eef99caee420bd2","b43c4665ca16ad2e"],"stop domain",1700000003.0,1700000003.0,"",1.0,[[["f1e10ab8ec4cfcda30358fe933b6e4e1","d859a032a9719865"],["entry","previous"]],[["8ac0f40831e574235e116ae69ab38774","79467106ce1244ab"],["run"]]],[3]]');
INSERT INTO "pending_spans" VALUES(4,'qemu:///system','uuid-web',1700000003.0,3,'[3,["65cfd806d47f7669dc7db6bd34cd106c","5fe6f903b7d176ad"],"run domain",1700000001.0,1700000003.0,"",null,[[["8ac0f40831e574235e116ae69ab38774","79467106ce1244ab"],["run"]]],[]]');
INSERT INTO "pending_spans" VALUES(5,'qemu:///system','uuid-db',1700000004.0,4,'[4,["929ebd432ad5928afacf75d382c8f6b9","d06b8561cefb7390"],"start domain",1700000004.0,1700000004.0,"success",null,[],[4]]');
INSERT INTO "pending_spans" VALUES(6,'qemu:///system','uuid-db',1700000005.0,5,'[5,["94bd04f67a02a3ce8332695a60c5daa7","6d6251082153fb73"],"pause domain",1700000005.0,1700000005.0,"",null,[[["929ebd432ad5928afacf75d382c8f6b9","d06b8561cefb7390"],["previous","run"]]],[5]]');
INSERT INTO "pending_spans" VALUES(7,'qemu:///system','uuid-db',1700000006.0,6,'[6,["6800e13a335c367fc756ae27dd5edfce","7af938c0befcaa04"],"resume domain",1700000006.0,1700000006.0,"",1.0,[[["94bd04f67a02a3ce8332695a60c5daa7","6d6251082153fb73"],["entry","previous"]],[["929ebd432ad5928afacf75d382c8f6b9","d06b8561cefb7390"],["run"]]],[6]]');
INSERT INTO "pending_spans" VALUES(8,'qemu:///system','uuid-web',1700000007.0,7,'[7,["06122ae9e3ddd079b9067274c4bf9219","405e8b9723e89e77"],"start domain",1700000007.0,1700000007.0,"success",4.0,[[["d9e534dd6c836a007eef99caee420bd2","b43c4665ca16ad2e"],["entry","previous"]]],[7]]');
CREATE TABLE scopes (
    connection TEXT PRIMARY KEY,
    include TEXT NOT NULL,
    exclude TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "scopes" VALUES('qemu:///system','.*','');
CREATE TABLE set_aside (
    signal TEXT NOT NULL,
    place INTEGER NOT NULL,
    at REAL NOT NULL,
    cause TEXT NOT NULL,
    words TEXT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (signal, place)
) WITHOUT ROWID;
INSERT INTO "set_aside" VALUES('logs',1,1700000009.0,'rejected','bad name','[]');
CREATE TABLE totals (
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    count REAL NOT NULL,
    PRIMARY KEY (connection, kind, what, reason)
) WITHOUT ROWID;
INSERT INTO "totals" VALUES('qemu:///system','event','resumed','unpaused',1.0);
INSERT INTO "totals" VALUES('qemu:///system','event','shutdown','guest',1.0);
INSERT INTO "totals" VALUES('qemu:///system','event','started','booted',3.0);
INSERT INTO "totals" VALUES('qemu:///system','event','stopped','crashed',1.0);
INSERT INTO "totals" VALUES('qemu:///system','event','suspended','ioerror',1.0);
INSERT INTO "totals" VALUES('qemu:///system','event','suspended','paused',1.0);
INSERT INTO "totals" VALUES('qemu:///system','operation','outage/success','4',1.0);
INSERT INTO "totals" VALUES('qemu:///system','operation','outage/success','sum',4.0);
INSERT INTO "totals" VALUES('qemu:///system','operation','pause/failed','2',1.0);
INSERT INTO "totals" VALUES('qemu:///system','operation','pause/failed','sum',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','resumed','unpaused',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','shutdown','guest',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','started','booted',3.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','stopped','crashed',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','suspended','ioerror',1.0);
INSERT INTO "totals" VALUES('qemu:///system','raw','suspended','paused',1.0);
CREATE TABLE trails (
    connection TEXT NOT NULL,
    uuid TEXT NOT NULL,
    first INTEGER,
    since REAL,
    trail TEXT NOT NULL,
    PRIMARY KEY (uuid, connection)
) WITHOUT ROWID;
INSERT INTO "trails" VALUES('qemu:///system','uuid-db',8,1700000008.0,'[["shut down domain",8,["ec9e799453c2b72aebe56de3d5c4e2ba","17c4fe83472053ff"],1700000008.0,[8],[[["6800e13a335c367fc756ae27dd5edfce","7af938c0befcaa04"],["previous"]],[["929ebd432ad5928afacf75d382c8f6b9","d06b8561cefb7390"],["run"]]]],["ec9e799453c2b72aebe56de3d5c4e2ba","17c4fe83472053ff"],[["929ebd432ad5928afacf75d382c8f6b9","d06b8561cefb7390"],1700000004.0],null,{}]');
INSERT INTO "trails" VALUES('qemu:///system','uuid-web',NULL,NULL,'[null,["06122ae9e3ddd079b9067274c4bf9219","405e8b9723e89e77"],[["06122ae9e3ddd079b9067274c4bf9219","405e8b9723e89e77"],1700000007.0],null,{}]');
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
, trace_id TEXT NOT NULL DEFAULT '', span_id TEXT NOT NULL DEFAULT '', unexplained INTEGER NOT NULL DEFAULT 0);
INSERT INTO "transitions" VALUES(1,1700000001.0,'qemu:///system','uuid-web','web',1,'started','booted','booted',0,'callback','','e390ca3b00d5262d','','8ac0f40831e574235e116ae69ab38774','79467106ce1244ab',0);
INSERT INTO "transitions" VALUES(2,1700000002.0,'qemu:///system','uuid-web','web',1,'suspended','paused','paused',0,'callback','','e390ca3b00d5262d','','f1e10ab8ec4cfcda30358fe933b6e4e1','d859a032a9719865',0);
INSERT INTO "transitions" VALUES(3,1700000003.0,'qemu:///system','uuid-web','web',1,'stopped','crashed','crashed',2,'callback','','e390ca3b00d5262d','c90a48a1fd1ee571','d9e534dd6c836a007eef99caee420bd2','b43c4665ca16ad2e',0);
INSERT INTO "transitions" VALUES(4,1700000004.0,'qemu:///system','uuid-db','db',1,'started','booted','booted',0,'callback','','0bd131c7fd3c8a3a','','929ebd432ad5928afacf75d382c8f6b9','d06b8561cefb7390',0);
INSERT INTO "transitions" VALUES(5,1700000005.0,'qemu:///system','uuid-db','db',1,'suspended','ioerror','ioerror',2,'callback','','0bd131c7fd3c8a3a','011f01a7541e140b','94bd04f67a02a3ce8332695a60c5daa7','6d6251082153fb73',0);
INSERT INTO "transitions" VALUES(6,1700000006.0,'qemu:///system','uuid-db','db',1,'resumed','unpaused','unpaused',0,'callback','','0bd131c7fd3c8a3a','011f01a7541e140b','6800e13a335c367fc756ae27dd5edfce','7af938c0befcaa04',0);
INSERT INTO "transitions" VALUES(7,1700000007.0,'qemu:///system','uuid-web','web',1,'started','booted','booted',0,'callback','','49b845db45cf2dbf','c90a48a1fd1ee571','06122ae9e3ddd079b9067274c4bf9219','405e8b9723e89e77',0);
INSERT INTO "transitions" VALUES(8,1700000008.0,'qemu:///system','uuid-db','db',1,'shutdown','guest','guest',1,'callback','','0bd131c7fd3c8a3a','','ec9e799453c2b72aebe56de3d5c4e2ba','17c4fe83472053ff',0);
CREATE TABLE watches (
    connection TEXT PRIMARY KEY,
    watched_until REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "watches" VALUES('qemu:///system',1700000009.0);
CREATE INDEX transitions_at ON transitions (at);
CREATE INDEX incidents_opened_at ON incidents (opened_at);
CREATE INDEX transitions_incident_id ON transitions (incident_id);
CREATE INDEX pending_spans_first ON pending_spans (first);
CREATE INDEX trails_since ON trails (since) WHERE since IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('pending_spans',8);
INSERT INTO "sqlite_sequence" VALUES('transitions',8);
COMMIT;
PRAGMA user_version = 4;
