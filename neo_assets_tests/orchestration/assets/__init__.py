"""Tests of the asset graph, layer by layer."""
