"""Information about the exporter's host, from a fake procfs and the real one."""

import os
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.hypervisor.host import LocalHost, is_local

A, B = "0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab", "5f0b8c52-92b9-4d0b-8a4c-ba9876543210"


def add_process(proc: Path, pid: int, uuid: str, start: int, state: str = "S") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cmdline").write_bytes(f"/usr/bin/qemu\0-name\0x\0-uuid\0{uuid}\0-m\0".encode())
    fields = [state, *["0"] * 18, str(start), "0"]
    (folder / "stat").write_text(f"{pid} (qemu (odd) name) {' '.join(fields)}\n")


def test_start_time_of_each_emulator_is_found(tmp_path: Path) -> None:
    add_process(tmp_path, 10, A, 111)
    add_process(tmp_path, 11, B, 222)
    (tmp_path / "12").mkdir()
    assert LocalHost(tmp_path).process_starts([A, B, "another"]) == {A: 111, B: 222}


def test_two_processes_with_one_uuid_identify_nothing(tmp_path: Path) -> None:
    add_process(tmp_path, 10, A, 111)
    add_process(tmp_path, 11, A, 222)
    assert LocalHost(tmp_path).process_starts([A]) == {}


def test_reused_pid_is_not_taken_for_the_emulator(tmp_path: Path) -> None:
    host = LocalHost(tmp_path)
    add_process(tmp_path, 10, A, 111)
    assert host.process_starts([A]) == {A: 111}
    add_process(tmp_path, 10, B, 333)
    assert A not in host.process_starts([A])


def test_dead_emulator_identifies_nothing(tmp_path: Path) -> None:
    add_process(tmp_path, 10, A, 111, state="Z")
    assert LocalHost(tmp_path).process_starts([A]) == {}


def test_unreadable_procfs_is_no_error(tmp_path: Path) -> None:
    host = LocalHost(tmp_path / "missing")
    assert (host.boot_id(), host.process_starts([A])) == ("", {})


def test_boot_id_is_read(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(f"{A}\n")
    assert LocalHost(tmp_path).boot_id() == A
    assert len(LocalHost().boot_id()) == len(A)


def test_own_process_has_no_uuid() -> None:
    assert LocalHost().process_starts([str(os.getpid())]) == {}


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu:///session", True),
        ("qemu+unix:///system?socket=/run/x", True),
        ("lxc:///system", True),
        ("test:///default", True),
        ("qemu+ssh:///system", False),
        ("qemu+ssh://host/system", False),
        ("qemu+tls://localhost/system", False),
        ("qemu+tcp:///system", False),
        ("qemu+ext:///system?command=x", False),
        ("esx://host", False),
        ("", False),
    ],
)
def test_only_uris_without_a_host_are_local(uri: str, *, local: bool) -> None:
    assert is_local(uri) is local
