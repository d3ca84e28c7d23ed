"""CDSW: all of one into a CML workspace, or into an archive."""
