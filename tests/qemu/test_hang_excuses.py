"""All that looks like a hang and is none, at once, on a machine that is busy: nobody is called hung.

LAB_HANG_RUNS=20 does it twenty times, for figures; each domain of each run counts as one trial.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from tests.lab.daemon import short_root
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.hosts import Host, Hosts
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon
from tests.lab.system_daemon import SystemDaemon
from tests.lab.waiting import until
from tests.qemu.road import Road
from tests.qemu.ward import PATIENCE, Ward

RUNS = int(os.environ.get("LAB_HANG_RUNS", "1"))
HELD = 7.0
"""Seconds that each lasts: more than twice interval and threshold."""
SUSPICIOUS = (
    *("--hang.emulator-interval", "1s", "--hang.emulator-threshold", "2s"),
    *("--hang.vcpu", "--hang.vcpu-window", "6s"),
)
BYTES_PER_SECOND = 90_000
"""At which a saved or dumped guest, 0.6 MB, is taken off: it takes HELD seconds."""


@dataclass(frozen=True)
class Excuse:
    name: str
    act: Callable[[Ward, str], None]
    guest: Guest = IDLE


def slowly_off(path: Path) -> threading.Thread:
    """Whoever writes to `path` writes as slowly as somebody reads."""
    os.mkfifo(path)
    path.chmod(0o666)

    def read() -> None:
        with path.open("rb", buffering=0) as pipe:
            while piece := pipe.read(9_000):
                time.sleep(len(piece) / BYTES_PER_SECOND)  # the slowness is what this is for

    reader = threading.Thread(target=read, name="slow-reader", daemon=True)
    reader.start()
    return reader


def pause(ward: Ward, name: str) -> None:
    domain = ward.domain(name)
    domain.suspend()
    threading.Event().wait(HELD)
    domain.resume()


def managed_save(ward: Ward, name: str) -> None:
    folder = ward.daemon.root / "config/libvirt/qemu/save"
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{name}.save"
    reader = slowly_off(image)
    domain = ward.connection.defineXML(ward.domain(name).XMLDesc())
    try:
        domain.managedSave()
        reader.join(PATIENCE)
    finally:
        image.unlink(missing_ok=True)
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


def dump(flags: int) -> Callable[[Ward, str], None]:
    def act(ward: Ward, name: str) -> None:
        core = ward.guests.folder / f"{name}.core"
        reader = slowly_off(core)
        try:
            ward.domain(name).coreDump(str(core), flags)
            reader.join(PATIENCE)
        finally:
            core.unlink(missing_ok=True)

    return act


def snapshots(ward: Ward, name: str) -> None:
    domain, until = ward.domain(name), time.monotonic() + HELD
    while time.monotonic() < until:
        domain.snapshotCreateXML("<domainsnapshot/>").delete()


def ignored_shutdown(ward: Ward, name: str) -> None:
    ward.domain(name).shutdown()
    threading.Event().wait(HELD)


def resets(ward: Ward, name: str) -> None:
    domain, until = ward.domain(name), time.monotonic() + HELD
    while time.monotonic() < until:
        domain.reset()


def questions(ward: Ward, name: str) -> None:
    """Somebody who never leaves the monitor alone."""
    domain, until = ward.domain(name), time.monotonic() + HELD
    while time.monotonic() < until:
        domain.memoryStats()
        domain.blockStats("hda")


EXCUSES = (
    Excuse("pause", pause),
    Excuse("managed-save", managed_save),
    Excuse("dump", dump(0)),
    Excuse("live-dump", dump(libvirt.VIR_DUMP_LIVE)),
    Excuse("snapshots", snapshots, Guest(format="qcow2")),
    Excuse("shutdown", ignored_shutdown),
    Excuse("resets", resets),
    Excuse("questions", questions),
)
LOADED = ("idle-1", "idle-2", "idle-3", "idle-4")
"""Guests that do nothing, while both cores do much."""


@pytest.fixture
def here(guests: Guests, programs: Programs) -> Iterator[Ward]:
    with (
        short_root() as root,
        SessionDaemon(root / "excused", programs) as daemon,
        Exporter(root, [daemon.uri], extra_args=SUSPICIOUS) as exporter,
    ):
        ward = Ward(daemon, guests, exporter)
        yield ward
        ward.close()


def test_paused_or_busy_domain_is_never_hung(here: Ward) -> None:
    trials = 0
    for run in range(RUNS):
        here.boot(LOADED)
        for excuse in EXCUSES:
            here.boot([excuse.name], excuse.guest)
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
        failures: list[str] = []
        try:
            acts = [threading.Thread(target=_act, args=(excuse, here, failures)) for excuse in EXCUSES]
            for act in acts:
                act.start()
            for act in acts:
                act.join(4 * PATIENCE)
            here.probes_once_more(rounds=3)
        finally:
            for process in load:
                process.kill()
                process.wait()
        assert not failures, "the excuse itself did not come about"
        accused = {name for signal in ("emulator", "vcpu") for name in here.hung(signal)}
        assert not accused, f"run {run}"
        trials += len(EXCUSES) + len(LOADED)
        for name in (*LOADED, *(excuse.name for excuse in EXCUSES)):
            alarms = [row for row in here.exporter.journal.rows(name) if row.event == "hung"]
            assert not alarms, f"run {run}: {alarms}"
            _end(here, name)
    print(f"\n{RUNS} runs, {trials} trials, 0 false alarms")


@pytest.fixture
def two_hosts(programs: Programs) -> Iterator[Hosts]:
    kind = SystemDaemon if os.getuid() == 0 else SessionDaemon
    with (
        short_root() as root,
        kind(root / "here", programs, hostname="here") as here,
        kind(root / "there", programs, hostname="there") as there,
        EventRecorder(here.uri) as seen_here,
        EventRecorder(there.uri) as seen_there,
        Exporter(root, [f"here={here.uri}", f"there={there.uri}"], extra_args=SUSPICIOUS) as exporter,
    ):
        yield Hosts(Host("here", here, seen_here), Host("there", there, seen_there), exporter)


def test_migrating_domain_is_never_hung(two_hosts: Hosts, guests: Guests) -> None:
    """With memory that is dirtied about as fast as it is copied; given up after a while, then once more."""
    wards = [Ward(host.daemon, guests, two_hosts.exporter) for host in (two_hosts.here, two_hosts.there)]
    took: list[float] = []
    for run in range(RUNS):
        name = f"restless-{run}"
        road = Road(name, Guest("dirty"), two_hosts, guests)
        try:
            road.boot()
            road.here.domain.migrateSetMaxDowntime(1)
            journey, began = road.set_out(), time.monotonic()
            until(lambda: journey.ended or time.monotonic() - began > HELD, PATIENCE, "time to pass")  # noqa: B023
            took.append(time.monotonic() - began)
            if journey.ended:
                journey.arrives()
                road.migrate_back()
            else:
                journey.aborted().fails()
                road.migrate()
            for ward, host in zip(wards, ("here", "there"), strict=True):
                ward.probes_once_more(rounds=3, connection=host)
            alarms = [row for row in two_hosts.exporter.journal.rows(name) if row.event == "hung"]
            assert not alarms, f"run {run}: {alarms}"
        finally:
            road.clear()
            road.close()
    print(f"\n{RUNS} runs, {2 * RUNS} migrations of {min(took):.1f} s and more, 0 false alarms")
    for ward in wards:
        ward.close()


def _act(excuse: Excuse, ward: Ward, failures: list[str]) -> None:
    try:
        excuse.act(ward, excuse.name)
    except libvirt.libvirtError as error:
        failures.append(f"{excuse.name}: {error}")


def _end(ward: Ward, name: str) -> None:
    try:
        ward.domain(name).destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
