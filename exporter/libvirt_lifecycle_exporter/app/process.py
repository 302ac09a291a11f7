"""The process of the exporter: signals, sockets, systemd, from start to stop."""

import faulthandler
import logging
import os
import signal
import socket
from collections.abc import Callable

from libvirt_lifecycle_exporter.app.application import App
from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.runtime import heap
from libvirt_lifecycle_exporter.runtime.socket_activation import activated_sockets
from libvirt_lifecycle_exporter.runtime.systemd import NotifySocket, StatusNotifier
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.server import bind

log = logging.getLogger(__name__)


def run(
    settings: Settings, *, on_start: Callable[[ThreadRegistry], Callable[[], None]] | None = None
) -> None:
    """Run the exporter until SIGTERM or SIGINT; SIGHUP reloads the web configuration.

    ``on_start`` is called once it serves, with the thread registry; it returns what to call before it stops.
    It starts a demonstration, which ends with its terminal (SIGHUP).
    Raises OSError where an address cannot be listened on, ``WebConfigError`` for a bad web configuration.
    """
    heap.limit()
    access = AccessControl(settings.web_config_file, threads=ThreadRegistry())
    sockets = _sockets(settings)
    app = App(settings, sockets, access)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, app.ask_to_stop)
    if on_start is None:
        signal.signal(signal.SIGHUP, app.ask_to_reload)
    notifier = StatusNotifier(
        NotifySocket(os.environ, pid=os.getpid()),
        event_loop_age=LOOP.heartbeat_age,
        unhealthy_reason=app.unhealthy_reason,
        status=app.status,
        threads=app.threads,
    )
    # systemd's watchdog ends a process by SIGABRT; this writes the stack of each thread to the log.
    faulthandler.enable()
    app.start()
    passed = [f"systemd's socket {bound.getsockname()}" for bound in sockets]
    for address in passed if settings.web_systemd_socket else settings.listen_addresses:
        log.info("listening", extra={"address": address})
    notifier.start()
    on_stop = on_start(app.threads) if on_start else lambda: None
    app.wait()
    log.info("stopping")
    notifier.stop()
    on_stop()
    app.stop()


def _sockets(settings: Settings) -> list[socket.socket]:
    """Bind the addresses, or take the sockets that systemd passed."""
    if settings.web_systemd_socket:
        return activated_sockets(os.environ, pid=os.getpid())
    return [bound for listen in settings.listen_addresses for bound in bind(listen.host, listen.port)]
