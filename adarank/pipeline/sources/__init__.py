"""Model sources: hf:, pypi: and file:, into a folder of one form."""
