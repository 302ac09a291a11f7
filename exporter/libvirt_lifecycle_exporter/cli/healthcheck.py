"""Health check of a running exporter: ``python -m libvirt_lifecycle_exporter.cli.healthcheck [URL]``.

The container image uses it as HEALTHCHECK (the image has no curl). The Helm chart uses it for its probes if
``--web.config.file`` requires a user or a client certificate, which the probes of a kubelet cannot present.

It writes one line per address. Exit code 0: every address is healthy; 1: one is not; 2: invalid arguments.
Invariant: it imports the standard library only, because it runs every few seconds.
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

_LISTEN_VARIABLE = "LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS"
_PORT = "10177"
_MAX_BODY = 200
"""Bytes of the response that are written."""


_LOOPBACK = {"": "localhost", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - connected to, not bound
"""Address to connect to if the exporter listens on all addresses."""


def default_urls() -> list[str]:
    """Return the URLs of the exporter that listens on the addresses in the environment variable."""
    listening = os.environ.get(_LISTEN_VARIABLE, "").split() or [f":{_PORT}"]
    parts = [address.rpartition(":") for address in listening]
    return [f"http://{_LOOPBACK.get(host, host)}:{port}/-/healthy" for host, _, port in parts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the health check; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        results = [
            _check(options, url, address)
            for url in ([options.url] if options.url else default_urls())
            for address in addresses(url, every=options.every_address)
        ]
    except (
        OSError,
        ValueError,
    ) as error:  # the host name cannot be resolved, or a file of --credentials cannot be read
        print(error, file=sys.stderr)
        return 1
    for is_healthy, line in results:
        print(line, file=sys.stdout if is_healthy else sys.stderr)
    return 0 if all(is_healthy for is_healthy, _ in results) else 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    result = argparse.ArgumentParser(
        prog="python -m libvirt_lifecycle_exporter.cli.healthcheck",
        description="Check that a running exporter is healthy. Exit code 0: healthy; 1: not healthy.",
    )
    default = ", ".join(default_urls()).replace("%", "%%")
    result.add_argument("url", nargs="?", type=_url, help=f"URL to request. Default: {default}")
    result.add_argument(
        "--credentials",
        type=Path,
        metavar="DIRECTORY",
        help="Directory with optional files: username and password (basic authentication), tls.crt and "
        "tls.key (client certificate), ca.crt (trusted CA). Without ca.crt the server certificate is not "
        "verified; its host name is never verified.",
    )
    result.add_argument("--every-address", action="store_true", help="Check every address of the host name.")
    result.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="Time limit of each step. Default: 5",
    )
    return result


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f'invalid URL "{text}": use e.g. http://localhost:{_PORT}/-/ready')
    return text


def addresses(url: str, *, every: bool) -> list[str]:
    """Return the host of a URL, or, with ``every``, all addresses of it. Raises OSError."""
    parts = urlsplit(url)
    if not every:
        return [parts.hostname or ""]
    found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def _check(options: argparse.Namespace, url: str, address: str) -> tuple[bool, str]:
    parts = urlsplit(url)
    shown = f"[{address}]" if ":" in address else address
    where = f"{parts.scheme}://{shown}{f':{parts.port}' if parts.port else ''}{parts.path}"
    connection = _connection(parts, address, options.credentials, options.timeout)
    try:
        connection.request("GET", parts.path or "/", headers=_headers(options.credentials))
        response = connection.getresponse()
        body = " ".join(response.read(_MAX_BODY).decode(errors="replace").split())
    except (OSError, http.client.HTTPException) as error:
        return False, f"{where}: {error or type(error).__name__}"
    finally:
        connection.close()
    return response.status == http.client.OK, f"{where}: {response.status} {body}"


def _connection(
    parts: SplitResult, address: str, credentials: Path | None, timeout: float
) -> http.client.HTTPConnection:
    if parts.scheme == "http":
        return http.client.HTTPConnection(address, parts.port, timeout=timeout)
    return http.client.HTTPSConnection(
        address, parts.port, timeout=timeout, context=_tls_context(credentials)
    )


def _tls_context(credentials: Path | None) -> ssl.SSLContext:
    # Not create_default_context(): since Python 3.13 it rejects CA certificates that Prometheus accepts.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as the probes of a kubelet
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
