"""OpenTelemetry: what is pending in the journal becomes spans and log records, and is delivered.

Law: at least once, in the order of each domain, and nothing is given up that is not counted. These rooms,
and no others, import opentelemetry; they are imported only if something is to be sent.

* ``resource``   who says it
* ``rendering``  how a span and a log record are spelled
* ``answers``    what a receiver's answer means
* ``posting``    OTLP over HTTP
* ``calling``    OTLP over gRPC
* ``console``    on standard output, for a first look
* ``ports``      what these rooms expect of the journal and of each other
* ``shipping``   one batch: split, retried, set aside
* ``waves``      which batch is next: what is late and what is new
* ``courier``    one signal: a thread that does it
* ``delivery``   both signals
* ``trial``      whether the endpoint would take it
"""
