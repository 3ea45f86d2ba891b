"""Reading and writing the files of data/ and metrics/."""
