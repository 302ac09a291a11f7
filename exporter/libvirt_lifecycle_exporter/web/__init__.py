"""HTTP: /metrics, health, the page at /; TLS, client certificates, users. Knows nothing of libvirt.

* ``config``, ``readers``, ``tls_names``  the web configuration file, read; pure
* ``entrance``                            what of it is in force; reads it again when it changes
* ``tls``, ``last_words``                 Python's ssl, by it
* ``door``, ``visitor``                   who comes in, and for how long
* ``guard``, ``credentials``              who is answered
* ``site``, ``metrics``                   what is answered
* ``server``                              uvicorn, on a thread of its own
"""
