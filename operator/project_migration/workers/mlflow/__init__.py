"""MLflow: a tracking server, or a chosen part of it, moves to another one.

``api`` speaks REST to both servers, ``archive`` reads and writes the directory layout of mlflow-export-import.
"""
