"""One machine without a cluster: directories for claims, child processes for helpers, files for everything kept."""
