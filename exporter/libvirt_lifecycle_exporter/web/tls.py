"""``tls_server_config`` as an ``ssl.SSLContext``, and the check of client certificates.

Invariants: a setting that cannot be honoured is refused with ``WebConfigError`` (one sentence). A private key
that is given in the configuration text is never written to a disk.
"""

import ipaddress
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from libvirt_lifecycle_exporter.web import tls_names
from libvirt_lifecycle_exporter.web.config import TlsConfig
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.tls_alerts import AlertSendingContext


def build_context(tls: TlsConfig) -> ssl.SSLContext:
    """Build the server's context; reads the files. Raises ``WebConfigError``."""
    context = AlertSendingContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, tls)
    _set_versions(context, tls)
    _set_ciphers(context, tls)
    _set_curves(context, tls.curve_preferences)
    _set_client_verification(context, tls)
    return context


def is_allowed(tls: TlsConfig, certificate: Mapping[str, Any] | None) -> bool:
    """Return whether ``client_allowed_sans`` allows a client with this certificate.

    ``certificate``: as ``ssl.SSLSocket.getpeercert`` returns it, verified by ssl; None: the client sent none.
    """
    if not tls.client_allowed_sans:
        return True
    return bool(set(tls.client_allowed_sans) & set(_subject_alternative_names(certificate or {})))


def _subject_alternative_names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names as Go's crypto/x509 formats them."""
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            # OpenSSL formats an address of a wrong length as "<invalid>": it matches nothing.
            with suppress(ValueError):
                yield str(ipaddress.ip_address(name.strip()))


def _load_certificate(context: ssl.SSLContext, tls: TlsConfig) -> None:
    with _as_path(tls.cert_file, tls.cert) as certificate, _as_path(tls.key_file, tls.key) as key:
        _check_readable("cert_file", tls.cert_file, certificate)
        _check_readable("key_file", tls.key_file, key)
        try:
            # Without a password callback, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                raise WebConfigError(
                    "tls_server_config: the key does not belong to the certificate"
                ) from None
            raise WebConfigError(
                "tls_server_config: cannot load certificate and key; both must be PEM, the key without a "
                f"password{_format_reason(error)}"
            ) from None


def _set_versions(context: ssl.SSLContext, tls: TlsConfig) -> None:
    context.minimum_version = tls_names.VERSIONS[tls.min_version]
    context.maximum_version = tls_names.VERSIONS[tls.max_version]


def _set_ciphers(context: ssl.SSLContext, tls: TlsConfig) -> None:
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    ciphers = [tls_names.CIPHERS[name] for name in tls.cipher_suites if name in tls_names.CIPHERS]
    if ciphers:
        try:
            context.set_ciphers(":".join(ciphers))
        except ssl.SSLError:
            raise WebConfigError("tls_server_config: OpenSSL supports none of the cipher_suites") from None
    elif tls.cipher_suites:
        # Suites of TLS 1.3 only.
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _set_curves(context: ssl.SSLContext, curves: Sequence[str]) -> None:
    if not curves or set(curves) == set(tls_names.CURVES):
        # OpenSSL offers all of them by default.
        return
    groups = [tls_names.CURVES[curve] for curve in curves]
    try:
        if len(groups) == 1:
            context.set_ecdh_curve(groups[0])
        elif hasattr(context, "set_groups"):
            context.set_groups(":".join(groups))
        else:
            raise WebConfigError(
                "tls_server_config: curve_preferences: two or three curves need Python 3.15; "
                "list one, or all four"
            )
    except ssl.SSLError as error:
        raise WebConfigError(
            f"tls_server_config: OpenSSL does not support these curve_preferences{_format_reason(error)}"
        ) from None


def _set_client_verification(context: ssl.SSLContext, tls: TlsConfig) -> None:
    context.verify_mode = tls_names.CLIENT_AUTH[tls.client_auth_type]
    if context.verify_mode is ssl.CERT_NONE:
        return
    # As in Go: each certificate of client_ca_file is trusted, also one that is not a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.client_ca_file is None and not tls.client_ca:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    with _as_path(tls.client_ca_file, tls.client_ca) as file:
        _check_readable("client_ca_file", tls.client_ca_file, file)
        try:
            context.load_verify_locations(file)
        except (ssl.SSLError, OSError) as error:
            raise WebConfigError(
                f"tls_server_config: client_ca_file contains no certificates{_format_reason(error)}"
            ) from None


@contextmanager
def _as_path(file: Path | None, text: str) -> Iterator[str]:
    """Yield the file's path, or that of a file in memory with ``text``: ssl loads keys from paths only."""
    if file is not None:
        yield str(file)
        return
    descriptor = os.memfd_create("web-config")
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _check_readable(key: str, file: Path | None, path: str) -> None:
    """Raise ``WebConfigError`` with the file's name if it cannot be opened; ssl's error does not name it."""
    try:
        with open(path, "rb"):  # noqa: PTH123 - may be one in memory
            return
    except OSError as error:
        raise WebConfigError(f"tls_server_config: {key} ({file}): {(error.strerror or '').lower()}") from None


def _format_reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return f" ({reason})" if reason else ""
