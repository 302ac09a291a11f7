"""Scenarios on one daemon. Migrations need two and are in migrations.py."""

import signal

import libvirt

from tests.lab.domain_xml import Hardware
from tests.lab.guests import Guest
from tests.qemu import disks, operations, snapshots
from tests.qemu.operations import boot_and_wait, dump, signal_emulator_and_wait
from tests.qemu.scenario import Scenario
from tests.qemu.snapshots import OFFLINE, PAUSED, RUNNING, revert

UNDEFINED_OPTION = Hardware(commandline=("-no-such-option",))
QCOW2 = Guest(format="qcow2")


def panics(on_crash: str, mode: str = "panic") -> Guest:
    return Guest(mode, hardware=Hardware(panic=True, on_crash=on_crash))


def with_watchdog(action: str) -> Guest:
    return Guest("watchdog", hardware=Hardware(watchdog=action))


START_AND_STOP = (
    Scenario("boot", operations.destroy, ("resumed/unpaused", "started/booted", "stopped/destroyed")),
    Scenario(
        "destroy-gracefully",
        operations.destroy_gracefully,
        ("started/booted", "stopped/destroyed"),
    ),
    Scenario("pause-and-resume", operations.pause_and_resume, ("suspended/paused",)),
    Scenario("start-paused", operations.start_paused, ("started/booted",)),
    Scenario(
        "poweroff",
        boot_and_wait("stopped/shutdown"),
        ("shutdown/guest", "stopped/shutdown"),
        guest=Guest("poweroff"),
    ),
    Scenario(
        "honoured-shutdown",
        operations.honoured_shutdown,
        ("shutdown/guest", "stopped/shutdown"),
        guest=Guest("powerbutton"),
    ),
    Scenario(
        "ignored-shutdown", operations.ignored_shutdown, ("stopped/destroyed",), never=("shutdown/guest",)
    ),
    Scenario("reboot", operations.boot_twice, ("rebooted/reset", "started/booted"), guest=Guest("reboot")),
    Scenario("triple-fault", operations.boot_twice, ("rebooted/reset",), guest=Guest("triplefault")),
    Scenario("reset", operations.reset, ("rebooted/reset", "started/booted")),
    Scenario(
        "reboot-means-destroy",
        boot_and_wait("stopped"),
        ("shutdown/guest", "stopped/shutdown"),
        guest=Guest("reboot", hardware=Hardware(on_reboot="destroy")),
    ),
    Scenario(
        "poweroff-means-restart",
        operations.boot_twice,
        ("rebooted/reset", "started/booted"),
        guest=Guest("poweroff_once", hardware=Hardware(on_poweroff="restart")),
    ),
)

EMULATOR = (
    Scenario(
        "emulator-killed",
        signal_emulator_and_wait(signal.SIGKILL, "stopped"),
        ("stopped/failed",),
        never=("stopped/destroyed", "stopped/shutdown"),
        diagnosed=("stopped/crashed",),
        incidents=("crashed",),
    ),
    Scenario(
        "emulator-segfault",
        signal_emulator_and_wait(signal.SIGSEGV, "stopped"),
        ("stopped/failed",),
        diagnosed=("stopped/crashed",),
        incidents=("crashed",),
    ),
    Scenario(
        "emulator-terminated",
        signal_emulator_and_wait(signal.SIGTERM, "stopped"),
        ("shutdown/host", "stopped/shutdown"),
        diagnosed=("stopped/quit",),
    ),
    Scenario(
        "failed-start", operations.failed_start, ("defined/added",), guest=Guest(hardware=UNDEFINED_OPTION)
    ),
    Scenario(
        "failed-start-of-transient",
        operations.failed_start_of_transient,
        never=("started/booted",),
        guest=Guest(hardware=UNDEFINED_OPTION),
    ),
    Scenario("failed-restore", operations.failed_restore, ("stopped/saved",)),
)

PANIC = (
    Scenario(
        "panic-destroy",
        boot_and_wait("stopped/crashed"),
        ("crashed/panicked", "stopped/crashed"),
        guest=panics("destroy"),
        incidents=("crashed",),
    ),
    Scenario(
        "panic-preserve",
        boot_and_wait("crashed/panicked"),
        ("crashed/panicked",),
        guest=panics("preserve"),
        incidents=("crashed",),
    ),
    Scenario(
        "panic-preserve-then-restarted",
        operations.panic_and_resume,
        ("crashed/panicked", "started/booted", "started/booted"),
        guest=panics("preserve"),
        incidents=("crashed",),
    ),
    Scenario(
        "panic-restart",
        operations.boot_twice,
        ("crashed/panicked",),
        guest=panics("restart"),
        incidents=("crashed",),
    ),
    Scenario(
        "panic-coredump-destroy",
        boot_and_wait("stopped/crashed"),
        ("crashed/panicked", "stopped/crashed"),
        guest=panics("coredump-destroy"),
        incidents=("crashed",),
    ),
    Scenario(
        "panic-coredump-restart",
        operations.boot_twice,
        ("crashed/panicked",),
        guest=panics("coredump-restart"),
        incidents=("crashed",),
    ),
    Scenario(
        "crashloaded",
        boot_and_wait("crashed/crashloaded"),
        ("crashed/crashloaded",),
        guest=panics("destroy", "crashload"),
        incidents=("crashed",),
    ),
    Scenario("dump", dump(), never=("stopped/crashed",)),
    Scenario(
        "dump-crash",
        dump(libvirt.VIR_DUMP_CRASH),
        ("stopped/crashed",),
        incidents=("crashed",),
    ),
    Scenario("dump-live", dump(libvirt.VIR_DUMP_LIVE), never=("stopped/crashed",)),
    Scenario("dump-cannot-resume", operations.dump_cannot_resume, ("suspended/api_error",)),
    Scenario("dump-reset", dump(libvirt.VIR_DUMP_RESET)),
)

WATCHDOG = (
    Scenario(
        "watchdog-none",
        boot_and_wait("watchdog/none"),
        ("watchdog/none",),
        guest=with_watchdog("none"),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-pause",
        boot_and_wait("suspended/watchdog"),
        ("watchdog/pause", "suspended/watchdog"),
        guest=with_watchdog("pause"),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-reset",
        operations.boot_twice,
        ("watchdog/reset", "rebooted/reset"),
        guest=with_watchdog("reset"),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-poweroff",
        boot_and_wait("stopped"),
        ("watchdog/poweroff", "stopped/failed"),
        guest=with_watchdog("poweroff"),
        diagnosed=("stopped/hung",),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-shutdown",
        boot_and_wait("watchdog/shutdown"),
        ("watchdog/shutdown",),
        guest=with_watchdog("shutdown"),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-inject-nmi",
        boot_and_wait("watchdog/inject_nmi"),
        ("watchdog/inject_nmi",),
        guest=with_watchdog("inject-nmi"),
        incidents=("hung",),
    ),
    Scenario(
        "watchdog-dump",
        boot_and_wait("watchdog"),
        at_least_once=("watchdog/pause",),
        guest=with_watchdog("dump"),
        incidents=("hung",),
    ),
)

SAVED = (
    Scenario("managed-save", operations.managed_save, ("stopped/saved", "started/restored")),
    Scenario("save-and-restore", operations.save_and_restore(), ("stopped/saved", "started/restored")),
    Scenario(
        "restore-paused",
        operations.save_and_restore(libvirt.VIR_DOMAIN_SAVE_PAUSED),
        ("stopped/saved", "started/restored", "suspended/restored"),
    ),
    Scenario("snapshot-halting", snapshots.halting, ("stopped/from_snapshot",), guest=QCOW2),
    Scenario("revert-running-running", revert(RUNNING, RUNNING), guest=QCOW2),
    Scenario("revert-running-paused", revert(RUNNING, PAUSED), guest=QCOW2),
    Scenario("revert-running-offline", revert(RUNNING, OFFLINE), ("started/from_snapshot",), guest=QCOW2),
    Scenario("revert-paused-running", revert(PAUSED, RUNNING), guest=QCOW2),
    Scenario(
        "revert-paused-offline",
        revert(PAUSED, OFFLINE),
        ("started/from_snapshot", "suspended/from_snapshot"),
        guest=QCOW2,
    ),
    Scenario("revert-offline-running", revert(OFFLINE, RUNNING), ("stopped/from_snapshot",), guest=QCOW2),
    Scenario("revert-offline-offline", revert(OFFLINE, OFFLINE), guest=QCOW2),
    Scenario(
        "revert-offline-as-running",
        revert(OFFLINE, OFFLINE, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING),
        guest=QCOW2,
    ),
    Scenario(
        "revert-forced",
        revert(RUNNING, RUNNING, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE),
        guest=QCOW2,
    ),
    Scenario("revert-description", snapshots.redefined_after, ("defined/updated",), guest=QCOW2),
    Scenario("revert-external", snapshots.external, guest=QCOW2, libvirt=9_009_000),
)

WRITER = Guest("write")
# QEMU reports "no space" only if the policy may stop the guest; otherwise libvirt's reason is empty.
STORAGE = (
    Scenario(
        "enospc-stop",
        disks.writes_to(disks.full, "stop", "io_error/enospc", "suspended/ioerror"),
        ("io_error/enospc", "suspended/ioerror"),
        guest=WRITER,
        incidents=("io_error",),
    ),
    Scenario(
        "enospc-stop-resume",
        disks.full_again_after_resume,
        ("io_error/enospc", "io_error/enospc", "suspended/ioerror", "suspended/ioerror"),
        guest=WRITER,
        incidents=("io_error", "io_error"),
    ),
    Scenario(
        "enospc-report",
        disks.writes_to(disks.full, "report", "io_error"),
        at_least_once=("io_error",),
        never=("suspended/ioerror",),
        guest=WRITER,
    ),
    Scenario(
        "enospc-ignore",
        disks.writes_to(disks.full, "ignore", "io_error"),
        at_least_once=("io_error",),
        never=("suspended/ioerror",),
        guest=WRITER,
    ),
    Scenario(
        "enospace-pauses-others-report",
        disks.writes_to(disks.full, "enospace", "io_error"),
        ("io_error/enospc", "suspended/ioerror"),
        guest=WRITER,
        incidents=("io_error",),
    ),
    Scenario(
        "eio-stop",
        disks.writes_to(disks.corrupt, "stop", "io_error/other", "suspended/ioerror"),
        ("io_error/other", "suspended/ioerror"),
        guest=WRITER,
        incidents=("io_error",),
    ),
    Scenario(
        "eio-report",
        disks.writes_to(disks.corrupt, "report", "io_error"),
        at_least_once=("io_error/other",),
        never=("suspended/ioerror",),
        guest=WRITER,
    ),
    Scenario(
        "eio-ignore",
        disks.writes_to(disks.corrupt, "ignore", "io_error"),
        at_least_once=("io_error/other",),
        never=("suspended/ioerror",),
        guest=WRITER,
    ),
    Scenario(
        "network-disk-lost",
        disks.server_of_the_disk_dies,
        ("suspended/ioerror",),
        guest=WRITER,
        incidents=("io_error",),
    ),
)

POWER = (
    Scenario(
        "suspend-to-ram",
        operations.s3_and_wakeup,
        ("pmsuspended/memory", "started/wakeup"),
        guest=Guest("s3"),
    ),
    Scenario(
        "suspend-to-disk",
        boot_and_wait("stopped"),
        ("pmsuspended/disk", "stopped/shutdown"),
        guest=Guest("s4"),
    ),
)

DESCRIPTION = (
    Scenario("rename", operations.rename, ("defined/added", "undefined/renamed")),
    Scenario("redefine", operations.redefine(running=False), ("defined/added", "defined/updated")),
    Scenario("redefine-running", operations.redefine(running=True), ("defined/updated",)),
    Scenario(
        "undefine-running", operations.undefine_while_running, ("undefined/removed", "stopped/destroyed")
    ),
    Scenario(
        "transient", operations.transient, ("started/booted",), never=("defined/added", "undefined/removed")
    ),
    Scenario("transient-made-persistent", operations.transient_made_persistent, ("defined/added",)),
    Scenario("change-metadata", operations.change_metadata, ("defined/added",)),
)

SCENARIOS = (
    *START_AND_STOP,
    *EMULATOR,
    *PANIC,
    *WATCHDOG,
    *SAVED,
    *STORAGE,
    *POWER,
    *DESCRIPTION,
)
