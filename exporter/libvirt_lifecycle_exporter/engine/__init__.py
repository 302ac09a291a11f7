"""The state machine: messages in, transitions and everything that follows from them out.

Entry point: ``engine.Engine``. One thread, the worker, owns it; nothing in this package starts a thread, does
I/O or imports libvirt. Time is read only through clocks that are passed in.

* ``translate``, ``classify``                a libvirt event -> the transition that it means
* ``inventory``, ``record``                  what is known of each domain
* ``inference``, ``reconcile``               compare libvirt's answers with that; infer missed transitions
* ``coverage``, ``run_identity``             where something may have been missed; what proves another run
* ``host_reboots``, ``filter_scope``         boots of the host; which domains pass the filter
* ``contradictions``, ``pending_stops``      answers that wait for confirmation; stops that wait for a reason
* ``hangs``, ``hang_signals``                probe results -> hung and recovered
* ``incidents``, ``durations``               what transitions mean for operators, and how long operations took
* ``explanations``                           events just before a pause or stop explain it
* ``spans``, ``span_operations``             which OpenTelemetry span a transition is on
* ``changes``, ``bookkeeping``               what one batch of messages changed
* ``series_budget``                          which domain names have series of their own
* ``saved_state``                            what outlives a restart

Invariant: a message changes what is known or nothing; what is counted is counted once.
"""
