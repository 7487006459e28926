"""Files that people take away: the catalogue as a database and as Parquet, with what every column means; a calendar."""
