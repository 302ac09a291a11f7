"""libvirt's messages of I/O errors: requested where available, without failures elsewhere."""

from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.libvirt_messages import IO_ERRORS, LibvirtMessages
from libvirt_lifecycle_exporter.model.text import MESSAGE_LIMIT

OLD = (
    "I/O error: disk='vda', index='2', path='/images/old.qcow2', "
    "timestamp='2026-11-20 09:00:00.000+0000', message='Input/output error'"
)
NEW = (
    "I/O error: disk='vdb', index='1', path='/images/new.qcow2', "
    "timestamp='2026-11-23 22:15:19.901+0000', message='No space left on device'"
)
TRANSLATED = (
    "E/A-Fehler: Platte='vdb', Pfad='/images/neu.qcow2', "
    "Zeit='2026-11-23 22:15:19.944+0000', Meldung='Auf dem Gerät ist kein Speicherplatz mehr'"
)


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("as libvirt would")
    error.err = (code, 10, "as libvirt would", 2, "", None, None, 0, 0)
    return error


class Domain:
    """Fake of a libvirt domain with messages."""

    def __init__(self, answer: list[str] | libvirt.libvirtError) -> None:
        self._answer = answer
        self.flags: list[int] = []

    def lookupByUUIDString(self, _uuid: str) -> Any:  # noqa: N802 - its own connection
        return self

    def messages(self, flags: int) -> list[str]:
        self.flags.append(flags)
        if isinstance(self._answer, libvirt.libvirtError):
            raise self._answer
        return self._answer


class OldDomain:
    """Domain of libvirt-python before 7.1, which has no messages."""

    def lookupByUUIDString(self, _uuid: str) -> object:  # noqa: N802
        return object()


def io_error_text(answer: list[str] | libvirt.libvirtError) -> str:
    return LibvirtMessages().newest_io_errors(Domain(answer), "u-1")


def test_only_io_errors_are_requested() -> None:
    domain = Domain([NEW])
    assert LibvirtMessages().newest_io_errors(domain, "u-1") == NEW
    assert domain.flags == [IO_ERRORS]


def test_no_messages_give_no_text() -> None:
    assert io_error_text([]) == ""


@pytest.mark.parametrize("messages", [[OLD, NEW], [NEW, OLD]])
def test_old_message_is_omitted(messages: list[str]) -> None:
    assert io_error_text(messages) == NEW


def test_messages_of_the_same_minute_are_joined() -> None:
    assert io_error_text([OLD, TRANSLATED, NEW]) == f"{TRANSLATED}; {NEW}"


def test_messages_without_a_time_are_returned() -> None:
    assert io_error_text(["I/O error on vda", "I/O error on vdb"]) == "I/O error on vda; I/O error on vdb"


def test_messages_are_sanitized_and_bounded() -> None:
    text = io_error_text(["I/O error: path='/images/\x1b[2J\n\u202eevil'", "x" * 100_000])
    assert text.isprintable()
    assert len(text) <= MESSAGE_LIMIT


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT])
def test_unsupported_call_is_made_once(code: int) -> None:
    messages, domain = LibvirtMessages(), Domain(refusal(code))
    assert [messages.newest_io_errors(domain, "u-1") for _ in range(3)] == ["", "", ""]
    assert len(domain.flags) == 1


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_ACCESS_DENIED])
def test_error_of_one_domain_affects_no_other(code: int) -> None:
    messages = LibvirtMessages()
    assert messages.newest_io_errors(Domain(refusal(code)), "u-1") == ""
    assert messages.newest_io_errors(Domain([NEW]), "u-2") == NEW


def test_old_binding_gives_no_text() -> None:
    messages = LibvirtMessages()
    assert messages.newest_io_errors(OldDomain(), "u-1") == ""
    assert messages.newest_io_errors(Domain([NEW]), "u-1") == "", "the binding stays the same"


def test_test_driver_answers_or_refuses() -> None:
    """The built-in test driver accepts the flag from 11.1 on; it has no such errors."""
    connection = libvirt.openReadOnly("test:///default")
    try:
        messages = LibvirtMessages()
        uuid = connection.lookupByName("test").UUIDString()
        assert messages.newest_io_errors(connection, uuid) == ""
        assert messages.newest_io_errors(connection, "00000000-0000-0000-0000-000000000000") == ""
    finally:
        connection.close()


def test_flag_has_the_number_of_libvirt() -> None:
    assert getattr(libvirt, "VIR_DOMAIN_MESSAGE_IOERRORS", IO_ERRORS) == IO_ERRORS == 4
