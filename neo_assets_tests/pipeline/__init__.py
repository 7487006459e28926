"""Tests of `neo_assets/pipeline`."""
