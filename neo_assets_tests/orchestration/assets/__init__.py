"""Tests of the asset graph, storey by storey."""
