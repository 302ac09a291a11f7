"""The composition root: builds all parts from the settings, starts and stops them.

* ``process``      signals, sockets, systemd: the process from start to stop
* ``application``  builds, starts and stops the parts
* ``worker``       the one thread that owns the engine
* ``telemetry``    builds the OTLP export, if an endpoint is configured
"""
