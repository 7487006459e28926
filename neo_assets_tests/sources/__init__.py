"""Tests of `neo_assets/sources`."""
