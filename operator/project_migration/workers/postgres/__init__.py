"""Moving one PostgreSQL database: ``survey``, ``copy``, ``verify``, ``dump``, ``restore``, ``clear``.

Each is a program, ``python -m project_migration.workers.postgres.<name> --request FILE``. ``params.source`` and
``params.target`` name a server and a database; credentials lie as files in the roots ``source-credentials`` and
``target-credentials`` (``username``, ``password``), an own CA in ``source-ca`` and ``target-ca`` (``ca.crt``).
"""
