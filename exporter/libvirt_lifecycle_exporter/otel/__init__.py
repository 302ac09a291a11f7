"""OpenTelemetry export: the journal's pending items are delivered as spans and log records.

* ``delivery``        both signals; entry point
* ``sender``          one signal: the thread that delivers its queue
* ``batches``         selects the next batch
* ``batch_delivery``  sends a batch; splits, retries, or moves items to the dead letters
* ``exporters``       export items over OTLP, or print them on the console
* ``http_transport``, ``grpc_transport``  the transports of OTLP requests
* ``responses``       maps a receiver's response to an ``ExportResult``
* ``encoding``, ``resource``  spans, log records and the resource as protobuf
* ``no_proxy``        NO_PROXY
* ``endpoint_check``  the command ``check``
* ``interfaces``      protocols

The package is imported only if an endpoint or the console is configured. Each signal has one thread,
``otlp-traces`` and ``otlp-logs``. Invariants: delivery is at least once; the items of a domain are
delivered in the order of the journal; every dropped item is counted.
"""
