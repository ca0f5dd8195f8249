"""The worker: a Python process of its own that runs the jobs for QGIS or for the command line."""
