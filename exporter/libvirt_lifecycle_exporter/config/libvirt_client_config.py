"""libvirt's client configuration, as virsh uses it: the default URI, and aliases of URIs.

The environment variable ``LIBVIRT_DEFAULT_URI`` wins over ``uri_default`` of ``libvirt.conf``. That file is
``/etc/libvirt/libvirt.conf`` for root, ``libvirt/libvirt.conf`` in the XDG configuration folder for others.
https://libvirt.org/uri.html
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<word>[\w.-]+)|(?P<sign>[=\[\],])"""
)
_ALIAS = re.compile(r"([A-Za-z0-9_-]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a user of libvirt's client library has set."""

    default_uri: str = ""
    """Empty: not set."""
    aliases: Mapping[str, str] = field(default_factory=dict)


def config_file(environment: Mapping[str, str], uid: int) -> Path | None:
    """Return where this user's ``libvirt.conf`` is; None without a home."""
    if uid == 0:
        return Path("/etc/libvirt/libvirt.conf")
    folder = environment.get("XDG_CONFIG_HOME")
    if folder:
        return Path(folder) / "libvirt/libvirt.conf"
    home = environment.get("HOME")
    return Path(home) / ".config/libvirt/libvirt.conf" if home else None


def read_client_config(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> ClientConfig:
    """Return the settings of this user; raises ValueError if ``libvirt.conf`` cannot be read."""
    file = file or config_file(environment, os.geteuid())
    settings: dict[str, str | list[str]] = {}
    if file is not None:
        try:
            settings = _parse(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read {file}: {error}") from None
    default, aliases = settings.get("uri_default", ""), settings.get("uri_aliases", [])
    if not isinstance(default, str) or not isinstance(aliases, list):
        raise ValueError(f"cannot read {file}: uri_default must be a string, uri_aliases a list of strings")  # noqa: TRY004
    found = [_ALIAS.fullmatch(alias) for alias in aliases]
    if None in found:
        raise ValueError(f'cannot read {file}: uri_aliases must be written as ["name=uri", ...]')
    return ClientConfig(
        environment.get("LIBVIRT_DEFAULT_URI") or default,
        {alias[1]: alias[2] for alias in found if alias is not None},
    )


def _parse(text: str) -> dict[str, str | list[str]]:
    """Return the settings of a configuration in libvirt's format; raises ValueError."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not understood")
        at = found.end()
        if found.lastgroup:
            kind = "string" if found.lastgroup in ("double", "single") else found.lastgroup
            tokens.append((kind, found[found.lastgroup]))
    settings: dict[str, str | list[str]] = {}
    rest = iter(tokens)
    for _, name in rest:
        if next(rest, None) != ("sign", "="):
            raise ValueError(f'"=" is missing after "{name}"')
        kind, value = next(rest, ("", ""))
        if (kind, value) != ("sign", "["):
            settings[name] = value
            continue
        values = []
        for element in rest:
            if element == ("sign", "]"):
                break
            if element[0] != "sign":
                values.append(element[1])
        settings[name] = values
    return settings
