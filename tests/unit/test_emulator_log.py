"""The emulator log contains output of guests and users: only a bounded part is read, and it is sanitized."""

import datetime as dt
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.hypervisor.emulator_log import local_driver, log_directory, read_end_reason
from libvirt_lifecycle_exporter.model.text import MESSAGE_LIMIT

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


def end_reason(log: Path) -> str:
    return read_end_reason(log.parent, "web")


def test_last_lines_are_returned_without_the_command_line(log: Path) -> None:
    log.write_text(START + COMMAND + KILLED + STAMP + "shutting down, reason=shutdown\n")
    assert end_reason(log) == "qemu-system-x86_64: terminating on signal 15 from pid 1234 (virsh)"
    for part in ("PATH", "/usr/bin", "-name", "starting up", STAMP):
        assert part not in end_reason(log)


def test_only_the_last_run_counts(log: Path) -> None:
    log.write_text(
        START + COMMAND + STAMP + "shutting down, reason=crashed\n" + START + COMMAND + "char dev\n"
    )
    assert end_reason(log) == "char dev"


def test_run_without_output_has_no_reason(log: Path) -> None:
    log.write_text(START + STAMP + "shutting down, reason=crashed\n" + START + COMMAND)
    assert end_reason(log) == ""


def test_configuration_messages_are_no_reason(log: Path) -> None:
    tainted = STAMP + "Domain id=7 is tainted: custom-argv\n"
    log.write_text(START + COMMAND + tainted + STAMP + "shutting down, reason=crashed\n")
    assert end_reason(log) == ""


AT_START = "2026-11-23T20:33:57.000000Z qemu-system-x86_64: "
LATER = "2026-11-23T21:10:00.000000Z qemu-system-x86_64: "
CRASHED = "2026-11-23 21:10:00.500+0000: shutting down, reason=crashed\n"

NOISE_LINES = (
    STAMP + "shutting down, reason=crashed",
    STAMP + "shutting down",
    STAMP + "Domain id=7 is tainted: high-privileges",
    "char device redirected to /dev/pts/3 (label charserial0)",
    AT_START + "-chardev pty,id=charserial0: char device redirected to /dev/pts/3 (label charserial0)",
    AT_START + "warning: host doesn't support requested feature: MSR(48FH).vmx-exit-load-perf [bit 12]",
    AT_START + "warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]",
    LATER + "warning: guest updated active QH",
    "warning: host doesn't support requested feature: CPUID.01H:ECX.dtes64 [bit 2]",
    AT_START + "-device cirrus-vga: warning: 'cirrus-vga' is deprecated, please use another VGA card",
    "qemu-system-x86_64: -chardev socket,id=c: info: QEMU waiting for connection on: unix:/x,server=on",
    "WARNING: Image format was not specified for '/dev/sdb' and probing guessed raw.",
    "         Automatically detecting the format is dangerous for raw images.",
    "         Specify the 'raw' format explicitly to remove the restrictions.",
    "main_channel_link: add main channel client",
    "main_channel_client_handle_pong: net test: latency 6.942000 ms, bitrate 8497925311 bps",
    "red_qxl_set_cursor_peer:",
    "inputs_connect: inputs channel client create",
    "red_channel_client_disconnect: rcc=0x7f7eaa3d8a30 (channel=0x7f7eaa34d300 type=5 id=0)",
    "(process:65324): Spice-WARNING **: 16:35:23.769: Failed to create channel client",
    "((null):25592): SpiceWorker-Warning **: red_worker.c: something",
    "ALSA lib pcm.c:2217: unknown PCM",
    "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00000f61",
    "ES =0000 00000000 0000ffff 00009300",
    "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000",
    "",
)
REASON_LINES = (
    (LATER + "terminating on signal 15 from pid 999 (?)", "terminating on signal 15 from pid 999"),
    ("qemu-system-x86_64: ../hw/core/qdev.c:100: foo: Assertion `x' failed.", "Assertion `x' failed."),
    ("ERROR:../block/block-backend.c:1: assertion failed: (x)", "assertion failed: (x)"),
    (LATER + "-device ide-hd: Failed to lock byte 100", "Failed to lock byte 100"),
    ("KVM internal error. Suberror: 1", "KVM internal error. Suberror: 1"),
    ("KVM: entry failed, hardware error 0x80000021", "KVM: entry failed, hardware error 0x80000021"),
    ("error: kvm run failed Bad address", "kvm run failed Bad address"),
    (
        "Unexpected error in object_property_find() at ../qom/object.c:1:",
        "Unexpected error in object_property",
    ),
    ("qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory", "Cannot allocate memory"),
    ("GLib-ERROR **: gmem.c:135: failed to allocate 4096 bytes", "failed to allocate 4096 bytes"),
    ("(process:1): Spice-CRITICAL **: cursor.c:353: condition `ccc' failed", "condition `ccc' failed"),
    (STAMP + "panic hyper-v: arg1='0x1e', arg2='0x0'", "panic hyper-v: arg1='0x1e'"),
)


@pytest.mark.parametrize("line", NOISE_LINES)
def test_line_that_explains_no_end_is_discarded(log: Path, line: str) -> None:
    log.write_text(f"{START}{COMMAND}{line}\n{CRASHED}")
    assert end_reason(log) == ""


@pytest.mark.parametrize(("line", "reason"), REASON_LINES)
def test_line_that_explains_an_end_is_kept(log: Path, line: str, reason: str) -> None:
    log.write_text(f"{START}{COMMAND}{line}\n{CRASHED}")
    assert reason in end_reason(log)
    assert "2026-11-23" not in end_reason(log)


@given(st.lists(st.sampled_from([*NOISE_LINES, *(line for line, _ in REASON_LINES)]), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reason_survives_any_mix_with_discarded_lines(log: Path, lines: list[str]) -> None:
    """The run ends at start-up, so no line is discarded because of its time."""
    log.write_text("\n".join([START + COMMAND, *lines, STAMP + "shutting down, reason=failed"]))
    found = end_reason(log)
    reasons = [reason for given_line in lines for line, reason in REASON_LINES if line == given_line]
    assert all(reason in found for reason in reasons[-4:])
    assert (found == "") == (not reasons)
    for noise in ("warning:", "shutting down", "redirected", "tainted", "main_channel", "EAX=", "2026-11-23"):
        assert noise not in found


def test_error_at_start_up_is_not_the_reason_of_a_later_crash(log: Path) -> None:
    start_up = "unstamped output of the start\n" + AT_START + "could not open a device, continuing\n"
    log.write_text(START + COMMAND + start_up + CRASHED)
    assert end_reason(log) == ""
    log.write_text(START + COMMAND + start_up + "Assertion failed\n" + CRASHED)
    assert end_reason(log) == "Assertion failed"


def test_error_at_start_up_is_the_reason_of_a_failed_start(log: Path) -> None:
    failed = "2026-11-23 20:33:57.500+0000: shutting down, reason=failed\n"
    log.write_text(START + COMMAND + AT_START + "-device ide-hd: Failed to lock byte 100\n" + failed)
    assert end_reason(log) == "qemu-system-x86_64: -device ide-hd: Failed to lock byte 100"


def test_start_up_output_is_not_the_reason_while_running(log: Path) -> None:
    """A hang: the run has no end in the log, the time of the event counts."""
    log.write_text(START + COMMAND + AT_START + "could not open a device, continuing\n")
    started = dt.datetime(2026, 11, 23, 20, 33, 55, tzinfo=dt.UTC).timestamp()
    assert read_end_reason(log.parent, "web", started + 3600) == ""
    assert read_end_reason(log.parent, "web", started + 5) != ""


def test_time_stamp_out_of_range_is_no_error(log: Path) -> None:
    log.write_text("2026-99-99 99:99:99+0000: starting up libvirt\n2026-99-99T99:99:99Z qemu: it failed\n")
    assert end_reason(log) == "qemu: it failed"


def test_reason_has_at_most_four_lines(log: Path) -> None:
    log.write_text(START + "".join(f"line {n}\n" for n in range(9)))
    assert end_reason(log) == "line 5; line 6; line 7; line 8"


def test_only_the_end_of_a_huge_file_is_read(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe last word\n")
    assert end_reason(log) == "the last word"


def test_endless_line_is_truncated(log: Path) -> None:
    log.write_text("x" * 1_000_000)
    assert end_reason(log).startswith("xxx")
    assert len(end_reason(log)) <= MESSAGE_LIMIT


def test_control_characters_and_escapes_are_removed(log: Path) -> None:
    log.write_bytes(b"\x1b[2J\x1b]0;owned\x07red\x00\x08\x7f\r\nnext\xc2\x9b31m\tline\x0b\x0cend\xc2\x85\n")
    assert end_reason(log).isprintable()
    assert "\x1b" not in end_reason(log)
    assert "\x9b" not in end_reason(log)
    assert "red" in end_reason(log)


def test_unicode_line_separators_make_no_new_line(log: Path) -> None:
    log.write_text("a\u2028b\u2029c\x1cd\n")
    assert end_reason(log) == "a; b; c; d"


def test_invisible_characters_are_removed(log: Path) -> None:
    log.write_text("safe\u202eevil\u2066x\u200by\u00adz\ufeff ok\u00a0fine žluť 🐎\n")
    assert end_reason(log) == "safe evil x y z ok fine žluť 🐎"


def test_invalid_utf8_is_replaced(log: Path) -> None:
    log.write_bytes(b"caf\xe9 \xff\xfe \xed\xa0\x80 end\n")
    assert end_reason(log).startswith("caf\ufffd")
    end_reason(log).encode()


def test_symbolic_link_is_not_followed(log: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret\n")
    log.symlink_to(secret)
    assert end_reason(log) == ""


@pytest.mark.timeout(10)
def test_named_pipe_does_not_block(log: Path) -> None:
    os.mkfifo(log)
    assert end_reason(log) == ""


def test_link_to_itself_has_no_reason(log: Path) -> None:
    log.symlink_to(log)
    assert end_reason(log) == ""
    log.unlink()
    other = log.with_name("other.log")
    log.symlink_to(other)
    other.symlink_to(log)
    assert end_reason(log) == ""


def test_socket_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("web.log")
        assert read_end_reason(Path(), "web") == ""


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as an unprivileged user: root may read every file."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_log_has_no_reason(log: Path) -> None:
    log.write_text("secret\n")
    log.chmod(0)
    with unprivileged():
        assert end_reason(log) == ""


def test_truncated_log_returns_the_newer_output(log: Path) -> None:
    """copytruncate: a writer without O_APPEND continues at its old offset, and leaves a hole before it."""
    with log.open("wb", buffering=0) as writer:
        writer.write(b"long ago\n" * 100_000)
        os.truncate(log, 0)
        assert end_reason(log) == ""
        writer.write(b"\nassertion failed\n")
    assert end_reason(log) == "assertion failed"


def test_rotated_log_raises_nothing(log: Path) -> None:
    over = threading.Event()

    def rotate() -> None:
        while not over.is_set():
            log.write_text(START + COMMAND + "a word\n" * 5000)
            os.truncate(log, 10)
            log.replace(log.with_suffix(".log.0"))

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        results = [end_reason(log) for _ in range(2000)]
    finally:
        over.set()
        rotating.join()
    assert all(words.isprintable() and len(words) <= MESSAGE_LIMIT for words in results)


def test_end_of_a_long_command_line_is_no_reason(log: Path) -> None:
    """The part that is read may begin in the middle of an argument."""
    arguments = "".join(
        f"-blockdev {{'node-name': 'libvirt-{n}-format', 'driver': 'qcow2'}} \\\n" for n in range(600)
    )
    for length in range(16_384, 16_384 + 120):
        log.write_text((START + arguments)[-length:] + "assertion failed\n")
        assert end_reason(log) == "assertion failed"


@given(
    st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_gives_one_printable_line(log: Path, content: bytes) -> None:
    log.write_bytes(content)
    assert end_reason(log).isprintable()
    assert len(end_reason(log)) <= MESSAGE_LIMIT
    end_reason(log).encode()


def test_directory_or_missing_file_has_no_reason(log: Path) -> None:
    assert end_reason(log) == ""
    log.mkdir()
    assert end_reason(log) == ""
    assert read_end_reason(None, "web") == ""
    assert read_end_reason(log / "missing", "web") == ""


@pytest.mark.parametrize(
    "name", ["../web", "sub/web", "/web", "..", ".", ".web", "we\0b", "x" * 5000, "\ud800", "", "web.log"]
)
def test_domain_name_cannot_leave_the_directory(log: Path, name: str) -> None:
    folder = log.parent / "logs"
    for place in (log, log.parent / "logs" / "sub" / "web.log", log.parent / "logs" / ".web.log"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("not for you\n")
    assert read_end_reason(folder, name) == ""


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
def test_log_directory_of_each_driver(monkeypatch: pytest.MonkeyPatch, uri: str, folder: str | None) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert log_directory(uri, "") == (None if folder is None else Path(folder))
    assert log_directory(uri, "/given") == Path("/given")


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
def test_local_driver_of_each_uri(uri: str, driver: str) -> None:
    assert local_driver(uri) == driver
