"""The HTTP server: /metrics, health endpoints and the page at /, with TLS, client certificates and users.

* ``server``                                          uvicorn on a thread: the entry point
* ``acceptor``, ``client_connection``                 limits and timeouts of client connections
* ``client_hello``, ``tls_protocol``, ``tls_alerts``  TLS handshakes
* ``access``                                          the active web configuration and its reload
* ``config``, ``config_values``                       the web configuration file
* ``tls``, ``tls_names``                              the configuration as an ``ssl.SSLContext``
* ``middleware``, ``credentials``                     rate limit, response headers, users
* ``routes``, ``metrics_endpoint``, ``negotiation``   responses and their formats

Threads: "web" runs the event loop; "web-config" checks the configuration files; "bcrypt" and "bcrypt-slow"
check passwords; Starlette's worker threads render /metrics.

Invariant: no behaviour of a client prevents other clients from scraping.
"""
