"""Worker programs that move an MLflow tracking server's contents through its REST interface."""
