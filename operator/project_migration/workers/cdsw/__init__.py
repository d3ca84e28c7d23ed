"""Moving the whole of a CDSW into a fresh CML workspace: its database and its projects' files.

Programs, ``python -m project_migration.workers.cdsw.<name> --request FILE``: ``survey``, ``export``, ``files``,
``save``, ``load``, ``adapt``, ``verify``, ``clear``. ``params.source`` is an archive (``db.sql`` and ``projects/`` in a
tar.gz, as the guide of fxu1024/cdsw-migration makes it) or a live database with the directory of its projects;
``params.target`` the same, an archive only for ``export``. Credentials lie as files in the roots that
:mod:`workers.postgres` names.

What shapes them:

- *An archive is read as a stream*, and nothing of it is believed: a name, a link or a command in ``db.sql`` that leads
  out of its place ends the work before anything is written.
- *The dump is fed to the server by us, not by psql*: its statements are told apart as the server tells them, so that
  drop, load and checks are one transaction, no command of a client runs, and no rows of secrets arrive.
- *What must survive the load* lies in a schema of our own in the target database, never in a record or a status.
- *Nothing is chosen by its position*: rows are matched by name, ids come from the server, and no user goes before every
  column that may refer to users was looked at.
"""
