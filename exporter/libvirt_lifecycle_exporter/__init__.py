"""libvirt-lifecycle-exporter: which of my machines crashed, hung, stopped or moved, when, and why?

It listens to libvirt's domain events (it does not poll), counts every lifecycle transition, and
serves the counts to Prometheus. Data flows one way; one thread owns all state::

    sources/                            inbox     worker                                sinks/    web/
    libvirt callback --Observation-->   |     |
    hang probes      --Probed------->   |     |
    snapshot, look   --Snapshot, Look-> |queue|-> diagnosis --Transition-> inventory -> prometheus -> /metrics
    connection       --LinkUp/Down-->   |     |   (pure)                   (pure)

* ``vocabulary``, ``states``, ``text``   the words: tables only
* ``transition``                         the values that travel
* ``inbox``                              the bounded queue between the sources and the worker
* ``naming``                             pure: an observation in libvirt's own words
* ``diagnosis``, ``inventory``           pure: what was seen -> what it means; what is known of each domain
* ``causes``                             pure: what was told right before a pause says why it paused
* ``hangs``, ``silence``                 pure: who is hung, and for how long somebody must be silent for that
* ``sources``                            the only rooms that import libvirt
* ``sinks``                              every metric name; in ``sinks.otlp`` OpenTelemetry
* ``journal``                            every transition, in SQLite, before it counts
* ``reconcile``, ``doubts``, ``gaps``    pure: what was missed, when that is believed, where it can be
* ``courses``, ``spans``, ``parcels``    pure: the OpenTelemetry span that a transition is on; what is sent
* ``telemetry``, ``telemetry_parts``     what the OTEL_* variables ask for, and what is built of it
* ``stops``                              pure: what is not written yet, while it is open why a domain stopped
* ``view``                               pure: what the filter lets through, now and before
* ``incidents``, ``operations``          pure: what it means, and how long it took
* ``accounts``, ``comparison``           what is counted, for journal and sinks; what answers mean for it
* ``pipeline``                           the pure rooms brought together; ``worker`` is its thread
* ``figures``                            how long probes took
* ``web``                                HTTP: TLS, users, pages
* ``notify``                             what the service manager is told
* ``app``, ``cli``, ``flags``, ``settings``  composition, command line, one frozen value of configuration

``make lint`` holds the floors (import-linter contracts in pyproject.toml).
"""

__version__ = "0.1.0"
