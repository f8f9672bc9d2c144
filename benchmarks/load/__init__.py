"""What drives the contenders: wrk, and small programs of our own for what wrk cannot do."""
