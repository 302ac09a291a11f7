"""What guests, users and the kernel wrote is evidence: a bounded piece of it is read, and words come out."""

import os
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.sources.evidence import emulator_says, kernel_says, log_folder

START = "2026-11-23 20:33:55.123+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22\n"
STAMP = "2026-11-23 20:34:01.456+0000: "
COMMAND = (
    "LC_ALL=C \\\nPATH=/usr/bin:/bin \\\nHOME=/var/lib/libvirt/qemu/domain-1-web \\\n"
    "/usr/bin/qemu-system-x86_64 \\\n-name guest=web,debug-threads=on \\\n-S \\\n-msg timestamp=on\n"
)
KILLED = "2026-11-23T20:34:01.400Z qemu-system-x86_64: terminating on signal 15 from pid 1234 (virsh)\n"
LONGEST = 800
OOM = (
    "6,1093,52841,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=emulator,global_oom,"
    "task_memcg=/machine.slice/machine-qemu\\x2d7\\x2dweb.scope/libvirt/emulator,"
    "task=qemu-system-x86,pid=4711,uid=64055\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def says(log: Path) -> str:
    return emulator_says(log.parent, "web")


def test_the_last_words_are_told_without_the_command_line(log: Path) -> None:
    log.write_text(START + COMMAND + KILLED + STAMP + "shutting down, reason=shutdown\n")
    assert says(log).endswith(
        "terminating on signal 15 from pid 1234 (virsh); shutting down, reason=shutdown"
    )
    for part in ("PATH", "/usr/bin", "-name", "starting up", STAMP):
        assert part not in says(log)


def test_only_the_last_run_counts(log: Path) -> None:
    log.write_text(
        START + COMMAND + STAMP + "shutting down, reason=crashed\n" + START + COMMAND + "char dev\n"
    )
    assert says(log) == "char dev"


def test_a_run_that_said_nothing_says_nothing(log: Path) -> None:
    log.write_text(START + STAMP + "shutting down, reason=crashed\n" + START + COMMAND)
    assert says(log) == ""


def test_four_lines_are_enough(log: Path) -> None:
    log.write_text(START + "".join(f"line {n}\n" for n in range(9)))
    assert says(log) == "line 5; line 6; line 7; line 8"


def test_a_huge_file_costs_its_end_only(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe last word\n")
    assert says(log) == "the last word"


def test_one_endless_line_is_cut(log: Path) -> None:
    log.write_text("x" * 1_000_000)
    assert says(log).startswith("xxx")
    assert len(says(log)) <= LONGEST


def test_control_characters_and_terminal_escapes_do_not_pass(log: Path) -> None:
    log.write_bytes(b"\x1b[2J\x1b]0;owned\x07red\x00\x08\x7f\r\nnext\xc2\x9b31m\tline\x0b\x0cend\xc2\x85\n")
    assert says(log).isprintable()
    assert "\x1b" not in says(log)
    assert "\x9b" not in says(log)
    assert "red" in says(log)


def test_line_separators_of_every_kind_make_no_new_line(log: Path) -> None:
    log.write_text("a\u2028b\u2029c\x1cd\n")
    assert says(log) == "a; b; c; d"


def test_nothing_invisible_passes(log: Path) -> None:
    log.write_text("safe\u202eevil\u2066x\u200by\u00adz\ufeff ok\u00a0fine žluť 🐎\n")
    assert says(log) == "safe evil x y z ok fine žluť 🐎"


def test_invalid_utf8_is_shown_as_such(log: Path) -> None:
    log.write_bytes(b"caf\xe9 \xff\xfe \xed\xa0\x80 end\n")
    assert says(log).startswith("caf\ufffd")
    says(log).encode()


def test_a_link_is_not_followed(log: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret\n")
    log.symlink_to(secret)
    assert says(log) == ""


@pytest.mark.timeout(10)
def test_a_pipe_blocks_nobody(log: Path) -> None:
    os.mkfifo(log)
    assert says(log) == ""


def test_a_folder_or_nothing_at_all_says_nothing(log: Path) -> None:
    assert says(log) == ""
    log.mkdir()
    assert says(log) == ""
    assert emulator_says(None, "web") == ""
    assert emulator_says(log / "missing", "web") == ""


@pytest.mark.parametrize(
    "name", ["../web", "sub/web", "/web", "..", ".", ".web", "we\0b", "x" * 5000, "\ud800", "", "web.log"]
)
def test_no_name_leads_elsewhere(log: Path, name: str) -> None:
    folder = log.parent / "logs"
    for place in (log, log.parent / "logs" / "sub" / "web.log", log.parent / "logs" / ".web.log"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("not for you\n")
    assert emulator_says(folder, name) == ""


@pytest.fixture
def kernel_log(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    path.write_text(
        "6,1,0,-;Linux version 6.1\n" + OOM + "6,1094,52842,-;Out of memory: Killed process 4711\n"
    )
    return path


def test_the_kernel_tells_whom_it_killed(kernel_log: Path) -> None:
    said = kernel_says(7, kernel_log)
    assert said.startswith("killed by the kernel, out of memory: oom-kill:")
    assert "pid=4711" in said
    assert len(said) <= LONGEST


@pytest.mark.parametrize("domain_id", [1, 77, 70, -1, 0])
def test_another_domain_was_not_killed(kernel_log: Path, domain_id: int) -> None:
    assert kernel_says(domain_id, kernel_log) == ""


def test_the_kernel_spells_backslashes_in_its_own_way(kernel_log: Path) -> None:
    kernel_log.write_text(OOM.replace("\\", "\\x5c"))
    assert "out of memory" in kernel_says(7, kernel_log)


def test_the_newest_of_a_long_kernel_log_is_read(kernel_log: Path) -> None:
    chatter = "".join(f"6,{n},{n},-;usb 1-1: reset\n" for n in range(20_000))
    kernel_log.write_text(chatter + OOM)
    assert "out of memory" in kernel_says(7, kernel_log)


def test_a_kernel_log_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert kernel_says(7, tmp_path / "missing") == ""
    assert kernel_says(7, tmp_path) == ""


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("qemu:///system", "/var/log/libvirt/qemu"),
        ("qemu+unix:///system?socket=/x", "/var/log/libvirt/qemu"),
        ("lxc:///system", "/var/log/libvirt/lxc"),
        ("xen:///system", "/var/log/libvirt/libxl"),
        ("qemu:///session", "/cache/libvirt/qemu/log"),
        ("qemu+ssh://other/system", None),
        ("qemu+tls:///system", None),
        ("test:///default", None),
    ],
)
def test_where_the_logs_are(monkeypatch: pytest.MonkeyPatch, uri: str, folder: str | None) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert log_folder(uri, "") == (None if folder is None else Path(folder))
    assert log_folder(uri, "/given") == Path("/given")
