"""docs/configuration.md is up to date with its generator and names every option."""

from pathlib import Path

from docs.generate_configuration import FILE, GROUPS, commands, document
from libvirt_lifecycle_exporter.config.options import OPTIONS


def test_configuration_page_is_up_to_date() -> None:
    assert Path(FILE).read_text() == document(), "run make docs"


def test_configuration_page_names_every_option_and_variable() -> None:
    page = document()
    for option in OPTIONS:
        assert f"`{option.name}`<br>`{option.variable}`" in page
    assert {option.name.removeprefix("--").partition(".")[0] for option in OPTIONS} == set(GROUPS)


def test_configuration_page_names_every_command_and_its_options() -> None:
    page = document()
    assert set(commands()) == {"check", "demo", "events", "incidents"}
    for name, found in commands().items():
        assert f"### `{name}`" in page
        for parameter in found.params:
            assert f"`{parameter.opts[0]}`" in page
