import json
import logging
import sys
from pathlib import PurePosixPath

import pytest

from libvirt_lifecycle_exporter.runtime.log_format import Json, Logfmt

LOGGER = "libvirt_lifecycle_exporter.app.worker"


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger(LOGGER).makeRecord(
        LOGGER, logging.WARNING, "", 1, message, arguments, None, extra=extra
    )


def logfmt(message: str, *arguments: object, **extra: object) -> str:
    """Return the part of the line from the message on."""
    line = Logfmt().format(record(message, *arguments, **extra))
    return line[line.index("msg=") :]


@pytest.mark.parametrize(
    "hostile", ["a\nb", 'say "x"', "tab\t", "\x1b[31mred", "é", "back\\slash", "a=b", "", "\u2028"]
)
def test_every_log_record_is_one_line(hostile: str) -> None:
    for formatter in (Logfmt(), Json()):
        for one in (
            record("domain %s", hostile),
            record("lost", domain=hostile),
            record("a", **{hostile: 1}),
        ):
            line = formatter.format(one)
            assert line.isprintable()
            assert len(line.splitlines()) == 1


def test_logfmt_quotes_only_where_needed() -> None:
    line = Logfmt().format(record("stopping"))
    assert line.endswith("level=warning logger=app.worker msg=stopping")
    assert line.startswith("ts=")
    assert Logfmt().format(record("is up: %d", 3)).endswith('msg="is up: 3"')


def test_json_record_contains_the_traceback() -> None:
    broken = record("broken", step="close")
    try:
        [].pop()
    except IndexError:
        broken.exc_info = sys.exc_info()
    fields = json.loads(Json().format(broken))
    assert fields["msg"] == "broken"
    assert "IndexError: pop from empty list" in fields["trace"]
    assert list(fields)[-2:] == ["step", "trace"]


def test_extra_fields_follow_the_message_in_order() -> None:
    extra = {"path": PurePosixPath("/var/lib/a b"), "errors": 3, "connection": "qemu:///system"}
    assert logfmt("journal recovered", **extra) == (
        'msg="journal recovered" path="/var/lib/a b" errors=3 connection=qemu:///system'
    )
    fields = json.loads(Json().format(record("journal recovered", **extra)))
    assert list(fields)[3:] == ["msg", "path", "errors", "connection"]
    assert (fields["path"], fields["errors"]) == ("/var/lib/a b", 3)


@pytest.mark.parametrize(
    ("value", "in_logfmt", "in_json"),
    [
        ("", '""', ""),
        (True, "true", True),
        (None, "null", None),
        (2.5, "2.5", 2.5),
        (float("inf"), "inf", "inf"),
        (OSError("no space"), '"no space"', "no space"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (["a", "b"], "\"['a', 'b']\"", "['a', 'b']"),
        ("a=b", '"a=b"', "a=b"),
        ("é", r'"\u00e9"', "é"),
    ],
)
def test_extra_values_are_rendered_by_type(value: object, in_logfmt: str, in_json: object) -> None:
    assert logfmt("m", key=value) == f"msg=m key={in_logfmt}"
    assert json.loads(Json().format(record("m", key=value)))["key"] == in_json


def test_extra_cannot_replace_a_standard_field() -> None:
    line = Logfmt().format(record("m", ts="never", level="none", logger="other", path="/x"))
    assert line.endswith("level=warning logger=app.worker msg=m path=/x")
    assert "never" not in line


def test_attributes_that_logging_adds_are_no_fields() -> None:
    one = record("m")
    one.message, one.asctime, one.taskName = "m", "now", "task"
    one.color_message = "\x1b[31mm"
    assert Logfmt().format(one).endswith("msg=m")
