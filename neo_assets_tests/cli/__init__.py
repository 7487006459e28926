"""Tests of `neo_assets/cli`."""
