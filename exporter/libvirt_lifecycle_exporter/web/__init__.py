"""The HTTP server: /metrics, health, the page at /; TLS, client certificates, users.

* ``server``                                   uvicorn on a thread of its own; entry point
* ``acceptor``, ``client_connection``          limits and timeouts of connections
* ``client_hello``, ``tls_protocol``, ``tls_alerts``  TLS handshakes
* ``access``                                   the web configuration in force; reloads it
* ``config``, ``config_values``, ``tls``, ``tls_names``  the web configuration file; Python's ssl
* ``middleware``, ``credentials``              rate limit, response headers, users
* ``routes``, ``metrics_endpoint``, ``negotiation``  what is served, in which format

Invariant: whatever a client does, scrapes of other clients are answered.
"""
