"""What guests and users wrote is evidence: a bounded piece of it is read, and words come out."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.sources.emulator_log import emulator_says, local_driver, log_folder
from libvirt_lifecycle_exporter.text import MESSAGE_LIMIT

START = "2026-11-23 20:33:55.123+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22\n"
STAMP = "2026-11-23 20:34:01.456+0000: "
COMMAND = (
    "LC_ALL=C \\\nPATH=/usr/bin:/bin \\\nHOME=/var/lib/libvirt/qemu/domain-1-web \\\n"
    "/usr/bin/qemu-system-x86_64 \\\n-name guest=web,debug-threads=on \\\n-S \\\n-msg timestamp=on\n"
)
KILLED = "2026-11-23T20:34:01.400Z qemu-system-x86_64: terminating on signal 15 from pid 1234 (virsh)\n"


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


def test_how_a_domain_is_set_up_is_no_reason_for_its_end(log: Path) -> None:
    tainted = STAMP + "Domain id=7 is tainted: custom-argv\n"
    log.write_text(START + COMMAND + tainted + STAMP + "shutting down, reason=crashed\n")
    assert says(log) == "shutting down, reason=crashed"


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
    assert len(says(log)) <= MESSAGE_LIMIT


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


def test_a_link_that_leads_to_itself_says_nothing(log: Path) -> None:
    log.symlink_to(log)
    assert says(log) == ""
    log.unlink()
    other = log.with_name("other.log")
    log.symlink_to(other)
    other.symlink_to(log)
    assert says(log) == ""


def test_a_socket_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("web.log")
        assert emulator_says(Path(), "web") == ""


@contextmanager
def nobody() -> Iterator[None]:
    """Root may read everything; nobody may not."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_says_nothing(log: Path) -> None:
    log.write_text("secret\n")
    log.chmod(0)
    with nobody():
        assert says(log) == ""


def test_a_log_that_is_cut_to_nothing_while_it_is_written_says_what_came_since(log: Path) -> None:
    """copytruncate: who writes without O_APPEND goes on where it was, and leaves a hole before it."""
    with log.open("wb", buffering=0) as writer:
        writer.write(b"long ago\n" * 100_000)
        os.truncate(log, 0)
        assert says(log) == ""
        writer.write(b"\nshutting down, reason=crashed\n")
    assert says(log) == "shutting down, reason=crashed"


def test_a_log_that_is_rotated_all_the_time_never_raises(log: Path) -> None:
    over = threading.Event()

    def rotate() -> None:
        while not over.is_set():
            log.write_text(START + COMMAND + "a word\n" * 5000)
            os.truncate(log, 10)
            log.replace(log.with_suffix(".log.0"))

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        said = [says(log) for _ in range(2000)]
    finally:
        over.set()
        rotating.join()
    assert all(words.isprintable() and len(words) <= MESSAGE_LIMIT for words in said)


def test_the_rest_of_a_long_command_line_is_not_taken_for_words(log: Path) -> None:
    """The piece that is read may begin in the middle of an argument."""
    arguments = "".join(
        f"-blockdev {{'node-name': 'libvirt-{n}-format', 'driver': 'qcow2'}} \\\n" for n in range(600)
    )
    for length in range(16_384, 16_384 + 120):
        log.write_text((START + arguments)[-length:] + STAMP + "shutting down, reason=crashed\n")
        assert says(log) == "shutting down, reason=crashed"


@given(
    st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_one_printable_line_comes_out(log: Path, content: bytes) -> None:
    log.write_bytes(content)
    assert says(log).isprintable()
    assert len(says(log)) <= MESSAGE_LIMIT
    says(log).encode()


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


@pytest.mark.parametrize(
    ("uri", "driver"),
    [
        ("qemu:///system", "qemu"),
        ("qemu+unix:///session?socket=/x", "qemu"),
        ("lxc:///", "lxc"),
        ("qemu+ssh://root@other/system", ""),
        ("qemu+tcp://127.0.0.1/system", ""),
        ("qemu+ssh:///system", ""),
    ],
)
def test_which_driver_runs_its_domains_here(uri: str, driver: str) -> None:
    assert local_driver(uri) == driver
