"""What is computed from the tables: one SQL file per table and the engine that runs it. No file or network access
here.
"""
