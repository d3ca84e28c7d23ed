"""MLflow: a tracking server moved by its database and files, or through its address."""
