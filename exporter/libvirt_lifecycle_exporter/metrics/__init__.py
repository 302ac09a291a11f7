"""The exposition: every metric name and every series. The engine decides which series exist.

* ``families``                               the table of all ``libvirt_*`` metrics; their names are API
* ``store``                                  all series of domains and connections; entry point
* ``domain_series``, ``connection_series``   the series of one domain, of one connection
* ``exposition``                             text format and OpenMetrics, rendered incrementally
* ``self_metrics``                           the exporter's own metrics

Threads: the worker writes, scrapes read; ``store`` holds a lock while either does.
Invariant: the series of a domain are created together and removed together.
"""
