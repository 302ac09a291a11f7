"""Services of the process that every other package may use. Imports nothing from the exporter.

* ``threads``            supervised threads: an exception is logged and counted, and the thread continues
* ``clock``              detection of jumps of the wall clock
* ``heap``               limits of the C library's heap
* ``log_format``         log lines as logfmt or JSON
* ``systemd``            sd_notify: readiness, watchdog, status
* ``socket_activation``  listening sockets that systemd passes
"""
