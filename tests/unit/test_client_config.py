"""libvirt's client configuration, read as libvirt reads it."""

from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.config.libvirt_client_config import (
    ClientConfig,
    config_file,
    read_client_config,
)
from libvirt_lifecycle_exporter.config.settings import Target, parse_target

CONF = """
# uri_default = "qemu:///commented"
uri_default = "node7"
uri_aliases = [
  "node7=qemu+ssh://root@node7/system?keyfile=/k",  # the first
  'lxc=lxc:///system',
]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "libvirt.conf"
    path.write_text(CONF)
    return path


def test_aliases_and_default_are_read(file: Path) -> None:
    aliases = {"node7": "qemu+ssh://root@node7/system?keyfile=/k", "lxc": "lxc:///system"}
    assert read_client_config({}, file) == ClientConfig("node7", aliases)


def test_variable_wins_over_the_file(file: Path) -> None:
    assert read_client_config({"LIBVIRT_DEFAULT_URI": "xen:///"}, file).default_uri == "xen:///"


def test_label_of_an_alias_is_its_canonical_uri(file: Path) -> None:
    aliases = read_client_config({}, file).aliases
    uri = "qemu+ssh://root@node7/system?keyfile=/k"
    assert parse_target("node7", aliases) == Target("qemu://node7/system", uri)
    assert parse_target("mine=node7", aliases) == Target("mine", uri)


def test_absent_file_sets_nothing(tmp_path: Path) -> None:
    assert read_client_config({}, tmp_path / "none") == ClientConfig()


@pytest.mark.parametrize(
    "text",
    ['uri_default = "x', "uri_default", 'uri_aliases = ["x"]', 'uri_aliases = "x"', "uri_default = []"],
)
def test_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "libvirt.conf"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)):
        read_client_config({}, path)


def test_file_depends_on_the_user() -> None:
    assert config_file({}, 0) == Path("/etc/libvirt/libvirt.conf")
    assert config_file({"HOME": "/home/u"}, 1000) == Path("/home/u/.config/libvirt/libvirt.conf")
    assert config_file({"HOME": "/home/u", "XDG_CONFIG_HOME": "/x"}, 1000) == Path("/x/libvirt/libvirt.conf")
    assert config_file({}, 1000) is None
