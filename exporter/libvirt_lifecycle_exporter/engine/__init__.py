"""The state machine: messages in, transitions and everything that follows from them out.

Entry point: ``engine.Engine``. One thread, the worker, owns it; nothing in this package starts a thread, does
I/O or imports libvirt. Time is read only through clocks that are passed in.

* ``translate``, ``classify``                   a libvirt event -> the transition that it means
* ``inventory``, ``record``                     what is known of each domain
* ``missed_transitions``, ``reconcile``         compare libvirt's answers with it; infer transitions
* ``coverage``, ``run_identity``                where events may be missed; what proves a new run
* ``host_reboots``, ``filter_scope``            boots of the host; which domains pass the filter
* ``contradictions``, ``pending_stops``         answers to be confirmed; stops without a reason yet
* ``hangs``, ``hang_signals``                   probe results -> hung and recovered
* ``incidents``, ``durations``                  what transitions mean for operators; how long operations took
* ``explanations``                              events just before a pause or stop explain it
* ``spans``, ``span_operations``                which OpenTelemetry span a transition is on
* ``series_limit``                              which domain names have series of their own
* ``changes``, ``change_collector``             what one batch of messages changed
* ``saved_state``                               what outlives a restart

Invariant: a message changes what is known or nothing; what is counted is counted once.
"""
