"""Tests of `neo_assets`, mirroring the package; tests that span several parts are in `integration`."""
