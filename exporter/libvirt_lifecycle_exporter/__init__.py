"""libvirt-lifecycle-exporter: which domains crashed, hung, stopped or moved, when, and why.

The exporter listens to libvirt's domain events, counts every lifecycle transition, writes it to a journal and
serves the counters to Prometheus. Data flows in one direction; the worker thread owns all state::

    hypervisor/ --messages--> queue --> worker --> engine/ --changes--> journal/ --> metrics/ --> web/
                                                                            |
                                                                            +--> otel/ (queue: the journal)

See the docstring of each package, and docs/architecture.md. ``make lint`` checks that imports point down.
"""

__version__ = "0.1.0"
