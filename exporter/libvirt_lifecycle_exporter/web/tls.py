"""``tls_server_config`` -> Python's ssl: the context that new connections get, and who may come in by it.

Law: what cannot be honoured is refused in one sentence (``WebConfigError``). No private key touches a disk
that was not on one before.
"""

import ipaddress
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from libvirt_lifecycle_exporter.web import tls_names as names
from libvirt_lifecycle_exporter.web.config import Tls
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.tls_alerts import TalkingContext


def context(tls: Tls) -> ssl.SSLContext:
    """Build it; reads the files."""
    made = TalkingContext(ssl.PROTOCOL_TLS_SERVER)
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    _identify(made, tls)
    _set_versions(made, tls)
    _set_ciphers(made, tls)
    _set_curves(made, tls.curve_preferences)
    _trust(made, tls)
    return made


def is_allowed(tls: Tls, certificate: Mapping[str, Any] | None) -> bool:
    """Tell whether a client comes in by its (verified) certificate; ``ssl`` has checked all but its names."""
    if not tls.client_allowed_sans:
        return True
    return bool(set(tls.client_allowed_sans) & set(_names(certificate or {})))


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """List the subject alternative names, spelled as Go spells them."""
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            # One that is none is nobody's.
            with suppress(ValueError):
                yield str(ipaddress.ip_address(name.strip()))


def _identify(made: ssl.SSLContext, tls: Tls) -> None:
    with _readable(tls.cert_file, tls.cert) as certificate, _readable(tls.key_file, tls.key) as key:
        for what, path in (("cert_file", certificate), ("key_file", key)):
            _open(what, tls.cert_file if what == "cert_file" else tls.key_file, path)
        try:
            # Without a password of its own, OpenSSL would ask the terminal for one.
            made.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                raise WebConfigError(
                    "tls_server_config: the key does not belong to the certificate"
                ) from None
            raise WebConfigError(
                "tls_server_config: certificate and key cannot be used: they must be PEM, the key without "
                f"password{_reason(error)}"
            ) from None


def _set_versions(made: ssl.SSLContext, tls: Tls) -> None:
    made.minimum_version = names.VERSIONS[tls.min_version]
    made.maximum_version = names.VERSIONS[tls.max_version]


def _set_ciphers(made: ssl.SSLContext, tls: Tls) -> None:
    if tls.prefer_server_cipher_suites:
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    wanted = [names.CIPHERS[name] for name in tls.cipher_suites if name in names.CIPHERS]
    if wanted:
        try:
            made.set_ciphers(":".join(wanted))
        except ssl.SSLError:
            raise WebConfigError("tls_server_config: this OpenSSL has none of the cipher_suites") from None
    elif tls.cipher_suites:
        made.minimum_version = ssl.TLSVersion.TLSv1_3


def _set_curves(made: ssl.SSLContext, curves: Sequence[str]) -> None:
    if not curves:
        return
    if set(curves) == set(names.CURVES):
        # All that the format knows are on without being asked for.
        return
    found = [names.CURVES[curve] for curve in curves]
    try:
        if len(found) == 1:
            made.set_ecdh_curve(found[0])
        elif hasattr(made, "set_groups"):
            made.set_groups(":".join(found))
        else:
            raise WebConfigError(
                "tls_server_config: curve_preferences: some of the curves need Python 3.15; name one, or all"
            )
    except ssl.SSLError as error:
        raise WebConfigError(f"tls_server_config: curve_preferences cannot be had{_reason(error)}") from None


def _trust(made: ssl.SSLContext, tls: Tls) -> None:
    made.verify_mode = names.CLIENT_AUTH[tls.client_auth_type]
    if made.verify_mode is ssl.CERT_NONE:
        return
    # As in Go: what is named is trusted, be it a root or not.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.client_ca_file is None and not tls.client_ca:
        made.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    with _readable(tls.client_ca_file, tls.client_ca) as file:
        _open("client_ca_file", tls.client_ca_file, file)
        try:
            made.load_verify_locations(file)
        except (ssl.SSLError, OSError) as error:
            raise WebConfigError(
                f"tls_server_config: there are no certificates in the client CAs{_reason(error)}"
            ) from None


@contextmanager
def _readable(file: Path | None, text: str) -> Iterator[str]:
    """Give a file; for what stands in the configuration itself one in memory, since ssl reads only files."""
    if file is not None:
        yield str(file)
        return
    memory = os.memfd_create("web-config")
    try:
        os.write(memory, text.encode())
        yield f"/proc/self/fd/{memory}"
    finally:
        os.close(memory)


def _open(key: str, file: Path | None, path: str) -> None:
    """Say which file it is that cannot be read; ssl would not."""
    try:
        with open(path, "rb"):  # noqa: PTH123 - may be one in memory
            return
    except OSError as error:
        raise WebConfigError(f"tls_server_config: {key} ({file}): {(error.strerror or '').lower()}") from None


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return f" ({reason})" if reason else ""
