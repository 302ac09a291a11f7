"""The composition root: builds all parts from the settings, starts and stops them.

* ``application``  builds, starts and stops the parts; signals
* ``worker``       the one thread that owns the engine
* ``telemetry``    builds the OTLP export, if an endpoint is configured
"""
