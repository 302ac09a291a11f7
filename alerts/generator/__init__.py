"""The alert rules' source: tables of alerts, one file of thresholds, and the file of rules made of them.

``python -m alerts.generator [THRESHOLDS.toml]`` writes the rules; it needs nothing but Python::

    thresholds.toml --> thresholds --> domains, hosts, exporters, recordings --> rules --> writing --> YAML
                        (checked)      (tables: expression and words of each)   (groups)

Law: expressions are the same for everybody; what differs is in thresholds.toml.

Facts that the expressions rest on:

* ``increase()`` of a counter that is born at 1 is 0: what must not be missed is asked of timestamps, and
  how often it happened of how often they changed.
* The exporter's clock is not Prometheus': up to a minute of difference must not matter.
* While the exporter restarts its series are gone for a scrape or two: ``keep_firing_for``.
* Every host has a ``qemu:///system``: ``job`` and ``instance`` stay in every aggregation over domains.
"""
