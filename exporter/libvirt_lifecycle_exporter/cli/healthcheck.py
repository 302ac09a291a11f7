"""Asks a running exporter whether it is well: ``python -m libvirt_lifecycle_exporter.cli.healthcheck [URL]``.

For where there is no curl: the image's HEALTHCHECK, and the chart's probes when ``--web.config.file`` wants
to see a user or a client's certificate, which a kubelet's own probe cannot show.

Law: the standard library only, since this is started every few seconds; one sentence for each address;
exit code 0 if all are well, 1 if one is not, 2 for bad arguments.
"""

import argparse
import base64
import http.client
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_LISTEN = "LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS"
_PORT = "10177"
_SHOWN = 200


_LOOPBACK = {"": "localhost", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - asked, not bound
"""What to ask where the exporter listens on every address."""


def usual_urls() -> list[str]:
    """Return where the exporter of this environment listens."""
    listening = os.environ.get(_LISTEN, "").split() or [f":{_PORT}"]
    found = [address.rpartition(":") for address in listening]
    return [f"http://{_LOOPBACK.get(host, host)}:{port}/-/healthy" for host, _, port in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask; return the exit code."""
    given = parser().parse_args(arguments)
    try:
        answers = [
            _ask(given, url, address)
            for url in ([given.url] if given.url else usual_urls())
            for address in addresses(url, every=given.every_address)
        ]
    except (OSError, ValueError) as error:  # the name, or the files
        print(error, file=sys.stderr)
        return 1
    for well, sentence in answers:
        print(sentence, file=sys.stdout if well else sys.stderr)
    return 0 if all(well for well, _ in answers) else 1


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    made = argparse.ArgumentParser(
        prog="python -m libvirt_lifecycle_exporter.cli.healthcheck",
        description="Ask a running exporter whether it is well. Exit code 0 if it is.",
    )
    usual = ", ".join(usual_urls()).replace("%", "%%")
    made.add_argument("url", nargs="?", type=_url, help=f"default: {usual}, where the exporter listens")
    made.add_argument(
        "--credentials",
        type=Path,
        metavar="FOLDER",
        help="with username and password, tls.crt and tls.key, ca.crt, whichever there are: what to show to "
        "the server, and whom to trust. Without ca.crt any certificate will do, under any name always: those "
        "asked are one's own.",
    )
    made.add_argument("--every-address", action="store_true", help="ask all that the name stands for")
    made.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS")
    return made


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f'"{text}" is no URL; write it as http://localhost:{_PORT}/-/ready')
    return text


def addresses(url: str, *, every: bool) -> list[str]:
    """Return whom to connect to: the name, or else each address that it stands for."""
    parts = urlsplit(url)
    if not every:
        return [parts.hostname or ""]
    found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def _ask(given: argparse.Namespace, url: str, address: str) -> tuple[bool, str]:
    parts = urlsplit(url)
    shown = f"[{address}]" if ":" in address else address
    where = f"{parts.scheme}://{shown}{f':{parts.port}' if parts.port else ''}{parts.path}"
    connection = _connection(parts, address, given.credentials, given.timeout)
    try:
        connection.request("GET", parts.path or "/", headers=_headers(given.credentials))
        answer = connection.getresponse()
        said = " ".join(answer.read(_SHOWN).decode(errors="replace").split())
    except (OSError, http.client.HTTPException) as error:
        return False, f"{where}: {error or type(error).__name__}"
    finally:
        connection.close()
    return answer.status == http.client.OK, f"{where}: {answer.status} {said}"


def _connection(
    parts: SplitResult, address: str, credentials: Path | None, timeout: float
) -> http.client.HTTPConnection:
    if parts.scheme == "http":
        return http.client.HTTPConnection(address, parts.port, timeout=timeout)
    return http.client.HTTPSConnection(address, parts.port, timeout=timeout, context=_trust(credentials))


def _trust(credentials: Path | None) -> ssl.SSLContext:
    # Not create_default_context(): since Python 3.13 it refuses authorities that Prometheus takes.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as kubelets
    if credentials and (credentials / "ca.crt").exists():
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(credentials / "ca.crt")
    if credentials and (credentials / "tls.crt").exists():
        context.load_cert_chain(credentials / "tls.crt", credentials / "tls.key")
    return context


def _headers(credentials: Path | None) -> dict[str, str]:
    if credentials is None or not (credentials / "username").exists():
        return {}
    user, password = ((credentials / name).read_bytes().rstrip(b"\n") for name in ("username", "password"))
    return {"Authorization": f"Basic {base64.b64encode(user + b':' + password).decode()}"}


if __name__ == "__main__":
    sys.exit(main())
