"""What is computed from the tables: one SQL file per table, and the engines that run SQL. No file or network access."""
