"""The command line: run, check, demo, events, incidents, healthcheck.

* ``main``                                     the commands ``run``, ``check`` and ``demo``; exit codes
* ``history_commands``                         the commands ``events`` and ``incidents``
* ``choices``, ``journal_path``                their options
* ``follow``, ``views``, ``outputs``, ``formatting``, ``termination``  their output
* ``healthcheck``                              a health probe that imports the standard library only
"""
