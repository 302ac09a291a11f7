"""Table of hints: error of a connection attempt -> what is wrong; what to do.

A row matches by libvirt's error code, error domain and text. The first matching row applies, so specific rows
come first. An error without a matching row has no hint: a wrong hint is worse than none. The texts are those
of libvirt 9.0, OpenSSH 9.2 and polkit 122; the daemon may translate its own texts.
Error codes and domains: https://libvirt.org/html/libvirt-virterror.html
"""

from typing import NamedTuple

import libvirt

_RPC = libvirt.VIR_FROM_RPC
_SSH = (libvirt.VIR_FROM_SSH, libvirt.VIR_FROM_LIBSSH)
_SYSTEM = libvirt.VIR_ERR_SYSTEM_ERROR
_AUTH = libvirt.VIR_ERR_AUTH_FAILED
_INTERNAL = libvirt.VIR_ERR_INTERNAL_ERROR
_CLOSED = (_SYSTEM, _INTERNAL)
"""Error codes for a connection that its peer (or ssh) closed; the text contains ssh's standard error."""


class Rows(NamedTuple):
    """Rows for the same error codes and domains; an empty tuple matches any.

    ``hints``: pattern -> hint. A hint may contain groups of the pattern; its white space is normalized.
    """

    codes: tuple[int, ...]
    domains: tuple[int, ...]
    hints: dict[str, str]


TABLE = (
    Rows(
        (_INTERNAL,),
        (libvirt.VIR_FROM_DBUS,),
        {
            r"unable to get system bus connection": """
                libvirt's daemon uses polkit for authorization, but there is no D-Bus system bus on its
                host; start dbus there, or in the configuration of libvirt's daemon (libvirtd.conf,
                virtqemud.conf) set auth_unix_ro = "none", as in containers (Kolla, OpenStack-Helm), or
                run the exporter as uid 0, for which libvirt does not use polkit""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_DBUS_SERVICE,),
        (libvirt.VIR_FROM_DBUS,),
        {
            r"Action (?P<action>org\.libvirt\.\S+) is not registered": """
                polkit on libvirt's host does not know {action}; install libvirt's polkit policy
                (/usr/share/polkit-1/actions/org.libvirt.unix.policy), or in the configuration of
                libvirt's daemon (libvirtd.conf, virtqemud.conf) set auth_unix_ro = "none", as in
                containers (Kolla, OpenStack-Helm), or run the exporter as uid 0, for which libvirt does
                not use polkit""",
            r"The name org\.freedesktop\.PolicyKit1 was not provided": """
                libvirt's daemon uses polkit for authorization, but polkit is not installed on its host;
                install polkit, or in the configuration of libvirt's daemon (libvirtd.conf,
                virtqemud.conf) set auth_unix_ro = "none", as in containers (Kolla, OpenStack-Helm), or
                run the exporter as uid 0, for which libvirt does not use polkit""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_AUTH_UNAVAILABLE,),
        (libvirt.VIR_FROM_POLKIT,),
        {
            r"no polkit agent available to authenticate action '(?P<action>[^']+)'": """
                polkit requires a password for this user, but the exporter cannot enter one; allow
                {action} for this user in a polkit rule""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_POLKIT,),
        {
            r"access denied by policy": """
                polkit denies access to this user; allow org.libvirt.unix.monitor (read-write:
                org.libvirt.unix.manage) for this user in a polkit rule""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_ACCESS_DENIED,),
        (libvirt.VIR_FROM_ACCESS,),
        {
            r"": """
                libvirt's access control (access_drivers in the daemon's configuration) denies access;
                grant connect.getattr, connect.search-domains and domain.getattr to this user""",
        },
    ),
    Rows(
        (_SYSTEM,),
        (_RPC,),
        {
            r"Cannot read CA certificate '(?P<path>[^']+)': No such file": """
                the CA certificate is missing; copy the one that signed the server's certificate to
                {path}, or name its folder in the URI (pkipath=FOLDER)""",
            r"Cannot read [^']*'(?P<path>[^']+)': Permission denied": """
                this user has no permission to read {path}; change its owner or mode""",
            r"Our own certificate (?P<own>\S+) failed validation against (?P<ca>\S+): .*known issuer": """
                the CA certificate {ca} did not sign the client certificate {own}; replace the file that
                is wrong""",
            r"The (?P<kind>client|CA) certificate (?P<path>\S+) has expired": """
                the local {kind} certificate {path} has expired; renew it""",
        },
    ),
    Rows(
        (_AUTH,),
        (_RPC,),
        {
            r"Failed to verify peer's certificate[^\n]*\n.*does not match the hostname (?P<host>\S+)": """
                the server's certificate is for another name than {host}; use the certificate's name in
                the URI, or add {host} to the certificate's subjectAltName""",
            r"Failed to verify peer's certificate[^\n]*\n.*hasn't got a known issuer": """
                the local CA certificate did not sign the server's certificate; install the server's CA
                certificate as cacert.pem (the folder of pkipath= in the URI, else /etc/pki/CA)""",
            r"Failed to verify peer's certificate[^\n]*\n.*certificate is not trusted": """
                the server's certificate is not valid: it has expired or is not valid yet, or cacert.pem
                is another CA with the same name; check the certificate's dates, the clocks of both hosts,
                and cacert.pem""",
            r"Failed to verify peer's certificate": """
                libvirt's client rejects the server's certificate; check that cacert.pem signed it, that
                it has not expired, and that it names the host of the URI""",
            r"TLS handshake failed A TLS fatal alert has been received": """
                the server rejects the TLS connection, usually because the client certificate is missing
                or not accepted; check clientcert.pem and clientkey.pem, and read the server's log""",
            r"TLS handshake failed An unexpected TLS packet was received": """
                the server does not use TLS on this port; check the port of the URI (libvirt's TLS port is
                16514)""",
            r"authentication failed: authentication failed$": """
                libvirt's daemon rejects the credentials; check user, realm (user@realm) and password in
                auth.conf or in the file of authfile=, and read the daemon's log""",
        },
    ),
    Rows(
        _CLOSED,
        (_RPC,),
        {
            r"Unable to read TLS confirmation": """
                the server closed the connection after the TLS handshake, usually because the client
                certificate is missing, signed by another CA, or not listed in tls_allowed_dn_list; check
                clientcert.pem and clientkey.pem, and read the server's log""",
            r"REMOTE HOST IDENTIFICATION HAS CHANGED": """
                the host's ssh key has changed since it was stored; compare the new key with the host's,
                then replace the old one in the file of known hosts (ssh-keygen -R HOST)""",
            r"Host key verification failed\.": """
                the host's ssh key is not known to this user, and the exporter cannot confirm it; connect
                once with ssh as this user, or add the key to known_hosts""",
            r"ssh: Could not resolve hostname (?P<host>\S+):": """
                the host name {host} cannot be resolved; check the URI, DNS and /etc/hosts""",
            r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): Connection refused": """
                no ssh server accepts connections on {host}, port {port}; check host and port of the URI,
                and that sshd runs there""",
            r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): (.*timed out|No route|Network)": """
                ssh cannot reach {host}, port {port}; check the host, the network and firewalls""",
            r"Identity file (?P<path>.+) not accessible: No such file(.|\n)*Permission denied \(": """
                the key file {path} of the URI (keyfile=) does not exist, and the host accepts no other
                key of this user; correct keyfile= in the URI""",
            r"Permissions \d+ for '(?P<path>[^']+)' are too open": """
                ssh ignores the key file {path} because other users can read it; run chmod 600 {path}""",
            r"Permission denied \([a-z-]+(,[a-z-]+)*\)": """
                the host accepts none of this user's ssh keys; add the public key to authorized_keys of
                the URI's user there, or name the right key in the URI (keyfile=PATH). A key with a
                passphrase requires an ssh agent""",
            r"\bnc: (command )?not found": """
                ssh works, but the host has neither virt-ssh-helper nor nc; install libvirt's
                virt-ssh-helper (or a netcat with the option -U) on the host""",
            r"virt-ssh-helper: .*Failed to connect socket to '(?P<path>[^']+)': (No such|Connection ref)": """
                ssh works, but no libvirt daemon listens on {path} on the host; start libvirtd (or the
                daemon of the URI's driver, such as virtqemud) there""",
            r"virt-ssh-helper: .*Failed to connect socket to '(?P<path>[^']+)': Permission denied": """
                ssh works, but its user has no permission to open {path} on the host; add that user to the
                group of the socket""",
            r"cannot execute binary (?P<path>.+?): No such file": """
                the program {path} does not exist on the exporter's host; install it (Debian:
                openssh-client), or correct command=PATH in the URI""",
        },
    ),
    Rows(
        (_AUTH,),
        _SSH,
        {
            r"SSH HOST KEY VERIFICATION FAILED(.|\n)*The key is stored in '(?P<path>[^']+)'": """
                the host's ssh key differs from the one in {path}; compare the new key with the host's,
                then replace the old one in the file of known hosts""",
            r"error while reading private key '(?P<path>[^']+)'": """
                the key file {path} cannot be read; check that it exists, that this user can read it, and
                that it has no passphrase""",
            r"All provided authentication methods with credentials were rejected": """
                the host accepts none of the ssh keys or passwords offered; add the public key to
                authorized_keys of the URI's user there, or name the right key in the URI (keyfile=PATH)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_SSH, libvirt.VIR_ERR_LIBSSH),
        _SSH,
        {
            r"no suitable callback for host key verification": """
                the host's ssh key is not known, and the exporter cannot confirm it; add it to known_hosts
                (or the file of known_hosts=PATH in the URI)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_NO_CONNECT,),
        _SSH,
        {
            r"SSH session handshake failed": """
                the server on this port is not an ssh server; check host and port of the URI""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_REMOTE,),
        {
            r"Failed to collect auth credentials": """
                libvirt requires user and password (SASL), but none are configured; add them to libvirt's
                auth.conf, or name such a file in the URI (authfile=PATH)""",
        },
    ),
    Rows(
        (_AUTH,),
        (),
        {
            r"SASL\(-4\): no mechanism available": """
                the SASL mechanism that libvirt's daemon requires is not installed on the exporter's host;
                install Cyrus SASL's modules (Debian: libsasl2-modules and libsasl2-modules-gssapi-mit;
                Fedora: cyrus-sasl-scram, cyrus-sasl-gssapi)""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_AUTH,),
        {
            r"(Username|Password) request failed": """
                this driver requires user and password, but none are configured; add them to libvirt's
                auth.conf, or name such a file in the URI (authfile=PATH)""",
        },
    ),
    Rows(
        (_SYSTEM,),
        (_RPC,),
        {
            r"Failed to connect socket to '(?P<path>[^']+)': No such file or directory": """
                the daemon's socket {path} does not exist; check that libvirtd (or the daemon of the URI's
                driver, such as virtqemud) is installed and running on this host, and that the URI is
                right""",
            r"Failed to connect socket to '(?P<path>[^']+)': Connection refused": """
                the socket {path} exists, but no daemon listens on it; start libvirtd (or the daemon of
                the URI's driver, such as virtqemud)""",
            r"Failed to connect socket to '(?P<path>[^']+)': Permission denied": """
                this user has no permission to open the socket {path}; add the user to the group that owns
                it (usermod -aG GROUP USER), or set unix_sock_group and unix_sock_ro_perms in the daemon's
                configuration""",
            r"unable to connect to server at '(?P<peer>[^']+)': Connection refused": """
                nothing accepts connections at {peer}; check host and port of the URI, that the service of
                the URI's transport listens there (libvirtd-tls.socket, virtproxyd-tls.socket, sshd ...),
                and firewalls""",
            r"unable to connect to server at '(?P<peer>[^']+)': (.*timed out|No route|Network)": """
                {peer} cannot be reached; check the host, the network and firewalls""",
            r"Unable to resolve address '(?P<host>[^']+)'": """
                the host name {host} cannot be resolved; check the URI, DNS and /etc/hosts""",
        },
    ),
    Rows(
        (),
        (),
        {
            r"failed to find (?P<kind>user|group) record": """
                the {kind} of the exporter does not exist on libvirt's host, and libvirt refuses it; in a
                container, run as a user and group that exist on the host (nobody, 65534, exists on most
                hosts)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_INVALID_ARG,),
        (libvirt.VIR_FROM_REMOTE,),
        {
            r"transport in URL not recognised": """
                libvirt does not support the transport (the part of the URI after the plus sign); correct
                the URI""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_NO_CONNECT,),
        (),
        {
            r"no connection driver available for (?P<uri>\S+)": """
                libvirt has no driver for {uri}; check the URI, and that the daemon supports this driver
                (libvirtd supports several, virtqemud only QEMU)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_OPERATION_DENIED,),
        (),
        {
            r"read only access prevents (?P<call>\w+)": """
                libvirt allows {call} on read-write connections only; open the connection read-write""",
        },
    ),
)
