"""The files of a tracking server: trees like any other, but for directories that get another name."""
