"""Tests of `neo_assets/orchestration`."""
