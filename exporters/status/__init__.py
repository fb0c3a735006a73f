"""The status page: what a person in the operations room sees."""
