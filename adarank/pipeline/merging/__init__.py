"""Merging of folders: members read tensor by tensor, and what comes of them written."""
