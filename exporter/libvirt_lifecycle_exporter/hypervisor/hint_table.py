"""Table of hints: the error of a connection attempt -> what is wrong and what to do.

A row matches by libvirt's error code, its error domain and the text. The first row that matches wins, so
specific rows come first. Without a matching row there is no hint: a wrong hint is worse than none. The texts
are those of libvirt 9.0, OpenSSH 9.2 and polkit 122; the daemon may translate its own texts.
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
"""Codes of a connection that its peer (or ssh) closed; the text holds what ssh wrote to standard error."""


class Rows(NamedTuple):
    """Rows for the same errors: empty ``codes`` or ``domains`` match any.

    ``hints``: pattern -> hint, which may name groups of the pattern; white space in it does not count.
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
                libvirt's daemon asks polkit for permission, and finds no D-Bus system bus where it runs;
                start dbus there, or in the configuration of libvirt's daemon (libvirtd.conf,
                virtqemud.conf) set auth_unix_ro = "none", as in containers (Kolla, OpenStack-Helm), or
                run the exporter as uid 0, which libvirt does not ask polkit about""",
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
                containers (Kolla, OpenStack-Helm), or run the exporter as uid 0, which libvirt does not
                ask polkit about""",
            r"The name org\.freedesktop\.PolicyKit1 was not provided": """
                libvirt's daemon asks polkit for permission, and polkit is missing there; install polkit,
                or in the configuration of libvirt's daemon (libvirtd.conf, virtqemud.conf) set
                auth_unix_ro = "none", as in containers (Kolla, OpenStack-Helm), or run the exporter as
                uid 0, which libvirt does not ask polkit about""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_AUTH_UNAVAILABLE,),
        (libvirt.VIR_FROM_POLKIT,),
        {
            r"no polkit agent available to authenticate action '(?P<action>[^']+)'": """
                polkit wants a password from this user, and the exporter never prompts; allow {action} for
                this user in a polkit rule""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_POLKIT,),
        {
            r"access denied by policy": """
                polkit refuses this user; allow org.libvirt.unix.monitor (read-write:
                org.libvirt.unix.manage) for this user in a polkit rule""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_ACCESS_DENIED,),
        (libvirt.VIR_FROM_ACCESS,),
        {
            r"": """
                libvirt's access control (access_drivers in the daemon's configuration) denies it; grant
                connect.getattr, connect.search-domains and domain.getattr to this user""",
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
                this user may not read {path}; change its owner or mode""",
            r"Our own certificate (?P<own>\S+) failed validation against (?P<ca>\S+): .*known issuer": """
                the CA certificate {ca} did not sign the client certificate {own}; one of the two files is
                the wrong one""",
            r"The (?P<kind>client|CA) certificate (?P<path>\S+) has expired": """
                the {kind} certificate of this side, {path}, has expired; renew it""",
        },
    ),
    Rows(
        (_AUTH,),
        (_RPC,),
        {
            r"Failed to verify peer's certificate[^\n]*\n.*does not match the hostname (?P<host>\S+)": """
                the server's certificate is for another name than {host}; use the name in the certificate
                in the URI, or add {host} to the certificate's subjectAltName""",
            r"Failed to verify peer's certificate[^\n]*\n.*hasn't got a known issuer": """
                the CA certificate of this side did not sign the server's certificate; install the
                server's CA certificate as cacert.pem (the folder of pkipath= in the URI, else
                /etc/pki/CA)""",
            r"Failed to verify peer's certificate[^\n]*\n.*certificate is not trusted": """
                the server's certificate is not valid: it has expired or is not valid yet (check
                its dates and the clocks of both hosts), or cacert.pem is another CA of the same name""",
            r"Failed to verify peer's certificate": """
                this side rejects the server's certificate; check that cacert.pem signed it, that it has
                not expired, and that it names the host of the URI""",
            r"TLS handshake failed A TLS fatal alert has been received": """
                the server refuses the TLS connection; most often it rejects the client certificate, or
                none is installed (clientcert.pem, clientkey.pem). The server's log has the reason""",
            r"TLS handshake failed An unexpected TLS packet was received": """
                the server does not speak TLS on this port; check the port of the URI (libvirt's TLS port
                is 16514)""",
            r"authentication failed: authentication failed$": """
                libvirt's daemon rejects the credentials; check user, realm (user@realm) and password in
                auth.conf or in the file of authfile=. The daemon's log has the reason""",
        },
    ),
    Rows(
        _CLOSED,
        (_RPC,),
        {
            r"Unable to read TLS confirmation": """
                the server closed the connection after the TLS handshake; most often it rejects the client
                certificate: none is installed (clientcert.pem, clientkey.pem), another CA signed it, or
                tls_allowed_dn_list does not hold its name. The server's log has the reason""",
            r"REMOTE HOST IDENTIFICATION HAS CHANGED": """
                the host's ssh key has changed since it was stored; compare the new key with the host's,
                then replace the old one in the file of known hosts (ssh-keygen -R HOST)""",
            r"Host key verification failed\.": """
                the host's ssh key is not known to this user, and the exporter never prompts; connect once
                with ssh as this user, or add the key to known_hosts""",
            r"ssh: Could not resolve hostname (?P<host>\S+):": """
                no address is known for the host name {host}; check the URI, DNS and /etc/hosts""",
            r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): Connection refused": """
                no ssh server accepts connections on {host}, port {port}; check host and port of the URI,
                and that sshd runs there""",
            r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): (.*timed out|No route|Network)": """
                {host}, port {port}, cannot be reached by ssh; check the host, the network between, and
                firewalls""",
            r"Identity file (?P<path>.+) not accessible: No such file(.|\n)*Permission denied \(": """
                the key file {path} of the URI (keyfile=) does not exist, and ssh found no other key that
                the host accepts""",
            r"Permissions \d+ for '(?P<path>[^']+)' are too open": """
                ssh ignores the key file {path}, because others may read it; chmod 600 {path}""",
            r"Permission denied \([a-z-]+(,[a-z-]+)*\)": """
                the host accepts none of this user's ssh keys; add the public key to authorized_keys of
                the URI's user there, or name the right key in the URI (keyfile=PATH). A key with a
                passphrase needs an ssh agent""",
            r"\bnc: (command )?not found": """
                ssh works, but the host has neither virt-ssh-helper nor nc; install libvirt's
                virt-ssh-helper there (or netcat with -U)""",
            r"virt-ssh-helper: .*Failed to connect socket to '(?P<path>[^']+)': (No such|Connection ref)": """
                ssh works, but no libvirt daemon listens on {path} there; start libvirtd (or the daemon of
                the URI's driver, such as virtqemud) on that host""",
            r"virt-ssh-helper: .*Failed to connect socket to '(?P<path>[^']+)': Permission denied": """
                ssh works, but its user may not open {path} there; add that user to the group of the
                socket""",
            r"cannot execute binary (?P<path>.+?): No such file": """
                the program {path} does not exist on this side; install it (Debian: openssh-client), or
                correct command=PATH in the URI""",
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
                the key file {path} cannot be read; check that it exists, that this user may read it, and
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
                the host's ssh key is not known, and the exporter never prompts; add it to known_hosts (or
                the file of known_hosts=PATH in the URI)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_NO_CONNECT,),
        _SSH,
        {
            r"SSH session handshake failed": """
                the port answers but not as an ssh server does; check host and port of the URI""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_REMOTE,),
        {
            r"Failed to collect auth credentials": """
                libvirt asks for user and password (SASL), and none are configured; put them into
                libvirt's auth.conf, or name such a file in the URI (authfile=PATH)""",
        },
    ),
    Rows(
        (_AUTH,),
        (),
        {
            r"SASL\(-4\): no mechanism available": """
                this side lacks the SASL mechanism that libvirt asks for; install Cyrus SASL's modules
                (Debian: libsasl2-modules and libsasl2-modules-gssapi-mit; Fedora: cyrus-sasl-scram,
                cyrus-sasl-gssapi)""",
        },
    ),
    Rows(
        (_AUTH,),
        (libvirt.VIR_FROM_AUTH,),
        {
            r"(Username|Password) request failed": """
                this driver asks for user and password, and none are configured; put them into libvirt's
                auth.conf, or name such a file in the URI (authfile=PATH)""",
        },
    ),
    Rows(
        (_SYSTEM,),
        (_RPC,),
        {
            r"Failed to connect socket to '(?P<path>[^']+)': No such file or directory": """
                the daemon's socket is not there ({path}); check that libvirtd (or the daemon of the URI's
                driver, such as virtqemud) is installed and running on this host, and that the URI is
                right""",
            r"Failed to connect socket to '(?P<path>[^']+)': Connection refused": """
                the socket {path} exists, but no daemon listens on it; start libvirtd (or the daemon of
                the URI's driver, such as virtqemud)""",
            r"Failed to connect socket to '(?P<path>[^']+)': Permission denied": """
                this user may not open the socket {path}; add the user to the group that owns it (usermod
                -aG GROUP USER), or set unix_sock_group and unix_sock_ro_perms in the daemon's
                configuration""",
            r"unable to connect to server at '(?P<peer>[^']+)': Connection refused": """
                nothing accepts connections at {peer}; check host and port of the URI, that the service of
                the URI's transport listens there (libvirtd-tls.socket, virtproxyd-tls.socket, sshd ...),
                and firewalls""",
            r"unable to connect to server at '(?P<peer>[^']+)': (.*timed out|No route|Network)": """
                {peer} cannot be reached; check the host, the network between, and firewalls""",
            r"Unable to resolve address '(?P<host>[^']+)'": """
                no address is known for the host name {host}; check the URI, DNS and /etc/hosts""",
        },
    ),
    Rows(
        (),
        (),
        {
            r"failed to find (?P<kind>user|group) record": """
                libvirt's host does not know this {kind} by name, and refuses it; in a container, run as a
                user and group that the host knows (nobody, 65534, is known to most)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_INVALID_ARG,),
        (libvirt.VIR_FROM_REMOTE,),
        {
            r"transport in URL not recognised": """
                the transport (the part of the URI after the plus sign) is none of libvirt's; correct the
                URI""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_NO_CONNECT,),
        (),
        {
            r"no connection driver available for (?P<uri>\S+)": """
                libvirt has no driver for {uri}; check the URI, and that the daemon that answers has this
                driver (libvirtd has several, virtqemud only QEMU's)""",
        },
    ),
    Rows(
        (libvirt.VIR_ERR_OPERATION_DENIED,),
        (),
        {
            r"read only access prevents (?P<call>\w+)": """
                libvirt allows {call} over read-write connections only""",
        },
    ),
)
