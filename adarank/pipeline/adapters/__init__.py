"""LoRA adapters in PEFT's folders, anybody's: read, written smaller or padded, verified."""
