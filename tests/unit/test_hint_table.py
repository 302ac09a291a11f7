"""Every row of the table of hints, with errors recorded from libvirt 9.0, OpenSSH 9.2 and polkit 122.

The rows named "source" were not recorded: their texts are not verified against libvirt or OpenSSH.
"""

import re

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.errors import hint_for
from libvirt_lifecycle_exporter.hypervisor.hint_table import TABLE

CLOSED = (38, 7)
SSH = "Cannot recv data: {}: Connection reset by peer"
PEER = "authentication failed: Failed to verify peer's certificate"
INVALID = "Certificate failed validation: "
DBUS = "error from service: GDBus.Error:org.freedesktop."
SOCKET = "Failed to connect socket to '/run/libvirt/libvirt-sock-ro': "
CHANGED = (
    "authentication failed: !!! SSH HOST KEY VERIFICATION FAILED !!!: Identity of"
    " host 'localhost:10400' differs"
    " from stored identity. Please verify the new host key '5f:70' to avoid possible"
    " man in the middle attack."
    " The key is stored in '/root/known'."
)
UNREADABLE_KEY = "authentication failed: error while reading private key '/k'"
REJECTED_KEYS = (
    "authentication failed: All provided authentication methods with credentials were rejected by the server"
)

# name: ((error code, error domain), text, reason in libvirt's log, part of the hint)
RECORDED: dict[str, tuple[tuple[int, int], str, str, str]] = {
    "no system bus": (
        (1, 47),
        "internal error: Unable to get system bus connection: Could not connect: No such file or directory",
        "",
        'auth_unix_ro = "none"',
    ),
    "stale system bus": (
        (1, 47),
        "internal error: Unable to get system bus connection: Could not connect: Connection refused",
        "",
        "no D-Bus system bus",
    ),
    "no polkit": (
        (89, 47),
        (
            f"{DBUS}DBus.Error.ServiceUnknown: The name org.freedesktop.PolicyKit1 was not"
            " provided by any .service"
            " files"
        ),
        "",
        "polkit is not installed on its host",
    ),
    "action not registered": (
        (89, 47),
        f"{DBUS}PolicyKit1.Error.Failed: Action org.libvirt.unix.monitor is not registered",
        "",
        "does not know org.libvirt.unix.monitor; install libvirt's polkit policy",
    ),
    "no polkit agent": (
        (94, 60),
        (
            "authentication unavailable: no polkit agent available to authenticate action"
            " 'org.libvirt.unix.monitor'"
        ),
        "",
        "allow org.libvirt.unix.monitor for this user",
    ),
    "polkit denies access": (
        (45, 60),
        "authentication failed: access denied by policy",
        "",
        "polkit denies access",
    ),
    "access control": ((88, 55), "access denied: 'QEMU' denied access", "", "connect.getattr"),
    "no CA certificate": (
        CLOSED,
        "Cannot read CA certificate '/p/cacert.pem': No such file or directory",
        "",
        "CA certificate is missing; copy the one that signed the server's certificate to /p/cacert.pem",
    ),
    "unreadable certificate (source)": (
        CLOSED,
        "Cannot read CA certificate '/p/cacert.pem': Permission denied",
        "",
        "no permission to read /p/cacert.pem",
    ),
    "own certificate of another CA": (
        CLOSED,
        (
            "Our own certificate /p/clientcert.pem failed validation against /p/cacert.pem:"
            " The certificate hasn't"
            " got a known issuer."
        ),
        "",
        "/p/cacert.pem did not sign the client certificate /p/clientcert.pem",
    ),
    "own certificate expired": (
        CLOSED,
        "The client certificate /p/c.pem has expired",
        "",
        "/p/c.pem has expired",
    ),
    "unknown issuer": ((45, 7), PEER, f"{INVALID}The certificate hasn't got a known issuer.", "did not sign"),
    "peer expired": ((45, 7), PEER, f"{INVALID}The certificate is not trusted.", "has expired or is not"),
    "peer of another name": (
        (45, 7),
        PEER,
        "Certificate [session] owner does not match the hostname h1",
        "another name than h1",
    ),
    "peer rejected": ((45, 7), PEER, "", "rejects the server's certificate"),
    "TLS alert": (
        (45, 7),
        "authentication failed: TLS handshake failed A TLS fatal alert has been received.",
        "",
        "rejects the TLS connection",
    ),
    "no TLS on the port": (
        (45, 7),
        "authentication failed: TLS handshake failed An unexpected TLS packet was received.",
        "",
        "does not use TLS",
    ),
    "client certificate rejected": (
        CLOSED,
        "Unable to read TLS confirmation: Input/output error",
        "",
        "tls_allowed_dn_list",
    ),
    "ssh host key changed": (
        CLOSED,
        SSH.format("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed."),
        "",
        "has changed since it was stored",
    ),
    "ssh host key unknown": (
        CLOSED,
        SSH.format("Host key verification failed."),
        "",
        "not known to this user",
    ),
    "ssh unknown host": (
        CLOSED,
        SSH.format("ssh: Could not resolve hostname h1: Name or service not known"),
        "",
        "the host name h1 cannot be resolved",
    ),
    "ssh refused port": (
        CLOSED,
        SSH.format("ssh: connect to host h1 port 23: Connection refused"),
        "",
        "no ssh server accepts connections on h1, port 23",
    ),
    "ssh refused port and missing key": (
        CLOSED,
        SSH.format(
            "Warning: Identity file /k not accessible: No such file or directory.\n"
            "ssh: connect to host h1 port 23: Connection refused"
        ),
        "",
        "no ssh server accepts connections on h1, port 23",
    ),
    "ssh no route (source)": (
        CLOSED,
        SSH.format("ssh: connect to host h1 port 22: No route to host"),
        "",
        "ssh cannot reach h1, port 22",
    ),
    "ssh missing key": (
        CLOSED,
        SSH.format(
            "Warning: Identity file /my key not accessible: No such file or directory.\n"
            "u@h1: Permission denied (publickey)."
        ),
        "",
        "the key file /my key of the URI (keyfile=) does not exist",
    ),
    "ssh open key (source)": (
        CLOSED,
        SSH.format("Permissions 0644 for '/k' are too open.\nu@h1: Permission denied (publickey)."),
        "",
        "chmod 600 /k",
    ),
    "ssh wrong key": (
        CLOSED,
        SSH.format("u@h1: Permission denied (publickey,password)."),
        "",
        "accepts none of this user's ssh keys",
    ),
    "ssh no proxy": (CLOSED, SSH.format("sh: 1: nc: not found"), "", "neither virt-ssh-helper nor nc"),
    "ssh no daemon": (
        CLOSED,
        SSH.format(
            f"virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock-ro': {SOCKET}No"
            " such file or directory"
        ),
        "",
        "ssh works, but no libvirt daemon listens on /run/libvirt/libvirt-sock-ro",
    ),
    "ssh no permission (source)": (
        CLOSED,
        SSH.format(
            f"virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock-ro': {SOCKET}Permission denied"
        ),
        "",
        "ssh works, but its user has no permission to open",
    ),
    "ssh not installed": (
        CLOSED,
        SSH.format("libvirt:  error : cannot execute binary /usr/bin/ssh: No such file or directory"),
        "",
        "/usr/bin/ssh does not exist on the exporter's host",
    ),
    "libssh host key changed": ((45, 66), CHANGED, "", "differs from the one in /root/known"),
    "libssh2 host key changed": ((45, 50), CHANGED, "", "differs from the one in /root/known"),
    "libssh host key unknown": (
        (98, 66),
        "libssh transport error: no suitable callback for host key verification",
        "",
        "known_hosts=PATH",
    ),
    "libssh2 host key unknown": (
        (85, 50),
        "SSH transport error: no suitable callback for host key verification",
        "",
        "known_hosts=PATH",
    ),
    "libssh missing key": ((45, 66), UNREADABLE_KEY, "", "key file /k cannot be read"),
    "libssh wrong key": ((45, 66), REJECTED_KEYS, "", "accepts none"),
    "libssh no ssh server": (
        (5, 66),
        (
            "no connection driver available for SSH session handshake failed: Socket error:"
            " Connection reset by peer"
        ),
        "",
        "is not an ssh server",
    ),
    "SASL without credentials": (
        (45, 13),
        "authentication failed: Failed to collect auth credentials",
        "",
        "authfile=PATH",
    ),
    "SASL wrong password": ((45, 7), "authentication failed: authentication failed", "", "user@realm"),
    "SASL mechanism missing (source)": (
        (45, 7),
        (
            "authentication failed: Failed to start SASL negotiation: -4 (SASL(-4): no mechanism available:"
            " No worthy mechs found)"
        ),
        "",
        "libsasl2-modules",
    ),
    "ESX without credentials": ((45, 46), "authentication failed: Password request failed", "", "auth.conf"),
    "socket missing": (CLOSED, f"{SOCKET}No such file or directory", "", "libvirt-sock-ro does not exist"),
    "socket without daemon": (CLOSED, f"{SOCKET}Connection refused", "", "no daemon listens on it"),
    "socket denied": (
        CLOSED,
        f"{SOCKET}Permission denied",
        "",
        "no permission to open the socket /run/libvirt/libvirt",
    ),
    "port refused": (
        CLOSED,
        "unable to connect to server at 'h1:16514': Connection refused",
        "",
        "nothing accepts connections at h1:16514",
    ),
    "no route (source)": (
        CLOSED,
        "unable to connect to server at 'h1:16514': No route to host",
        "",
        "h1:16514 cannot be reached",
    ),
    "unknown host": (
        CLOSED,
        "Unable to resolve address 'h1' service '16514': Name or service not known",
        "",
        "the host name h1 cannot be resolved",
    ),
    "unknown user": (
        (38, 0),
        "Failed to find user record for uid '65532'",
        "",
        "the user of the exporter does not exist",
    ),
    "unknown group": (
        (38, 0),
        "Failed to find group record for gid '65532'",
        "",
        "the group of the exporter does not exist",
    ),
    "unknown transport": (
        (8, 13),
        "invalid argument: remote_open: transport in URL not recognised (should be tls|unix|ssh)",
        "",
        "does not support the transport",
    ),
    "unknown driver": (
        (5, 0),
        "no connection driver available for nosuch:///x",
        "",
        "driver for nosuch:///x",
    ),
    "read-only": (
        (29, 20),
        "operation forbidden: read only access prevents virDomainCreateXML",
        "",
        "virDomainCreateXML on read-write connections only",
    ),
}

# Errors without a row: nothing certain is known about their cause.
UNKNOWN = [
    ((1, 0), "An error occurred, but the cause is unknown"),
    ((38, 7), "Cannot recv data: : Connection reset by peer"),
    ((38, 7), "Cannot recv data: motd: no such file or directory: Connection reset by peer"),
    ((38, 10), "cannot open /var/lib/x: Permission denied"),
    ((45, 7), "authentication failed: unsupported authentication type 3"),
    ((1, 10), "internal error: unexpected QEMU URI path '/nosuch', try qemu:///system"),
]


def raised(kind: tuple[int, int], text: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError(text)
    error.err = (*kind, text, 2, None, None, None, -1, -1)
    return error


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_error_has_its_hint(name: str) -> None:
    kind, text, reason, part = RECORDED[name]
    assert part in hint_for(raised(kind, text), reason)


def test_every_row_has_a_recorded_error() -> None:
    texts = [f"{text}\n{reason}" for _, text, reason, _ in RECORDED.values()]
    patterns = [pattern for rows in TABLE for pattern in rows.hints]
    assert [p for p in patterns if not any(re.search(p, text, re.IGNORECASE) for text in texts)] == []


@pytest.mark.parametrize(("kind", "text"), UNKNOWN)
def test_unknown_error_has_no_hint(kind: tuple[int, int], text: str) -> None:
    assert hint_for(raised(kind, text)) == ""


def test_text_of_another_error_domain_has_no_hint() -> None:
    assert hint_for(raised((45, 20), "authentication failed: access denied by policy")) == ""


def test_timeout_names_max_clients() -> None:
    assert "max_clients" in hint_for(TimeoutError("no answer within 15 s"))


def test_error_of_the_connection_itself_has_no_hint() -> None:
    assert hint_for(ConnectionError("the peer accepts connections and closes them at once")) == ""
