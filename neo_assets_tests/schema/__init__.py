"""Tests of `neo_assets/schema`."""
