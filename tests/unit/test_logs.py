import json
import logging
import sys

import pytest

from libvirt_lifecycle_exporter.runtime.log_format import Json, Logfmt


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(
        "libvirt_lifecycle_exporter.app.worker", logging.WARNING, "", 1, message, arguments, None
    )


@pytest.mark.parametrize(
    "hostile", ["a\nb", 'say "x"', "tab\t", "\x1b[31mred", "é", "back\\slash", "a=b", "", "\u2028"]
)
def test_whatever_is_logged_stays_on_one_line(hostile: str) -> None:
    for formatter in (Logfmt(), Json()):
        line = formatter.format(record("domain %s", hostile))
        assert line.isprintable()
        assert len(line.splitlines()) == 1


def test_logfmt_quotes_only_what_needs_it() -> None:
    line = Logfmt().format(record("stopping"))
    assert line.endswith("level=warning logger=app.worker msg=stopping")
    assert line.startswith("ts=")
    assert Logfmt().format(record("is up: %d", 3)).endswith('msg="is up: 3"')


def test_json_is_json_and_carries_the_trace() -> None:
    broken = record("broken")
    try:
        [].pop()
    except IndexError:
        broken.exc_info = sys.exc_info()
    said = json.loads(Json().format(broken))
    assert said["msg"] == "broken"
    assert "IndexError: pop from empty list" in said["trace"]
