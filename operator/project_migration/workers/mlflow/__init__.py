"""MLflow tracking servers: their databases, their addresses, their files.

``database`` moves rows from database to database, ``artifacts`` the files beside them; ``api`` speaks REST to both
servers, and ``archive`` reads and writes the directory layout of mlflow-export-import.
"""
