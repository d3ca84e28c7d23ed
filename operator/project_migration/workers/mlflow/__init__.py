"""MLflow tracking servers: their databases, their addresses, their files."""
