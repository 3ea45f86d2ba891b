"""Several runs of one task trained at once: one base model, a factor stack for each adapter."""
