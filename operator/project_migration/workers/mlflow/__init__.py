"""Programs inside helpers that move MLflow tracking servers."""
