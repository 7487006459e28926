"""Tests of the products: the database, its views, the dictionary, the index, the calendar."""
