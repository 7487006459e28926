"""Tests of the lake: layout, whole-or-nothing writes, raw pages, tables."""
