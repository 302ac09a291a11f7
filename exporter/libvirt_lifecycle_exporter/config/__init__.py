"""Configuration: command line, environment, and what both become.

* ``options``               every command-line option and its environment variable
* ``settings``              the validated configuration, one frozen value
* ``telemetry``             the standard OTEL_* variables
* ``libvirt_client_config`` libvirt's client configuration: default URI and URI aliases

Invariant: bad configuration is refused at the start with one sentence (``ValueError``).
"""
