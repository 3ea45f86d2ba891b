"""The scratch store: finished and half-finished work by a hash of its inputs."""
