"""`make mutants`: tests the tests, by changing the code in many small ways. Each change should fail a test."""
