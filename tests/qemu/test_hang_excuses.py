"""States and jobs that look like a hang, all at once on a busy machine: no domain is reported as hung.

LAB_HANG_RUNS=20 repeats the tests twenty times; each domain of each run counts as one trial.
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
from tests.qemu.hang_driver import TIMEOUT, HangDriver
from tests.qemu.migration_driver import MigrationDriver

RUNS = int(os.environ.get("LAB_HANG_RUNS", "1"))
DURATION = 7.0
"""Duration of each operation in seconds: more than twice interval and threshold."""
SENSITIVE = (
    *("--hang.emulator-interval", "1s", "--hang.emulator-threshold", "2s"),
    *("--hang.vcpu", "--hang.vcpu-window", "6s"),
)
BYTES_PER_SECOND = 90_000
"""Write rate of a save or dump of a guest: 0.6 MB take DURATION seconds."""


@dataclass(frozen=True)
class Excuse:
    name: str
    operation: Callable[[HangDriver, str], None]
    guest: Guest = IDLE


def read_slowly(path: Path) -> threading.Thread:
    """Create a named pipe at `path` and read it slowly, so that its writer is slow."""
    os.mkfifo(path)
    path.chmod(0o666)

    def read() -> None:
        with path.open("rb", buffering=0) as pipe:
            while piece := pipe.read(9_000):
                time.sleep(len(piece) / BYTES_PER_SECOND)  # limits the rate of the writer

    reader = threading.Thread(target=read, name="slow-reader", daemon=True)
    reader.start()
    return reader


def pause(driver: HangDriver, name: str) -> None:
    domain = driver.domain(name)
    domain.suspend()
    threading.Event().wait(DURATION)
    domain.resume()


def managed_save(driver: HangDriver, name: str) -> None:
    folder = driver.daemon.root / "config/libvirt/qemu/save"
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{name}.save"
    reader = read_slowly(image)
    domain = driver.connection.defineXML(driver.domain(name).XMLDesc())
    try:
        domain.managedSave()
        reader.join(TIMEOUT)
    finally:
        image.unlink(missing_ok=True)
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


def dump(flags: int) -> Callable[[HangDriver, str], None]:
    def operation(driver: HangDriver, name: str) -> None:
        core = driver.guests.folder / f"{name}.core"
        reader = read_slowly(core)
        try:
            driver.domain(name).coreDump(str(core), flags)
            reader.join(TIMEOUT)
        finally:
            core.unlink(missing_ok=True)

    return operation


def snapshots(driver: HangDriver, name: str) -> None:
    domain, until = driver.domain(name), time.monotonic() + DURATION
    while time.monotonic() < until:
        domain.snapshotCreateXML("<domainsnapshot/>").delete()


def ignored_shutdown(driver: HangDriver, name: str) -> None:
    driver.domain(name).shutdown()
    threading.Event().wait(DURATION)


def resets(driver: HangDriver, name: str) -> None:
    domain, until = driver.domain(name), time.monotonic() + DURATION
    while time.monotonic() < until:
        domain.reset()


def queries(driver: HangDriver, name: str) -> None:
    """Use the monitor all the time."""
    domain, until = driver.domain(name), time.monotonic() + DURATION
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
    Excuse("queries", queries),
)
LOADED = ("idle-1", "idle-2", "idle-3", "idle-4")
"""Idle guests while both cores are busy."""


@pytest.fixture
def here(guests: Guests, programs: Programs) -> Iterator[HangDriver]:
    with (
        short_root() as root,
        SessionDaemon(root / "excused", programs) as daemon,
        Exporter(root, [daemon.uri], extra_args=SENSITIVE) as exporter,
    ):
        driver = HangDriver(daemon, guests, exporter)
        yield driver
        driver.close()


def test_paused_or_busy_domain_is_never_hung(here: HangDriver) -> None:
    trials = 0
    for run in range(RUNS):
        here.boot(LOADED)
        for excuse in EXCUSES:
            here.boot([excuse.name], excuse.guest)
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
        failures: list[str] = []
        try:
            threads = [threading.Thread(target=_perform, args=(excuse, here, failures)) for excuse in EXCUSES]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(4 * TIMEOUT)
            here.wait_probes(rounds=3)
        finally:
            for process in load:
                process.kill()
                process.wait()
        assert not failures, "an operation failed"
        hung = {name for signal in ("emulator", "vcpu") for name in here.hung(signal)}
        assert not hung, f"run {run}"
        trials += len(EXCUSES) + len(LOADED)
        for name in (*LOADED, *(excuse.name for excuse in EXCUSES)):
            hangs = [row for row in here.exporter.journal.rows(name) if row.event == "hung"]
            assert not hangs, f"run {run}: {hangs}"
            _destroy(here, name)
    print(f"\n{RUNS} runs, {trials} trials, 0 false alarms")


@pytest.fixture
def two_hosts(programs: Programs) -> Iterator[Hosts]:
    kind = SystemDaemon if os.getuid() == 0 else SessionDaemon
    with (
        short_root() as root,
        kind(root / "here", programs, hostname="here") as here,
        kind(root / "there", programs, hostname="there") as there,
        EventRecorder(here.uri) as recorder_here,
        EventRecorder(there.uri) as recorder_there,
        Exporter(root, [f"here={here.uri}", f"there={there.uri}"], extra_args=SENSITIVE) as exporter,
    ):
        yield Hosts(Host("here", here, recorder_here), Host("there", there, recorder_there), exporter)


def test_migrating_domain_is_never_hung(two_hosts: Hosts, guests: Guests) -> None:
    """The guest dirties its memory about as fast as it is copied; the migration is aborted and repeated."""
    drivers = [
        HangDriver(host.daemon, guests, two_hosts.exporter) for host in (two_hosts.here, two_hosts.there)
    ]
    took: list[float] = []
    for run in range(RUNS):
        name = f"restless-{run}"
        migration = MigrationDriver(name, Guest("dirty"), two_hosts, guests)
        try:
            migration.boot()
            migration.here.domain.migrateSetMaxDowntime(1)
            job, began = migration.start_job(), time.monotonic()
            until(lambda: job.ended or time.monotonic() - began > DURATION, TIMEOUT, "time to pass")  # noqa: B023
            took.append(time.monotonic() - began)
            if job.ended:
                job.wait_done()
                migration.migrate_back()
            else:
                job.abort().wait_failed()
                migration.migrate()
            for driver, host in zip(drivers, ("here", "there"), strict=True):
                driver.wait_probes(rounds=3, connection=host)
            hangs = [row for row in two_hosts.exporter.journal.rows(name) if row.event == "hung"]
            assert not hangs, f"run {run}: {hangs}"
        finally:
            migration.clear()
            migration.close()
    print(f"\n{RUNS} runs, {2 * RUNS} migrations of {min(took):.1f} s and more, 0 false alarms")
    for driver in drivers:
        driver.close()


def _perform(excuse: Excuse, driver: HangDriver, failures: list[str]) -> None:
    try:
        excuse.operation(driver, excuse.name)
    except libvirt.libvirtError as error:
        failures.append(f"{excuse.name}: {error}")


def _destroy(driver: HangDriver, name: str) -> None:
    try:
        driver.domain(name).destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
