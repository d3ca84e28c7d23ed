"""From database to database: SQLite, PostgreSQL and MySQL, read and written below MLflow, never with its own classes.

MLflow's store classes upgrade a database in place when they open it (``mlflow/store/db/utils.py``), so a source would
be changed by being read. Everything here speaks SQL to the driver, of which the standard library has one, psycopg and
PyMySQL are the others.
"""
