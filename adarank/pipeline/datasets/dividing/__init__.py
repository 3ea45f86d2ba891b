"""Rows divided into splits: sampled, carved, and compared for texts that are shared."""
