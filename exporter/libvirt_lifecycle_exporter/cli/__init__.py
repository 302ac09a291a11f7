"""The command line: run, check, demo, events, incidents, healthcheck.

* ``main``               the commands ``run``, ``check`` and ``demo``; exit codes
* ``history_commands``   the commands ``events`` and ``incidents``
* ``selectors``          parsers of the options that select history
* ``journal_path``       where these commands look for the journal
* ``follow``             reading history once, or continuously (``--follow``)
* ``views``              columns and fields of a transition and of an incident
* ``outputs``            table, JSON, CSV
* ``formatting``         times, durations and untrusted text
* ``termination``        signals and closed pipes
* ``healthcheck``        a health check that imports the standard library only
"""
