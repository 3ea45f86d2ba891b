"""The report's parts: what each figure and table shows, and the page around them."""
