"""Everything that talks to libvirt: the only package that imports ``libvirt``.

* ``connection``, ``opening``, ``backoff``   one connection: open, keepalive, loss, reconnect
* ``event_loop``, ``callbacks``              libvirt's event loop; callback -> Observation -> queue
* ``listing``, ``metadata``, ``host``        listings, lookups, domain XML, the local host
* ``probes`` and the ``*_probe`` modules     hang probes, through a ``call_pool``
* ``evidence``, ``emulator_log``, ``kernel_log``, ``libvirt_messages``  why a domain stopped or paused
* ``check``, ``hints``, ``hint_table``       the command ``check``; hints for connection errors
* ``message_queue``                          the bounded queue to the worker
* ``demo``                                   scripted domains on libvirt's test driver

Threads: one per connection, one per hang probe, one for the event loop, and the call pools' own.
Invariant: every libvirt call runs on a thread of its connection, except callbacks, which run on the event
loop's thread and only copy and enqueue. No virDomain outlives the call that returned it: a retained virDomain
keeps the old connection open, and libvirt would then deliver every event twice.
"""
