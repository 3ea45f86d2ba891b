"""Several models fine-tuned from one base, merged into one."""
