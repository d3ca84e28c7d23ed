"""The directory layout of mlflow-export-import: every form that its releases wrote is read, the newest is written."""
