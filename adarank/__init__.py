"""Give every module of a transformer the LoRA rank it deserves."""
