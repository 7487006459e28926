"""Tests of the SQL that computes the metrics."""
