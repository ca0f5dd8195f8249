"""The science: pure functions on arrays and frames, without files and without QGIS."""
