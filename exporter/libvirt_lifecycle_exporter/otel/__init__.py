"""OpenTelemetry export: what is pending in the journal is delivered as spans and log records.

* ``delivery``                          both signals; entry point
* ``sender``                            one signal: the thread that delivers it
* ``batches``, ``batch_delivery``       which batch is next; sending, splitting and retrying a batch
* ``http_transport``, ``grpc_transport``, ``console``  the transports
* ``responses``                         what a receiver's response means
* ``encoding``, ``resource``            how a span and a log record are encoded; the resource
* ``no_proxy``                          NO_PROXY
* ``endpoint_check``                    the command ``check``
* ``interfaces``                        protocols

This package is imported only if an endpoint is configured. Invariants: delivery is at least once, in the
order of each domain, and everything that is dropped is counted.
"""
