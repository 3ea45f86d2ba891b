"""One closed-form merging method a file: pure functions of the members' task vectors."""
