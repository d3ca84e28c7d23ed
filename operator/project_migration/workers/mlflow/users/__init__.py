"""Users and permissions of MLflow's basic-auth app: they follow what moves, by names and never by numbers.

The app's tables lie in a database of its own, or beside those of the tracking server. A helper brings them after the
rows, in one transaction; what it did stands in a ledger in the workspace, from which it can be taken back.
"""
