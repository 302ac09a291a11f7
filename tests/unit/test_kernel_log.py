"""The kernel log names processes killed for lack of memory; a record counts only for its domain and time."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.hypervisor.kernel_log import (
    CLOCK_TOLERANCE,
    MAX_STOP_DELAY,
    cgroup_names,
    find_oom_kill,
    machine_name,
)
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.text import MESSAGE_LIMIT

SYSTEMD = "/machine.slice/machine-qemu\\x5cx2d7\\x5cx2dweb.scope/libvirt/emulator"
"""The kernel writes the backslash of a cgroup's name as \\x5c."""
PLAIN = "/machine/qemu-7-web.libvirt-qemu"
UP_FOR = 100_000.0
"""Seconds that are added to the clock, so that all times are after the boot."""

OOM = (
    "4,357,{before},-;qemu-system-x86 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n"
    "4,363,{before},-; oom_kill_process.cold+0x8/0x8a\n"
    "6,433,{at},-;[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes\n"
    "6,435,{at},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=emulator,mems_allowed=0,"
    "oom_memcg={cgroup},task_memcg={cgroup},task=qemu-system-x86,pid=28419,uid=64055\n"
    "3,436,{at},-;Memory cgroup out of memory: Killed process 28419 (qemu-system-x86) total-vm:278716kB,"
    " anon-rss:39552kB, file-rss:6504kB, shmem-rss:0kB, UID:64055 pgtables:144kB oom_score_adj:0\n"
)
GLOBAL = (
    "6,440,{at},-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=emulator,mems_allowed=0-1,"
    "global_oom,task_memcg={cgroup},task=CPU 0/KVM,pid=4711,uid=64055\n"
)


def report(*, cgroup: str = SYSTEMD, before_the_stop: float = 0.1, text: str = OOM) -> str:
    at = int((time.clock_gettime(time.CLOCK_MONOTONIC) + UP_FOR - before_the_stop) * 1e6)
    return text.format(at=at, before=at - 3000, cgroup=cgroup)


def stopped(*, domain_id: int = 7, name: str = "web") -> EvidenceRequest:
    return EvidenceRequest(name, domain_id, "stopped", "failed", time.time() + UP_FOR)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "kmsg"


def kill_message(
    log: Path, *records: str, driver: str = "qemu", subject: EvidenceRequest | None = None
) -> str:
    log.write_text("6,1,0,-;Linux version 6.18\n" + "".join(records) + "6,9999,0,-;usb 1-1: reset\n")
    return find_oom_kill(driver, subject or stopped(), log)


@pytest.mark.parametrize(
    "cgroup",
    [
        SYSTEMD,
        SYSTEMD.removesuffix("/libvirt/emulator"),
        f"/production.partition/web.partition/{PLAIN.rpartition('/')[2]}",
        PLAIN,
        f"{PLAIN}/emulator",
        f"/process_api/0123/{PLAIN}/vcpu0",
    ],
)
def test_killed_process_and_reason_are_returned(log: Path, cgroup: str) -> None:
    message = kill_message(log, report(cgroup=cgroup))
    shown = cgroup.replace("\\x5c", "\\")
    assert message == f"the kernel killed qemu-system-x86 (pid 28419): the memory limit of {shown} is reached"


def test_host_out_of_memory_has_its_own_reason(log: Path) -> None:
    message = kill_message(log, report(text=GLOBAL))
    assert message == "the kernel killed CPU 0/KVM (pid 4711): the host is out of memory"


@pytest.mark.parametrize(
    "cgroup",
    [
        "/",
        "/user.slice/user-0.slice/session-1.scope",
        "/machine.slice/machine-qemu\\x5cx2d7\\x5cx2dweb2.scope/libvirt/emulator",
        "/machine.slice/machine-qemu\\x5cx2d77\\x5cx2dweb.scope/libvirt/emulator",
        "/machine.slice/machine-qemu\\x5cx2d7\\x5cx2dmail.scope/libvirt/emulator",
        "/machine.slice/machine-lxc\\x5cx2d7\\x5cx2dweb.scope/libvirt/emulator",
        "/machine/qemu-7-web2.libvirt-qemu",
        "/machine/qemu-8-web.libvirt-qemu",
        "/machine/lxc-7-web.libvirt-lxc",
    ],
)
def test_cgroup_of_another_domain_is_ignored(log: Path, cgroup: str) -> None:
    assert kill_message(log, report(cgroup=cgroup)) == ""


@pytest.mark.parametrize("domain_id", [1, 77, 70, -1, 0])
def test_another_domain_id_is_another_run(log: Path, domain_id: int) -> None:
    assert kill_message(log, report(), subject=stopped(domain_id=domain_id)) == ""


@pytest.mark.parametrize("driver", ["lxc", "ch", "test", ""])
def test_domain_of_another_driver_is_ignored(log: Path, driver: str) -> None:
    assert kill_message(log, report(), driver=driver) == ""


def test_old_record_with_the_same_id_is_ignored(log: Path) -> None:
    """Ids repeat and the name is the same: only the time differs."""
    assert kill_message(log, report(before_the_stop=MAX_STOP_DELAY + 60.0)) == ""


@pytest.mark.parametrize("ago", [0.0, MAX_STOP_DELAY - 10.0, -(CLOCK_TOLERANCE - 1.0)])
def test_record_shortly_before_the_stop_matches(log: Path, ago: float) -> None:
    assert kill_message(log, report(before_the_stop=ago))


@pytest.mark.parametrize("ago", [MAX_STOP_DELAY + 10.0, UP_FOR, -(CLOCK_TOLERANCE + 10.0), -UP_FOR])
def test_record_long_before_or_after_the_stop_is_ignored(log: Path, ago: float) -> None:
    assert kill_message(log, report(before_the_stop=ago)) == ""


def test_unknown_constraint_is_returned_as_is(log: Path) -> None:
    record = report(text=GLOBAL).replace("CONSTRAINT_NONE", "CONSTRAINT_{NEW}")
    assert kill_message(log, record) == "the kernel killed CPU 0/KVM (pid 4711): CONSTRAINT_{NEW}"


def test_newest_matching_record_is_returned(log: Path) -> None:
    message = kill_message(log, report(before_the_stop=20.0), report(text=GLOBAL, before_the_stop=1.0))
    assert "the host is out of memory" in message


def test_record_of_user_space_is_ignored(log: Path) -> None:
    """Records that a process writes to the device have another facility."""
    record = report(text=GLOBAL)
    assert kill_message(log, record.replace("6,440,", "14,440,")) == ""


@pytest.mark.parametrize("place", ["oom_memcg={cgroup}", "cpuset=emulator", "task_memcg={cgroup}"])
def test_cgroup_name_that_imitates_a_field_is_ignored(log: Path, place: str) -> None:
    """Ordinary users may create cgroups with any name."""
    forged = f"{place.partition('=')[0]}=/user.slice/x,task_memcg={SYSTEMD}"
    assert kill_message(log, report(text=OOM.replace(place, forged), cgroup="/user.slice/y")) == ""


def test_fragments_of_a_line_are_joined(log: Path) -> None:
    at, text = report(text=GLOBAL).split(";", 1)
    pieces = text[:40], text[40:200], text[200:]
    fragment = at.removesuffix("-") + "c"
    record = f"{at};{pieces[0]}\n{fragment};{pieces[1]}\n{fragment};{pieces[2]}"
    assert kill_message(log, record) == kill_message(log, report(text=GLOBAL))


def test_unknown_additions_to_the_format_are_ignored(log: Path) -> None:
    record = report(text=GLOBAL).replace(",-;", ",-,caller=T4711,future=1;")
    assert kill_message(log, record, " SUBSYSTEM=memory\n", " DEVICE=+x\n")


def test_end_of_a_long_log_is_read(log: Path) -> None:
    chatter = "".join(f"6,{n},{n},-;usb 1-1: reset\n" for n in range(20_000))
    assert kill_message(log, chatter, report())


@pytest.mark.timeout(10)
def test_reading_does_not_wait_for_new_records(log: Path) -> None:
    """/dev/kmsg has no end."""
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
    try:
        for record in report().splitlines(keepends=True):
            os.write(writer, record.encode())
        assert "pid 28419" in find_oom_kill("qemu", stopped(), log)
    finally:
        os.close(writer)
        os.close(reader)


def test_unreadable_log_returns_nothing(tmp_path: Path) -> None:
    assert find_oom_kill("qemu", stopped(), tmp_path / "missing") == ""
    assert find_oom_kill("qemu", stopped(), tmp_path) == ""


@pytest.mark.timeout(60)
def test_endless_line_uses_bounded_memory(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(64 << 20)
    assert find_oom_kill("qemu", stopped(), log) == ""


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_damaged_record_gives_no_wrong_result(log: Path, data: Any) -> None:
    record = report(text=GLOBAL)
    cut, length = data.draw(st.integers(0, len(record))), data.draw(st.integers(0, 40))
    noise = data.draw(st.text(st.characters(codec="latin-1", exclude_characters="\n"), max_size=20))
    log.write_bytes((record[:cut] + noise + record[cut + length :]).encode("latin-1"))
    message = find_oom_kill("qemu", stopped(), log)
    assert message.isprintable()
    assert len(message) <= MESSAGE_LIMIT
    assert not message or message.startswith("the kernel killed ")


@given(st.binary(max_size=3000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_raises_nothing(log: Path, content: bytes) -> None:
    log.write_bytes(content)
    assert find_oom_kill("qemu", stopped(), log) == ""


@pytest.mark.parametrize(
    ("domain_id", "name", "machine"),
    [
        (7, "web", "qemu-7-web"),
        (12, "web-1.example.org", "qemu-12-web-1.example.org"),
        (3, "web_1", "qemu-3-web1"),
        (3, "my web (old)", "qemu-3-mywebold"),
        (3, "žluť🐎", "qemu-3-lu"),
        (3, "馬", "qemu-3"),
        (3, "", "qemu-3"),
        (3, "..web", "qemu-3-web"),
        (3, "-._-web", "qemu-3-web"),
        (3, "a--b..c.-d", "qemu-3-a-b.c.d"),
        (3, "web-.", "qemu-3-web"),
        (3, "a-_-b", "qemu-3-a-b"),
        (7, "x" * 57, "qemu-7-" + "x" * 57),
        (7, "x" * 58, "qemu-7-" + "x" * 57),
        (100, "x" * 300, "qemu-100-" + "x" * 55),
        (7, "x" * 56 + "-yz", "qemu-7-" + "x" * 56),
        (7, "x" * 56 + "_" * 100 + "yz", "qemu-7-" + "x" * 56 + "y"),
    ],
)
def test_machine_name_follows_libvirt(domain_id: int, name: str, machine: str) -> None:
    assert machine_name("qemu", domain_id, name) == machine


@given(st.integers(0, 2**31 - 1), st.text(max_size=100))
def test_machine_name_is_a_valid_host_name(domain_id: int, name: str) -> None:
    machine = machine_name("qemu", domain_id, name)
    start = f"qemu-{domain_id}"
    assert machine.startswith(start)
    assert len(machine) <= 64
    assert set(machine) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert machine[-1] not in ".-"
    labels = machine.removeprefix(start).lstrip("-").replace("-", ".").split(".")
    assert labels == [""] or all(labels)
    assert machine_name("qemu", domain_id, machine.removeprefix(f"{start}-")) == machine or machine == start


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.text("abc-.01", max_size=12),
    st.text("abc-.01", max_size=12),
)
def test_runs_share_a_cgroup_only_with_equal_machine_names(
    one: int, other: int, name: str, another: str
) -> None:
    alike = machine_name("qemu", one, name) == machine_name("qemu", other, another)
    assert bool(cgroup_names("qemu", one, name) & cgroup_names("qemu", other, another)) == alike


def test_scope_name_is_escaped_as_systemd_does() -> None:
    assert cgroup_names("qemu", 7, "web-1.org") == {
        r"machine-qemu\x2d7\x2dweb\x2d1.org.scope",
        "qemu-7-web-1.org.libvirt-qemu",
    }
