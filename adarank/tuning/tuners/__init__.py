"""Ways to train a plan, one file a way, behind one small interface."""
