"""Files of rows: how they are written, and tables made of them."""
